import { SpiffeError } from '../../errors.js';
import { readPem } from '../../internal/pem.js';
import { TrustDomain } from '../trust-domain.js';
import { Certificate } from './certificate.js';

/** The decoded authorities of a bundle by their subject; for the verifier alone. */
export type Anchors = ReadonlyMap<string, readonly Certificate[]>;

const anchors = new WeakMap<X509Bundle, Anchors>();

/**
 * The X.509 authorities of one trust domain. Immutable; a bundle without authorities is one, and trusts nothing.
 */
export class X509Bundle {
  readonly trustDomain: TrustDomain;
  /** The CA certificates as DER, in the order in which they were given. */
  readonly authorities: readonly Uint8Array[];

  private constructor(trustDomain: TrustDomain, certificates: readonly Certificate[]) {
    this.trustDomain = trustDomain;
    this.authorities = Object.freeze(certificates.map((certificate) => certificate.der));
    const bySubject = new Map<string, Certificate[]>();
    for (const certificate of certificates) {
      const same = bySubject.get(certificate.subject);
      if (same === undefined) bySubject.set(certificate.subject, [certificate]);
      else same.push(certificate);
    }
    anchors.set(this, bySubject);
    Object.freeze(this);
  }

  /**
   * Takes DER certificates that stand one after another, the form of the Workload API.
   *
   * @throws SpiffeError `ERR_SPIFFE_X509_BUNDLE_INVALID` when the bytes are anything else, PEM for one; or
   * `ERR_SPIFFE_TRUST_DOMAIN_INVALID`.
   */
  static fromDer(trustDomain: TrustDomain | string, der: Uint8Array): X509Bundle {
    const domain = TrustDomain.parse(trustDomain);
    try {
      // A copy: the caller may write over its bytes.
      return new X509Bundle(domain, Certificate.decodeAll(Uint8Array.from(der)));
    } catch (cause) {
      throw invalid(domain, 'the bytes are not DER certificates one after another', cause);
    }
  }

  /**
   * Takes the `CERTIFICATE` blocks of a PEM text; what stands between them is passed over.
   *
   * @throws SpiffeError `ERR_SPIFFE_X509_BUNDLE_INVALID` when there is none, one of them is broken, or a block of
   * another kind is among them (a private key has no place in a bundle).
   */
  static fromPem(trustDomain: TrustDomain | string, pem: string | Uint8Array): X509Bundle {
    const domain = TrustDomain.parse(trustDomain);
    try {
      const blocks = readPem(
        typeof pem === 'string' ? pem : Buffer.from(pem).toString('latin1'),
        'CERTIFICATE',
      );
      return new X509Bundle(
        domain,
        blocks.map((block) => Certificate.decode(block)),
      );
    } catch (cause) {
      throw invalid(domain, 'the text is not PEM certificates', cause);
    }
  }

  /** Both are of one trust domain and hold the same authorities in the same order. */
  equals(other: X509Bundle): boolean {
    return (
      this.trustDomain.equals(other.trustDomain) &&
      this.authorities.length === other.authorities.length &&
      this.authorities.every(
        (der, at) => Buffer.compare(der, other.authorities[at] as Uint8Array) === 0,
      )
    );
  }
}

/** The decoded authorities of `bundle`. */
export function anchorsOf(bundle: X509Bundle): Anchors {
  return anchors.get(bundle) as Anchors;
}

function invalid(domain: TrustDomain, why: string, cause: unknown): SpiffeError {
  const { message } = cause as Error;
  return new SpiffeError(
    'ERR_SPIFFE_X509_BUNDLE_INVALID',
    `cannot take a bundle for ${domain}: ${why}: ${message}`,
    { cause },
  );
}
