import { SpiffeError } from '../errors.js';
import type { SpiffeId } from '../identity/spiffe-id.js';
import { TrustDomain } from '../identity/trust-domain.js';
import type { Clock } from '../internal/clock.js';
import type {
  JwtBundlesResponse,
  X509BundlesResponse,
  X509SvidResponse,
} from '../sources/workload-api/proto.js';
import { TestCa, type TestCaOptions } from './ca.js';
import { type EntitledIdentity, Identities, type ServedIdentity } from './identities.js';

/** What the development Workload API serves: one trust domain's identities, and the bundles of those federated. */
export class Issuer {
  readonly ca: TestCa;
  readonly identities: Identities;
  /** While it is set, callers are entitled to nothing. */
  withdrawn = false;
  readonly #caOptions: TestCaOptions;
  readonly #federated = new Map<string, TestCa>();

  constructor(
    trustDomain: TrustDomain | string,
    identities: readonly (ServedIdentity | SpiffeId | string)[],
    options: Omit<TestCaOptions, 'now'> & { readonly clock: Clock },
  ) {
    const { clock, ...caOptions } = options;
    this.#caOptions = { ...caOptions, now: () => new Date(clock.now()) };
    this.ca = TestCa.create(trustDomain, this.#caOptions);
    this.identities = new Identities(this.ca, clock);
    this.identities.replace(identities);
  }

  x509Svids(): X509SvidResponse | undefined {
    if (this.entitled.length === 0) return undefined;
    return { svids: this.identities.entries(), crl: [], federatedBundles: this.#foreignBundles() };
  }

  x509Bundles(): X509BundlesResponse | undefined {
    if (this.entitled.length === 0) return undefined;
    const own = [this.ca.trustDomain.idString, this.ca.bundleDer] as const;
    return { crl: [], bundles: new Map([own, ...this.#foreignBundles()]) };
  }

  jwtBundles(): JwtBundlesResponse | undefined {
    if (this.entitled.length === 0) return undefined;
    const bundles = this.authorities.map(
      (ca) => [ca.trustDomain.idString, ca.jwtBundleJson] as const,
    );
    return { bundles: new Map(bundles) };
  }

  /** A trust domain given by name gets a CA made for it. */
  federate(domain: TestCa | TrustDomain | string): TestCa {
    const ca = domain instanceof TestCa ? domain : TestCa.create(domain, this.#caOptions);
    if (ca.trustDomain.equals(this.ca.trustDomain)) {
      throw new SpiffeError(
        'ERR_SPIFFE_OPTION_INVALID',
        `cannot federate ${ca.trustDomain.name} with itself; name another trust domain`,
      );
    }
    this.#federated.set(ca.trustDomain.name, ca);
    return ca;
  }

  unfederate(domain: TrustDomain | string): void {
    const { name } = this.caOf(domain).trustDomain;
    this.#federated.delete(name);
  }

  /** The CA of a federated trust domain, or of the own one. */
  caOf(domain: TrustDomain | string): TestCa {
    const trustDomain = TrustDomain.parse(domain);
    if (trustDomain.equals(this.ca.trustDomain)) return this.ca;
    const ca = this.#federated.get(trustDomain.name);
    if (ca === undefined) {
      throw new SpiffeError(
        'ERR_SPIFFE_BUNDLE_NOT_FOUND',
        `the development Workload API of ${this.ca.trustDomain.name} is not federated with ${trustDomain.name}; call federate first`,
      );
    }
    return ca;
  }

  get federated(): readonly string[] {
    return [...this.#federated.keys()];
  }

  /** The CA of its own trust domain, and those of the federated ones. */
  get authorities(): readonly TestCa[] {
    return [this.ca, ...this.#federated.values()];
  }

  /**
   * What callers are entitled to at present. Workload Endpoint 6: no identity for the caller means PermissionDenied,
   * bundles included (WLA-23, WLA-26).
   */
  get entitled(): readonly EntitledIdentity[] {
    return this.withdrawn ? [] : this.identities.entitled;
  }

  #foreignBundles(): Map<string, Uint8Array> {
    return new Map(
      [...this.#federated.values()].map((ca) => [ca.trustDomain.idString, ca.bundleDer]),
    );
  }
}
