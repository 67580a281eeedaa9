import { isIP } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { SpiffeError } from '../errors.js';
import { capturePeer } from '../identity/peer.js';
import type { Identity } from '../identity/source.js';
import type { SpiffeId } from '../identity/spiffe-id.js';
import { holdConnection } from './connections.js';
import { secureContextOf } from './context.js';
import { checkPeer } from './gate.js';
import { codeOf, explainRefusal, isRefusalAlert, refusedByPeer } from './refusal.js';
import type { Rule } from './rule.js';

/** Options of {@link connect}. */
export interface ConnectOptions {
  readonly host: string;
  readonly port: number;
  /** Who must answer. */
  readonly rule: Rule;
  /** The name sent as SNI. Default: `host`, unless it is an IP address. It plays no part in the verification. */
  readonly servername?: string;
  /** Protocols offered by ALPN, the preferred one first. Default: none. */
  readonly alpn?: readonly string[];
  /** For TCP and TLS together, in milliseconds. Default: 10 000. */
  readonly timeoutMs?: number;
  /** Ends the attempt, which then rejects with the signal's reason; the connection itself lives on its own. */
  readonly signal?: AbortSignal;
}

export const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
const PROBE_AFTER_MS = 60_000;

/**
 * Opens a connection on which both ends are verified when it is handed over: the newest SVID is presented, the peer is
 * judged by the newest bundles and by `rule` before a byte of the application is written or read. The verified peer
 * is captured on the socket. It is destroyed with `ERR_SPIFFE_TRUST_WITHDRAWN` when what it rests on is withdrawn.
 *
 * @throws SpiffeError `ERR_SPIFFE_CONNECT_FAILED`, `ERR_SPIFFE_HANDSHAKE_TIMEOUT`, `ERR_SPIFFE_HANDSHAKE_FAILED`,
 * `ERR_SPIFFE_REFUSED_BY_PEER`; `ERR_SPIFFE_PEER_NO_CERTIFICATE`, `ERR_SPIFFE_PEER_NOT_ALLOWED`,
 * `ERR_SPIFFE_PEER_RULE_FAILED`; the codes of `verifyX509Svid`; and those of the source, when there is no usable SVID.
 */
export async function connect(identity: Identity, options: ConnectOptions): Promise<TLSSocket> {
  options.signal?.throwIfAborted();
  const svid = identity.x509.svid();
  const { host, servername = isIP(host) === 0 ? host : undefined, alpn } = options;
  const socket = tlsConnect({
    host,
    port: options.port,
    secureContext: secureContextOf(svid),
    // The gate decides, not OpenSSL: it would hold the SVID to a host name and to one list of authorities for all.
    rejectUnauthorized: false,
    ...(servername === undefined ? {} : { servername }),
    ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] }),
  });
  socket.setNoDelay(true).setKeepAlive(true, PROBE_AFTER_MS);
  // An error without a listener would end the process, and a pooled connection has none for a moment.
  socket.on('error', () => {});
  const where = `${isIP(host) === 6 ? `[${host}]` : host}:${options.port}`;
  return await verified(socket, { ...options, own: svid.id, where }, () => {
    const peer = checkPeer(socket, identity.x509.bundles, options.rule, `the server at ${where}`);
    capturePeer(socket, peer);
    explainRefusal(socket, (cause) =>
      refusedByPeer(svid.id, `the server at ${where}, ${peer.id},`, cause),
    );
    holdConnection(identity.x509, {
      socket,
      local: svid.id,
      peer: peer.id,
      withdraw: (reason) => socket.destroy(reason),
    });
  });
}

interface Attempt extends ConnectOptions {
  readonly own: SpiffeId;
  /** Host and port, for messages. */
  readonly where: string;
}

/** Resolves with the socket after `check` has passed in the first turn after the handshake; else destroys it. */
function verified(socket: TLSSocket, attempt: Attempt, check: () => void): Promise<TLSSocket> {
  const { timeoutMs = DEFAULT_CONNECT_TIMEOUT_MS, signal } = attempt;
  return new Promise((resolve, reject) => {
    let reached = false;
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
    const onError = (cause?: unknown): void => fail(explain(attempt, reached, cause));
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

function timedOut({ where }: Attempt, reached: boolean, timeoutMs: number): SpiffeError {
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

function explain({ own, where }: Attempt, reached: boolean, cause: unknown): SpiffeError {
  const why = codeOf(cause) || 'the connection closed';
  if (!reached) {
    return new SpiffeError(
      'ERR_SPIFFE_CONNECT_FAILED',
      `cannot connect to ${where}: ${why}; does the server run, and are host and port right?`,
      { cause },
    );
  }
  if (isRefusalAlert(cause)) return refusedByPeer(own, `the server at ${where}`, cause);
  return new SpiffeError(
    'ERR_SPIFFE_HANDSHAKE_FAILED',
    `cannot connect to ${where}: the TLS handshake failed with ${why}; does it speak TLS 1.2 or newer, and does it allow ${own}?`,
    { cause },
  );
}
