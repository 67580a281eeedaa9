import { SpiffeError } from '../../errors.js';
import type { JwtSvid } from '../../identity/jwt/svid.js';
import { whyNot } from '../../identity/peer-refusal.js';
import type { Peer } from '../../identity/source.js';
import type { SpiffeId } from '../../identity/spiffe-id.js';
import {
  type JwtCarrier,
  JwtGate,
  type JwtVerifier,
  type Refusal,
  type RequireJwtOptions,
} from './jwt.js';
import { type PeerMiddleware, shownPeer } from './peer.js';

/** Who calls, and by what that is known. */
export type Caller =
  | {
      readonly by: 'mtls';
      readonly id: SpiffeId;
      readonly peer: Peer;
    }
  | {
      readonly by: 'jwt';
      readonly id: SpiffeId;
      readonly jwt: JwtSvid;
    };

const CALLER = Symbol('agent-spiffe: the caller');

/**
 * Who calls, as {@link acceptEither} has found it.
 *
 * @throws SpiffeError `ERR_SPIFFE_PEER_UNKNOWN` when it has not looked.
 */
export function callerOf(request: JwtCarrier): Caller {
  const caller = (request as { readonly [CALLER]?: Caller })[CALLER];
  if (caller !== undefined) return caller;
  throw new SpiffeError(
    'ERR_SPIFFE_PEER_UNKNOWN',
    'cannot tell who calls: put acceptEither before the handler',
  );
}

/**
 * Lets through callers whom `allow` accepts and who prove who they are by the SVID of their connection or by a JWT-SVID,
 * as {@link requireJwt} takes it; {@link callerOf} tells the handler who, and by which. For a server that allows
 * `UNAUTHENTICATED_CLIENTS`, so that clients without an SVID reach it.
 *
 * What is shown must hold: a connection's SVID does not make up for a bad token, and where both are shown they must be of
 * one ID (the caller is then known by its connection). A gateway that hands on the tokens of others is told apart by
 * `requirePeer` and `requireJwt`, one after the other.
 *
 * @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID` or `ERR_SPIFFE_OPTION_INVALID`, here and not at the first request.
 */
export function acceptEither(identity: JwtVerifier, options: RequireJwtOptions): PeerMiddleware {
  const gate = new JwtGate(identity, options);
  return (request, response, next) => {
    void (async () => {
      const caller = await judge(gate, request);
      if ('fault' in caller) {
        gate.refuse(response, caller);
        return;
      }
      Object.defineProperty(request, CALLER, { value: Object.freeze(caller), configurable: true });
      next();
    })();
  };
}

async function judge(gate: JwtGate, request: JwtCarrier): Promise<Caller | Refusal> {
  const peer = shownPeer(request);
  const verdict = await gate.judge(request);
  if (peer === undefined)
    return 'fault' in verdict ? verdict : { by: 'jwt', id: verdict.id, jwt: verdict };
  const caller = peer.id.toString();
  if (!('fault' in verdict)) {
    if (!verdict.id.equals(peer.id))
      return { fault: 'forbidden', reason: `its JWT-SVID is of ${verdict.id}`, caller };
  } else if (verdict.fault !== 'unauthenticated') return verdict;
  const reason = whyNot(gate.accepts, peer.id);
  return reason === undefined
    ? { by: 'mtls', id: peer.id, peer }
    : { fault: 'forbidden', reason, caller };
}
