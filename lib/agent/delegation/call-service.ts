import { SpiffeError } from '../../errors.js';
import type { BoundFetch, BoundRequestInit, BoundResponse } from '../../identity/source.js';
import { SpiffeId } from '../../identity/spiffe-id.js';
import { isJsonObject, member } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import type { CallContext } from '../call.js';
import { GrantError } from '../grant/grant-error.js';
import { checkFunction, checkMembers, optionError } from '../options.js';
import type { Delegation } from './delegation.js';
import { labelsFromHeader, labelsTold } from './labels.js';

/** Where a call goes, and by what. */
export interface CallServiceOptions {
  readonly url: string | URL;
  /** Binds the origin of `url` to the SPIFFE ID of the service. */
  readonly fetch: BoundFetch;
  /** The SPIFFE ID of the service. Default: the one that `fetch` binds the origin to, where it names exactly one. */
  readonly audience?: string;
}

/**
 * Makes the call of a guarded tool at a service: by POST, the arguments as JSON in the body, with the task's grant and a
 * proof for this one call in the headers. What the answer says to have read, the task has read then; redirects are not
 * followed. To be called by the function of the tool, which gets `context`.
 *
 * @throws GrantError when the service refuses the grant, with its step; SpiffeError `ERR_SPIFFE_REDIRECT_REFUSED`,
 * `ERR_SPIFFE_OPTION_INVALID`, and what `fetch` throws.
 */
export async function callService(
  context: CallContext,
  options: CallServiceOptions,
): Promise<BoundResponse> {
  const what = 'the options of a call of a service';
  checkMembers(what, options, ['url', 'fetch', 'audience']);
  const { url } = options;
  const fetch = checkFunction(`${what}: fetch`, options.fetch);
  const audience = options.audience ?? audienceOf(what, fetch, url);
  const grant = await context.showGrant({ audience });
  // A proof for one service is not to be seen by another: whatever the fetch does by default, it goes nowhere else.
  const init: BoundRequestInit & { readonly redirect: 'manual' } = {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...grant.headers() },
    body: grant.argsJson,
    signal: context.signal,
    redirect: 'manual',
  };
  const response = await fetch(url, init);
  const told = response.headers.get('spiffe-labels');
  const labels = labelsTold(told, labelsFromHeader(told), undefined);
  if (labels !== undefined) context.taint(labels);
  const { status } = response;
  if (status >= 300 && status < 400 && response.headers.get('location') !== null) {
    await response.arrayBuffer();
    throw new SpiffeError(
      'ERR_SPIFFE_REDIRECT_REFUSED',
      `the service at ${quote(String(url))} answers ${status}, and a grant follows no redirect`,
    );
  }
  if (status === 401 || status === 403) throw await refusal(String(url), response);
  return response;
}

/**
 * Takes what an agent answers, to whom something was delegated: the task has read what the answer says to come from, or,
 * where it does not say, the worst that the delegated tools return. Call it before the answer is read.
 */
export function takeAnswer(
  context: Pick<CallContext, 'taint'>,
  delegation: Delegation,
  response: Pick<BoundResponse, 'headers'>,
): void {
  const told = response.headers.get('spiffe-labels');
  context.taint(labelsTold(told, labelsFromHeader(told), delegation.worst));
}

const STEP = /^[0-9a-z]{1,32}$/;

async function refusal(url: string, response: BoundResponse): Promise<GrantError> {
  const told: unknown = await response.json().catch(() => undefined);
  const step = isJsonObject(told) ? member(told, 'step') : undefined;
  const why = `the service at ${quote(url)} answers ${response.status}`;
  // It stands in messages, and is of the service's choice.
  return new GrantError(typeof step === 'string' && STEP.test(step) ? step : 'refused', why);
}

/** The one SPIFFE ID that a URL is bound to. @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` where it is not one. */
export function audienceOf(what: string, fetch: BoundFetch, url: string | URL): string {
  const rule = fetch.peerRule(url);
  if (rule instanceof SpiffeId) return rule.toString();
  if (typeof rule === 'string' && !rule.includes('*')) return SpiffeId.parse(rule).toString();
  throw optionError(
    what,
    `${quote(String(url))} is bound to no single SPIFFE ID: name the audience`,
  );
}
