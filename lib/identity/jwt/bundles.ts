import type { JwtBundleSet } from '../source.js';
import type { TrustDomain } from '../trust-domain.js';
import type { JwtBundle } from './bundle.js';

/** An immutable set of JWT bundles, one a trust domain. */
export class JwtBundles implements JwtBundleSet {
  readonly #byDomain: ReadonlyMap<string, JwtBundle>;

  private constructor(byDomain: ReadonlyMap<string, JwtBundle>) {
    this.#byDomain = byDomain;
    Object.freeze(this);
  }

  /** Of two bundles for one trust domain the later counts: bundles are replaced, never merged. */
  static of(...bundles: readonly JwtBundle[]): JwtBundles {
    return new JwtBundles(new Map(bundles.map((bundle) => [bundle.trustDomain.name, bundle])));
  }

  /** The bundle of a trust domain, or `undefined`, which means that nothing of that domain is trusted. */
  get(trustDomain: TrustDomain | string): JwtBundle | undefined {
    return this.#byDomain.get(typeof trustDomain === 'string' ? trustDomain : trustDomain.name);
  }

  get size(): number {
    return this.#byDomain.size;
  }

  [Symbol.iterator](): Iterator<JwtBundle> {
    return this.#byDomain.values();
  }
}
