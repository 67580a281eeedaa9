import type { TLSSocket } from 'node:tls';
import { callbackify } from 'node:util';
import { WEB_PKI } from '../../identity/peer-rule.js';
import type { Identity, JwtSource, Verifier } from '../../identity/source.js';
import { checkDuration, checkOptions } from '../../internal/options.js';
import { connect, DEFAULT_CONNECT_TIMEOUT_MS } from '../../tls/connect.js';
import { checkVerifier, jwtSourceOf } from '../../tls/identity.js';
import { connectWeb } from '../../tls/web.js';
import { type Peers, parsePeers, type Target, type Targets } from './targets.js';

/** What every client is told. */
export interface ClientOptions {
  /** Which peer must answer where. There is no default. */
  readonly peers: Peers;
  /** For TCP and TLS together, in milliseconds. Default: 10 000. */
  readonly connectTimeoutMs?: number;
}

/** A client's options, parsed. */
export interface Client {
  readonly targets: Targets;
  /** Opens a connection to the target that is verified when it is handed over. */
  open(target: Target, done: (error: Error | null, socket: TLSSocket) => void): void;
  /** A token for a target that wants one, as new as the source has it. */
  token(audience: string, signal?: AbortSignal): Promise<string>;
}

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` or `ERR_SPIFFE_PEER_RULE_INVALID`. */
export function parseClient(identity: Identity | Verifier, options: ClientOptions): Client {
  checkVerifier(identity);
  const { peers, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS } = checkOptions(
    options,
    "{ peers: { 'https://tools.internal:8443': 'spiffe://example.org/tools' } }",
  );
  const jwt = (): JwtSource | undefined => jwtSourceOf(identity);
  const targets = parsePeers(peers, () => jwt() !== undefined);
  const timeoutMs = checkDuration('connectTimeoutMs', connectTimeoutMs);
  return {
    targets,
    // Both libraries take a connection by callback; what it throws must not end up in a promise.
    open: callbackify(({ host, port, rule }: Target) => {
      const dial = { host, port, timeoutMs, alpn: ['http/1.1'] };
      return rule.given === WEB_PKI
        ? connectWeb({ ...dial, rule })
        : connect(identity, { ...dial, rule });
    }),
    token: async (audience, signal) => {
      const source = jwt() as JwtSource;
      return (await source.fetch({ audience, ...(signal === undefined ? {} : { signal }) })).token;
    },
  };
}
