import type { TLSSocket } from 'node:tls';
import { callbackify } from 'node:util';
import { WEB_PKI } from '../../identity/peer-rule.js';
import type { Identity, Verifier } from '../../identity/source.js';
import { checkDuration } from '../../internal/options.js';
import { connect, DEFAULT_CONNECT_TIMEOUT_MS } from '../../tls/connect.js';
import { connectWeb } from '../../tls/web.js';
import { type Peers, parsePeers, type Resolve, type Target } from './targets.js';

/** What every client is told. */
export interface ClientOptions {
  /** Which peer must answer where. There is no default. */
  readonly peers: Peers;
  /** For TCP and TLS together, in milliseconds. Default: 10 000. */
  readonly connectTimeoutMs?: number;
}

/** A client's options, parsed. */
export interface Client {
  readonly resolve: Resolve;
  /** Opens a connection to the target that is verified when it is handed over. */
  open(target: Target, done: (error: Error | null, socket: TLSSocket) => void): void;
}

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` or `ERR_SPIFFE_PEER_RULE_INVALID`. */
export function parseClient(identity: Identity | Verifier, options: ClientOptions): Client {
  const resolve = parsePeers(options.peers);
  const timeoutMs = checkDuration(
    'connectTimeoutMs',
    options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
  );
  return {
    resolve,
    // Both libraries take a connection by callback; what it throws must not end up in a promise.
    open: callbackify(({ host, port, rule }: Target) => {
      const dial = { host, port, timeoutMs, alpn: ['http/1.1'] };
      return rule.given === WEB_PKI
        ? connectWeb({ ...dial, rule })
        : connect(identity, { ...dial, rule });
    }),
  };
}
