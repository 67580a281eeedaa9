import type { Peer, X509BundleSet } from '../../identity/source.js';
import type { SpiffeId } from '../../identity/spiffe-id.js';
import { Certificate } from '../../identity/x509/certificate.js';
import { VerifiedChains } from '../../identity/x509/verified-chains.js';
import type { Anchor } from './chain.js';
import { demand, GrantError } from './grant-error.js';
import { certifiedKey } from './keys.js';
import type { Token } from './token.js';

/** Who signed a root: the key and the SPIFFE ID of an X.509-SVID that is valid now. */
export interface GrantIssuer extends Anchor {
  readonly id: SpiffeId;
  /** Seconds since 1970, both included. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** The same issuer comes with each call: what of it holds as long as it does is not computed again. */
const known = new VerifiedChains();
const issuers = new WeakMap<Peer, GrantIssuer>();

/**
 * The SVID whose chain travels beside the tokens, as the anchor of this one verification: verified as a peer's, now, by
 * the bundle of its own trust domain.
 */
export function verifyIssuer(
  chain: readonly Uint8Array[],
  bundles: X509BundleSet,
  now: Date,
): GrantIssuer {
  let peer: Peer;
  try {
    peer = known.verify(chain, bundles, { now });
  } catch (cause) {
    throw new GrantError('issuer', 'the X.509-SVID of its issuer does not verify', cause);
  }
  const issuer = issuers.get(peer) ?? readIssuer(peer);
  issuers.set(peer, issuer);
  return issuer;
}

function readIssuer({ id, chain }: Peer): GrantIssuer {
  const leaf = Certificate.decode(chain[0] as Uint8Array);
  const key = certifiedKey(leaf.publicKey);
  demand(
    key !== undefined,
    'issuer',
    'the key of its issuer’s X.509-SVID is for no algorithm of ours',
  );
  const [notBefore, notAfter] = [leaf.notBefore, leaf.notAfter].map((ms) => Math.floor(ms / 1000));
  return {
    ...key,
    issuer: id.toString(),
    id,
    notBefore: notBefore as number,
    notAfter: notAfter as number,
  };
}

/** A root is of its issuer's SVID: made while that was valid, and gone with it at the latest. */
export function checkIssued({ iat, exp }: Token, { notBefore, notAfter }: GrantIssuer): void {
  demand(exp <= notAfter, 'issuer', 'its root outlives the X.509-SVID of its issuer');
  demand(iat >= notBefore, 'issuer', 'its root is older than the X.509-SVID of its issuer');
}
