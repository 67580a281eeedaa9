import type { Dispatcher, RequestInit, Response } from 'undici';
import { SpiffeError } from '../../errors.js';
import type { PeerRule, WEB_PKI } from '../../identity/peer-rule.js';
import type { BoundFetch, Identity, Verifier } from '../../identity/source.js';
import { quote } from '../../internal/quote.js';
import { parseClient } from './client-options.js';
import { checkPool, closedError, type DispatcherOptions, dispatcherOf } from './dispatcher.js';
import { TargetError } from './targets.js';
import { undici } from './undici.js';

/** What to do with a redirect: hand it out as the response, go where it leads, or fail. */
export type Redirects = 'manual' | 'follow' | 'error';

/** Options of {@link createFetch}. */
export interface FetchOptions extends DispatcherOptions {
  /**
   * For requests that do not say. Default: `manual`, which gives the 3xx response itself. With `follow` each hop is
   * bound by the rule of its own origin; the headers `authorization`, `proxy-authorization` and `cookie` stay with the
   * first, all others go along, and so does the body of a 307 or 308.
   */
  readonly redirect?: Redirects;
}

/** A request's options: those of undici's `fetch`, but for the dispatcher. */
export type FetchInit = Omit<RequestInit, 'dispatcher'>;

/** undici's `fetch`, each origin bound to its peer. */
export interface SpiffeFetch extends BoundFetch {
  (url: string | URL, init?: FetchInit): Promise<Response>;
  peerRule(url: string | URL): PeerRule | typeof WEB_PKI;
  /** Refuses further requests, and resolves when those in flight have ended and the connections are closed. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Makes a `fetch` that sends a request only to a peer that is named for the URL's origin and verified. Refusals reject
 * with the `SpiffeError` itself; failures that are undici's own stay as they are. `http:` is refused, and redirects
 * are not followed unless asked. undici is loaded by the first request.
 *
 * @param identity - a `Verifier`, which has no SVID, makes a client that verifies servers and shows them no certificate.
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` or `ERR_SPIFFE_PEER_RULE_INVALID`.
 */
export function createFetch(identity: Identity | Verifier, options: FetchOptions): SpiffeFetch {
  const client = parseClient(identity, options);
  const pool = checkPool(options.pool);
  const byDefault = checkRedirect(options.redirect ?? 'manual');
  let dispatcher: Dispatcher | undefined;
  let closed = false;

  const fetch = async (input: string | URL, init: FetchInit = {}): Promise<Response> => {
    const url = parseUrl(input);
    // undici would answer `data:` and `blob:` without any dispatcher.
    if (url.protocol !== 'https:') client.targets.of(url);
    if (closed) throw closedError();
    if ('dispatcher' in init) {
      throw new SpiffeError(
        'ERR_SPIFFE_OPTION_INVALID',
        'cannot take a dispatcher for one request: it would not verify the peer',
      );
    }
    const redirect = checkRedirect(init.redirect ?? byDefault);
    dispatcher ??= dispatcherOf(client, pool);
    const mode = redirect === 'follow' ? 'follow' : 'manual';
    const sent = { ...init, redirect: mode, dispatcher } as const;
    const response = await undici().fetch(url, sent).catch(unwrap(url));
    if (redirect === 'error') await refuseRedirect(response, url);
    return response;
  };
  const close = async (): Promise<void> => {
    closed = true;
    await dispatcher?.close();
  };
  return Object.assign(fetch, {
    peerRule: (url: string | URL): PeerRule | typeof WEB_PKI =>
      client.targets.of(parseUrl(url)).rule.given,
    close,
    [Symbol.asyncDispose]: close,
  });
}

/** undici rejects with a `TypeError` that says no more than "fetch failed", whatever happened. */
function unwrap(url: URL): (error: unknown) => never {
  return (error) => {
    const cause: unknown = error instanceof TypeError ? error.cause : undefined;
    if (!(cause instanceof SpiffeError)) throw error;
    if (!(cause instanceof TargetError) || cause.origin === url.origin) throw cause;
    throw refusedRedirect(url, `it leads to ${cause.origin}`, cause);
  };
}

async function refuseRedirect(response: Response, url: URL): Promise<void> {
  if (response.status < 300 || response.status > 399 || !response.headers.has('location')) return;
  await response.body?.cancel();
  throw refusedRedirect(url, `the answer was ${response.status}, and redirects are errors here`);
}

function refusedRedirect(url: URL, why: string, cause?: unknown): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_REDIRECT_REFUSED',
    `refused to follow a redirect of ${quote(url.origin)}: ${why}`,
    { cause },
  );
}

function parseUrl(input: string | URL): URL {
  if (input instanceof URL) return input;
  if (typeof input === 'string' && URL.canParse(input)) return new URL(input);
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot fetch ${quote(input)}: give an absolute URL, as text or as a URL`,
  );
}

function checkRedirect(redirect: string): Redirects {
  if (redirect === 'manual' || redirect === 'follow' || redirect === 'error') return redirect;
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take ${quote(redirect)} as redirect: give manual, follow or error`,
  );
}
