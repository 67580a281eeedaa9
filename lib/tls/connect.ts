import { isIP, type Socket } from 'node:net';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { SpiffeError } from '../errors.js';
import { capturePeer } from '../identity/peer.js';
import type { Identity, Verifier, X509BundleSource, X509Source } from '../identity/source.js';
import type { X509Svid } from '../identity/x509/svid.js';
import { holdConnection } from './connections.js';
import { anonymousContext, secureContextOf } from './context.js';
import { checkPeer } from './gate.js';
import { codeOf, explainRefusal, isRefusalAlert, refusedByPeer } from './refusal.js';
import type { Rule } from './rule.js';

/** How a connection is opened, whoever verifies the other end. */
export interface DialOptions {
  readonly host: string;
  readonly port: number;
  /** Protocols offered by ALPN, the preferred one first. Default: none. */
  readonly alpn?: readonly string[];
  /** For TCP and TLS together, in milliseconds. Default: 10 000. */
  readonly timeoutMs?: number;
  /** A connection that is open already, to speak TLS on. Default: one is made to `host` and `port`. */
  readonly transport?: Socket;
  /** Ends the attempt, which then rejects with the signal's reason; the connection itself lives on its own. */
  readonly signal?: AbortSignal;
}

/** Options of {@link connect}. */
export interface ConnectOptions extends DialOptions {
  /** Who must answer. */
  readonly rule: Rule;
  /** The name sent as SNI. Default: `host`, unless it is an IP address. It plays no part in the verification. */
  readonly servername?: string;
}

export const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
const PROBE_AFTER_MS = 60_000;

/**
 * Opens a connection on which both ends are verified when it is handed over: the newest SVID is presented, the peer is
 * judged by the newest bundles and by `rule` before a byte of the application is written or read. The verified peer
 * is captured on the socket. It is destroyed with `ERR_SPIFFE_TRUST_WITHDRAWN` when what it rests on is withdrawn.
 *
 * @param identity - one that has no SVID of its own by its kind presents none; one that merely has none now throws.
 * @throws SpiffeError `ERR_SPIFFE_CONNECT_FAILED`, `ERR_SPIFFE_HANDSHAKE_TIMEOUT`, `ERR_SPIFFE_HANDSHAKE_FAILED`,
 * `ERR_SPIFFE_REFUSED_BY_PEER`; `ERR_SPIFFE_PEER_NO_CERTIFICATE`, `ERR_SPIFFE_PEER_NOT_ALLOWED`,
 * `ERR_SPIFFE_PEER_RULE_FAILED`; the codes of `verifyX509Svid`; and those of the source, when there is no usable SVID.
 */
export async function connect(
  identity: Identity | Verifier,
  options: ConnectOptions,
): Promise<TLSSocket> {
  options.signal?.throwIfAborted();
  const { x509 } = identity;
  const own = ownSvid(x509);
  const { servername } = options;
  const socket = dial(options, {
    secureContext: own === undefined ? anonymousContext() : secureContextOf(own),
    // The gate decides, not OpenSSL: it would hold the SVID to a host name and to one list of authorities for all.
    rejectUnauthorized: false,
    ...(servername === undefined ? {} : { servername }),
  });
  const where = `the server at ${placeOf(options)}`;
  const refused = (who: string, cause?: unknown): SpiffeError => refusedByPeer(own?.id, who, cause);
  const explain = (cause: unknown): SpiffeError | undefined =>
    isRefusalAlert(cause) ? refused(where, cause) : undefined;
  return await verified(socket, { ...options, explain }, () => {
    const peer = checkPeer(socket, x509.bundles, options.rule, where);
    capturePeer(socket, peer);
    explainRefusal(socket, (cause) => refused(`${where}, ${peer.id},`, cause));
    holdConnection(x509, {
      socket,
      local: own?.id,
      peer: peer.id,
      withdraw: (reason) => socket.destroy(reason),
    });
  });
}

/** What to show the other end: nothing only when a source is of the kind that has no identity. */
function ownSvid(source: X509Source | X509BundleSource): X509Svid | undefined {
  return 'svid' in source ? source.svid() : undefined;
}

/** Host and port, for messages. */
export function placeOf({ host, port }: DialOptions): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

/** Begins a connection. To be given to {@link verified} in the same turn. */
export function dial(options: DialOptions, tls: ConnectionOptions): TLSSocket {
  const { host, port, alpn, transport } = options;
  const socket = tlsConnect({
    host,
    port,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(transport === undefined ? {} : { socket: transport }),
    ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] }),
    ...tls,
  });
  socket.setNoDelay(true).setKeepAlive(true, PROBE_AFTER_MS);
  // An error without a listener would end the process, and a pooled connection has none for a moment.
  socket.on('error', () => {});
  return socket;
}

/** A connection that is being made. */
export interface Attempt extends DialOptions {
  /** What a failure of the handshake means, where more is known than that it failed. */
  explain(cause: unknown): SpiffeError | undefined;
}

/** Resolves with the socket after `check` has passed in the first turn after the handshake; else destroys it. */
export function verified(
  socket: TLSSocket,
  attempt: Attempt,
  check: () => void,
): Promise<TLSSocket> {
  const { timeoutMs = DEFAULT_CONNECT_TIMEOUT_MS, signal } = attempt;
  return new Promise((resolve, reject) => {
    let reached = attempt.transport !== undefined;
    const settle = (done: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('error', onError).off('close', onClose);
      done();
    };
    const fail = (error: unknown): void => {
      settle(() => reject(error));
      socket.destroy();
    };
    const onAbort = (): void => fail(signal?.reason);
    const onError = (cause?: unknown): void => fail(failed(attempt, reached, cause));
    const onClose = (): void => onError();
    const timer = setTimeout(() => fail(timedOut(attempt, reached, timeoutMs)), timeoutMs);
    signal?.addEventListener('abort', onAbort);
    socket.once('error', onError).once('close', onClose);
    socket.once('connect', () => {
      reached = true;
    });
    socket.once('secureConnect', () => {
      try {
        check();
        settle(() => resolve(socket));
      } catch (error) {
        fail(error);
      }
    });
  });
}

function timedOut(options: DialOptions, reached: boolean, timeoutMs: number): SpiffeError {
  const where = placeOf(options);
  return reached
    ? new SpiffeError(
        'ERR_SPIFFE_HANDSHAKE_TIMEOUT',
        `cannot connect to ${where}: no TLS handshake within ${timeoutMs} ms; does a TLS server listen there?`,
      )
    : new SpiffeError(
        'ERR_SPIFFE_CONNECT_FAILED',
        `cannot connect to ${where}: not reached within ${timeoutMs} ms; are host and port right?`,
      );
}

function failed(attempt: Attempt, reached: boolean, cause: unknown): SpiffeError {
  const where = placeOf(attempt);
  const why = codeOf(cause) || 'the connection closed';
  if (!reached) {
    return new SpiffeError(
      'ERR_SPIFFE_CONNECT_FAILED',
      `cannot connect to ${where}: ${why}; does the server run, and are host and port right?`,
      { cause },
    );
  }
  return (
    attempt.explain(cause) ??
    new SpiffeError(
      'ERR_SPIFFE_HANDSHAKE_FAILED',
      `cannot connect to ${where}: the TLS handshake failed with ${why}; does it speak TLS 1.2 or newer, and does it let us in?`,
      { cause },
    )
  );
}
