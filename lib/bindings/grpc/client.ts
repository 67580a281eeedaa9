import { callbackify } from 'node:util';
import { CallCredentials, type ChannelCredentials, Metadata, status } from '@grpc/grpc-js';
import { SpiffeError } from '../../errors.js';
import type { PeerRule } from '../../identity/peer-rule.js';
import type { Identity, JwtSource, Verifier } from '../../identity/source.js';
import { checkDuration, checkOptions } from '../../internal/options.js';
import { quote } from '../../internal/quote.js';
import { DEFAULT_CONNECT_TIMEOUT_MS } from '../../tls/connect.js';
import { checkVerifier, jwtSourceOf } from '../../tls/identity.js';
import { parseRule } from '../../tls/rule.js';
import { MutualTlsCredentials } from './channel-credentials.js';

/** Options of {@link createChannelCredentials}. */
export interface ChannelCredentialsOptions {
  /** Who must answer at the channel's target. There is no default. */
  readonly peer: PeerRule;
  /**
   * Each call carries a JWT-SVID for this audience, the name of the service, as `authorization: Bearer`. grpc-js fails
   * one that has an `authorization` of its own. Default: no token is sent.
   */
  readonly jwtAudience?: string;
  /** For the TLS handshake, in milliseconds; grpc-js makes the TCP connection itself. Default: 10 000. */
  readonly handshakeTimeoutMs?: number;
}

/** Credentials of one channel, or of several to one peer, with its connections in hand. */
export interface SpiffeChannelCredentials extends ChannelCredentials {
  /** Why the newest attempt to connect failed, a `SpiffeError`; `undefined` once one has succeeded. */
  readonly lastFailure: unknown;
  /**
   * Closes every connection made with these credentials at once; no other is made. `client.close()` lets calls in flight
   * end first; this ends them.
   */
  close(): void;
  [Symbol.dispose](): void;
}

/**
 * Makes credentials for a channel of grpc-js, and so for any client on it, unary and streaming: each connection presents
 * the newest SVID and is verified before a byte of gRPC moves. It closes when our identity is withdrawn or the peer's trust
 * domain is no longer trusted; calls on it then end as `UNAVAILABLE`. While the peer is refused, so are calls, and their
 * `details` say why.
 *
 * @param identity - a `Verifier`, which has no SVID, makes a client that verifies servers and shows them no certificate.
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` or `ERR_SPIFFE_PEER_RULE_INVALID`.
 */
export function createChannelCredentials(
  identity: Identity | Verifier,
  options: ChannelCredentialsOptions,
): SpiffeChannelCredentials {
  checkVerifier(identity);
  const {
    peer,
    jwtAudience,
    handshakeTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS,
  } = checkOptions(options, "{ peer: 'spiffe://example.org/tools' }");
  return new MutualTlsCredentials({
    identity,
    rule: parseRule(peer),
    timeoutMs: checkDuration('handshakeTimeoutMs', handshakeTimeoutMs),
    ...(jwtAudience === undefined ? {} : { each: bearerOf(identity, jwtAudience) }),
  });
}

function bearerOf(identity: Identity | Verifier, audience: string): CallCredentials {
  // JWT-SVID 3.2 and 7.2: the name of one service. A token for several would serve each of them at the others.
  if (typeof audience !== 'string' || audience === '')
    throw invalid(
      `${quote(audience)} is no jwtAudience: give the name of the one service that the token is for`,
    );
  if (jwtSourceOf(identity) === undefined)
    throw invalid(
      'this identity has no JWT-SVID to give: leave jwtAudience out, or give an identity with jwt, such as a Workload',
    );
  const generate = callbackify(() => authorization(identity, audience));
  return CallCredentials.createFromMetadataGenerator((_, done) => generate(done));
}

/** JWT-SVID 5.3: the key is `authorization`, the value `Bearer` and the token. */
async function authorization(identity: Identity | Verifier, audience: string): Promise<Metadata> {
  const jwt = jwtSourceOf(identity) as JwtSource;
  const { token } = await jwt.fetch({ audience }).catch((cause: unknown) => {
    throw withoutToken(audience, cause);
  });
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

/** grpc-js takes the status of the call from the number. */
function withoutToken(audience: string, cause: unknown): Error {
  const why = cause instanceof Error ? cause.message : 'the JWT source failed';
  const error = new Error(`no JWT-SVID for ${quote(audience)}: ${why}`, { cause });
  return Object.assign(error, { code: status.UNAVAILABLE });
}

function invalid(why: string): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_OPTION_INVALID', `cannot make channel credentials: ${why}`);
}
