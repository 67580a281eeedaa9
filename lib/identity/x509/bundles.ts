import type { X509BundleSet } from '../source.js';
import type { TrustDomain } from '../trust-domain.js';
import type { X509Bundle } from './bundle.js';

/** An immutable set of bundles, one a trust domain. Each verifies SVIDs of its own trust domain and no other. */
export class X509Bundles implements X509BundleSet {
  readonly #byDomain: ReadonlyMap<string, X509Bundle>;

  private constructor(byDomain: ReadonlyMap<string, X509Bundle>) {
    this.#byDomain = byDomain;
    Object.freeze(this);
  }

  /** Of two bundles for one trust domain the later counts: bundles are replaced, never merged. */
  static of(...bundles: readonly X509Bundle[]): X509Bundles {
    return new X509Bundles(new Map(bundles.map((bundle) => [bundle.trustDomain.name, bundle])));
  }

  /** The bundle of a trust domain, or `undefined`, which means that nothing of that domain is trusted. */
  get(trustDomain: TrustDomain | string): X509Bundle | undefined {
    return this.#byDomain.get(typeof trustDomain === 'string' ? trustDomain : trustDomain.name);
  }

  get size(): number {
    return this.#byDomain.size;
  }

  [Symbol.iterator](): Iterator<X509Bundle> {
    return this.#byDomain.values();
  }
}
