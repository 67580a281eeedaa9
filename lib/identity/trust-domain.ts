import { SpiffeError } from '../errors.js';
import { quote } from '../internal/quote.js';

const NAME = /^[a-z0-9._-]{1,255}$/;

/**
 * The name of a trust domain (SPIFFE-ID §2.1): 1 to 255 of `a-z 0-9 . - _`. It is never read as a DNS name or an
 * IP address. Immutable.
 */
export class TrustDomain {
  /** The name alone, such as `example.org`. */
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
    Object.freeze(this);
  }

  /**
   * Takes a trust domain's name, or a trust domain as it is.
   *
   * @throws SpiffeError `ERR_SPIFFE_TRUST_DOMAIN_INVALID` when the name breaks SPIFFE-ID §2.1.
   */
  static parse(name: string | TrustDomain): TrustDomain {
    if (name instanceof TrustDomain) return name;
    if (typeof name !== 'string' || !NAME.test(name)) {
      throw new SpiffeError(
        'ERR_SPIFFE_TRUST_DOMAIN_INVALID',
        `cannot take ${quote(name)} as a trust domain: ${whyNot(name)}`,
      );
    }
    return new TrustDomain(name);
  }

  /** The trust domain's own SPIFFE ID as text, `spiffe://<name>`. */
  get idString(): string {
    return `spiffe://${this.name}`;
  }

  equals(other: TrustDomain): boolean {
    return this.name === other.name;
  }

  toString(): string {
    return this.name;
  }

  toJSON(): string {
    return this.name;
  }
}

function whyNot(name: unknown): string {
  if (typeof name !== 'string') return 'it is not a string';
  if (name === '') return 'it is empty';
  if (name.startsWith('spiffe://')) return 'give the name alone, without spiffe://';
  if (name.length > 255) return 'it is longer than 255 bytes (SPIFFE-ID 2.3)';
  if (/[A-Z]/.test(name)) return 'upper case is not allowed (SPIFFE-ID 2.1)';
  return 'only a-z 0-9 . - _ are allowed (SPIFFE-ID 2.1)';
}
