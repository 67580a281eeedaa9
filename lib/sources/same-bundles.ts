import type { TrustDomain } from '../identity/trust-domain.js';

/** A bundle that can be compared with another. */
export interface Comparable<Bundle> {
  readonly trustDomain: TrustDomain;
  equals(other: Bundle): boolean;
}

/** A set of bundles that can be looked through. */
export interface BundleSet<Bundle> extends Iterable<Bundle> {
  readonly size: number;
  get(domain: TrustDomain): Bundle | undefined;
}

/** Both hold the same objects: what has not changed must have kept its own. */
export function sameBundles<Bundle extends { readonly trustDomain: TrustDomain }>(
  one: BundleSet<Bundle>,
  other: BundleSet<Bundle>,
): boolean {
  return (
    one.size === other.size &&
    Array.from(one).every((bundle) => bundle === other.get(bundle.trustDomain))
  );
}
