import { SpiffeError } from '../../errors.js';
import type { BoundFetch, BoundResponse } from '../../identity/source.js';
import { textWithin } from '../../internal/bounded-text.js';
import { SYSTEM_CLOCK } from '../../internal/clock.js';
import { isJsonObject, member } from '../../internal/json.js';
import { checkDuration } from '../../internal/options.js';
import { quote } from '../../internal/quote.js';
import { checkFunction, checkMembers } from '../options.js';

/** What a task asks of those who give it a credential. */
export interface TaskCredentialRequest {
  /** A PKCS#10 request, DER, for one SPIFFE ID: that of the agent, and behind it `/task/` and the id of the task. */
  readonly csr: Uint8Array;
  readonly taskId: string;
  readonly purpose: string;
  /** When the task ends: the credential must not be valid any longer. */
  readonly expiresAt: Date;
  /** Aborts when the task ends. */
  readonly signal: AbortSignal;
}

/** Where tasks get an SVID of their own from. */
export interface TaskCredentials {
  /**
   * Gives DER certificates, the leaf first. The guard holds them to what was asked.
   *
   * @throws SpiffeError `ERR_SPIFFE_CREDENTIAL_DENIED` for a refusal that stands: a task that was to be renewed ends then;
   * anything else for a failure that may pass.
   */
  issue(request: TaskCredentialRequest): Promise<readonly Uint8Array[]>;
}

/** Options of {@link taskCredentials}. */
export interface TaskCredentialsOptions {
  /** Where the authority answers: an `https:` URL, bound to its SPIFFE ID by the `fetch`. */
  readonly authority: string;
  /** Sends with the agent's own identity: the authority knows by it whose task it is. */
  readonly fetch: BoundFetch;
  /** How long the authority may take. Default: 10,000. */
  readonly timeoutMs?: number;
}

/** More certificates, or longer ones, than any issuer sends. */
const LONGEST_ANSWER = 256 * 1024;

/**
 * The credentials that a task authority gives.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`; and what `fetch.peerRule` throws when it is bound to no peer there.
 */
export function taskCredentials(options: TaskCredentialsOptions): TaskCredentials {
  const what = 'the options of task credentials';
  checkMembers(what, options, ['authority', 'fetch', 'timeoutMs']);
  const { authority: url } = options;
  const fetch = checkFunction(`${what}: fetch`, options.fetch);
  const timeoutMs = checkDuration('timeoutMs', options.timeoutMs ?? 10_000);
  fetch.peerRule(url);
  return {
    issue: async ({ csr, purpose, expiresAt, signal }) => {
      const body = JSON.stringify({
        csr: Buffer.from(csr).toString('base64'),
        expiresAt: expiresAt.getTime(),
        purpose,
      });
      const headers = { 'content-type': 'application/json' };
      let response: BoundResponse;
      let answer: string | undefined;
      // Not AbortSignal.any and .timeout: they stay until the time is over, whatever came before.
      const waiting = new AbortController();
      const late = SYSTEM_CLOCK.setTimeout(
        () => waiting.abort(unavailable(url, `no answer within ${timeoutMs} ms`)),
        timeoutMs,
      );
      const abort = (): void => waiting.abort(signal.reason);
      signal.addEventListener('abort', abort);
      try {
        signal.throwIfAborted();
        response = await fetch(url, { method: 'POST', headers, body, signal: waiting.signal });
        answer = await textWithin(response, LONGEST_ANSWER);
      } catch (cause) {
        signal.throwIfAborted();
        throw unavailable(url, 'it did not answer', cause);
      } finally {
        SYSTEM_CLOCK.clearTimeout(late);
        signal.removeEventListener('abort', abort);
      }
      if (answer === undefined) throw unavailable(url, 'its answer is too long');
      if (response.status === 200) return readCertificates(url, answer);
      const said = `it answered ${response.status}: ${quote(answer.trim())}`;
      if (response.status < 400 || response.status > 499 || response.status === 429)
        throw unavailable(url, said);
      throw new SpiffeError(
        'ERR_SPIFFE_CREDENTIAL_DENIED',
        `the task authority ${quote(url)} gives this task no credential: ${said}`,
      );
    },
  };
}

function readCertificates(url: string, answer: string): readonly Uint8Array[] {
  let value: unknown;
  try {
    value = JSON.parse(answer);
  } catch (cause) {
    throw unavailable(url, 'its answer is not JSON', cause);
  }
  const list = isJsonObject(value) ? member(value, 'certificates') : undefined;
  if (!Array.isArray(list) || list.length === 0 || !list.every((each) => typeof each === 'string'))
    throw unavailable(url, 'its answer holds no certificates');
  return list.map((text) => Buffer.from(text, 'base64'));
}

function unavailable(url: string, why: string, cause?: unknown): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_CREDENTIAL_UNAVAILABLE',
    `cannot get a credential from the task authority ${quote(url)}: ${why}`,
    { cause },
  );
}
