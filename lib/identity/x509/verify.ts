import { SpiffeError } from '../../errors.js';
import type { Peer, X509BundleSet } from '../source.js';
import { anchorsOf, type X509Bundle } from './bundle.js';
import { Certificate } from './certificate.js';
import { leafId } from './leaf.js';
import { findPath } from './path.js';

/** A longer chain is refused unread (the limit is ours; SPIRE's chains hold two or three). */
export const MAX_CHAIN_LENGTH = 16;

/**
 * Decides whether a chain of certificates is a valid X.509-SVID now: the one function that both roles of the TLS
 * gate ask. The leaf must meet the standard's rules, and a path of RFC 5280 §6 must lead to an authority in the bundle
 * of the leaf's own trust domain; no other bundle is looked at.
 *
 * @param chain - DER certificates, the leaf first, the others in any order.
 * @param options - `now`: the instant for which to decide; the wall clock unless given.
 * @returns the verified ID, and the path from the leaf to the authority.
 * @throws SpiffeError `ERR_SPIFFE_X509_SVID_INVALID` when it is not an X.509-SVID at all,
 * `ERR_SPIFFE_BUNDLE_NOT_FOUND` when its trust domain is unknown, `ERR_SPIFFE_X509_EXPIRED` when it is not valid at
 * that instant, `ERR_SPIFFE_X509_UNTRUSTED` when no path leads to an authority; `ERR_SPIFFE_OPTION_INVALID` for a `now`
 * that is no instant.
 */
export function verifyX509Svid(
  chain: readonly Uint8Array[],
  bundles: X509BundleSet,
  options: { readonly now?: Date } = {},
): Peer {
  return judgeChain(chain, bundles, (options.now ?? new Date()).getTime()).peer;
}

/** A verified peer, and while what holds it to be one. */
export interface Judgement {
  readonly peer: Peer;
  readonly bundle: X509Bundle;
  /** The certificates of the path are all valid from this instant to that one, both included, in ms since 1970. */
  readonly from: number;
  readonly until: number;
}

/** What {@link verifyX509Svid} does, and what it rests on. */
export function judgeChain(
  chain: readonly Uint8Array[],
  bundles: X509BundleSet,
  now: number,
): Judgement {
  // No instant is before or after this one, so every certificate would be valid at it.
  if (Number.isNaN(now)) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      'cannot verify an X.509-SVID for the instant `now`: it is an invalid Date',
    );
  }
  if (chain.length > MAX_CHAIN_LENGTH)
    throw invalid(`the chain holds ${chain.length} certificates, more than ${MAX_CHAIN_LENGTH}`);
  const [leaf, ...others] = decode(chain);
  if (leaf === undefined) throw invalid('the chain is empty');
  const id = leafId(leaf);
  const bundle = bundles.get(id.trustDomain);
  // X509-30: the bundle of the leaf's own trust domain, and nothing else, can vouch for it; whatever the set answers.
  if (bundle === undefined || !bundle.trustDomain.equals(id.trustDomain)) {
    throw new SpiffeError(
      'ERR_SPIFFE_BUNDLE_NOT_FOUND',
      `cannot verify ${id}: there is no bundle for the trust domain ${id.trustDomain}; is it federated with ours?`,
    );
  }
  const path = findPath(leaf, others, anchorsOf(bundle), now);
  if ('refusal' in path) throw new SpiffeError(path.code, `cannot verify ${id}: ${path.refusal}`);
  const { certificates } = path;
  return {
    peer: { id, chain: certificates.map(({ der }) => der) },
    bundle,
    from: Math.max(...certificates.map(({ notBefore }) => notBefore)),
    until: Math.min(...certificates.map(({ notAfter }) => notAfter)),
  };
}

function decode(chain: readonly Uint8Array[]): Certificate[] {
  return chain.map((bytes, at) => {
    try {
      return Certificate.decode(bytes);
    } catch (cause) {
      const { message } = cause as Error;
      throw invalid(`certificate ${at} of the chain cannot be decoded: ${message}`, cause);
    }
  });
}

function invalid(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_X509_SVID_INVALID', `not a valid X.509-SVID: ${why}`, {
    cause,
  });
}
