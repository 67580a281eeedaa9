import { SpiffeError } from '../errors.js';
import { quote } from '../internal/quote.js';
import { TrustDomain } from './trust-domain.js';

const ID = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/(?!\.\.?(?:\/|$))[a-zA-Z0-9._-]+)*)$/;
const SEGMENT = /^(?!\.\.?$)[a-zA-Z0-9._-]+$/;
const LONGEST = 2048;

/**
 * A SPIFFE ID that has passed every rule of SPIFFE-ID §2. Parsing never normalises: two IDs are the same exactly
 * when their texts are. Immutable.
 */
export class SpiffeId {
  readonly trustDomain: TrustDomain;
  /** Empty for a trust domain's own ID, else it begins with `/`. */
  readonly path: string;

  private constructor(trustDomain: TrustDomain, path: string) {
    this.trustDomain = trustDomain;
    this.path = path;
    Object.freeze(this);
  }

  /**
   * Parses a SPIFFE ID of at most 2048 bytes.
   *
   * @throws SpiffeError `ERR_SPIFFE_ID_INVALID`, naming the rule that the text breaks.
   */
  static parse(text: string): SpiffeId {
    // No URL parser: it would collapse `/../`, drop an empty port and strip newlines before anyone could object.
    const match = typeof text === 'string' && text.length <= LONGEST ? ID.exec(text) : null;
    if (match === null) {
      throw new SpiffeError(
        'ERR_SPIFFE_ID_INVALID',
        `cannot parse ${quote(text)} as a SPIFFE ID: ${whyNot(text)}`,
      );
    }
    const [, name = '', path = ''] = match;
    return new SpiffeId(TrustDomain.parse(name), path);
  }

  /**
   * Builds the ID of `segments` below a trust domain; without segments, the trust domain's own ID.
   *
   * @throws SpiffeError `ERR_SPIFFE_TRUST_DOMAIN_INVALID`, or `ERR_SPIFFE_ID_INVALID` when a segment is empty, is
   * `.` or `..`, holds other than `a-z A-Z 0-9 . - _`, or the whole is longer than 2048 bytes.
   */
  static of(trustDomain: TrustDomain | string, ...segments: readonly string[]): SpiffeId {
    const domain = TrustDomain.parse(trustDomain);
    for (const segment of segments) {
      if (typeof segment !== 'string' || !SEGMENT.test(segment)) {
        throw new SpiffeError(
          'ERR_SPIFFE_ID_INVALID',
          `cannot build a SPIFFE ID from the segment ${quote(segment)}: ${whyNotSegment(segment)}`,
        );
      }
    }
    const path = segments.map((segment) => `/${segment}`).join('');
    if (domain.idString.length + path.length > LONGEST) {
      throw new SpiffeError(
        'ERR_SPIFFE_ID_INVALID',
        `cannot build a SPIFFE ID below ${domain.name}: it would be longer than 2048 bytes (SPIFFE-ID 2.3)`,
      );
    }
    return new SpiffeId(domain, path);
  }

  /** Whether it lies in this trust domain, given as such or by its name. */
  memberOf(trustDomain: TrustDomain | string): boolean {
    const name = typeof trustDomain === 'string' ? trustDomain : trustDomain.name;
    return this.trustDomain.name === name;
  }

  equals(other: SpiffeId): boolean {
    return this.path === other.path && this.trustDomain.equals(other.trustDomain);
  }

  toString(): string {
    return this.trustDomain.idString + this.path;
  }

  toJSON(): string {
    return this.toString();
  }
}

function whyNotSegment(segment: unknown): string {
  if (typeof segment !== 'string') return 'it is not a string';
  if (segment === '') return 'a segment may not be empty (SPIFFE-ID 2.2)';
  if (segment === '.' || segment === '..') return 'a segment may not be . or .. (SPIFFE-ID 2.2)';
  if (segment.includes('%')) return 'percent-encoding is not allowed (SPIFFE-ID 2.2)';
  return 'only a-z A-Z 0-9 . - _ are allowed in a segment (SPIFFE-ID 2.2)';
}

function whyNot(text: unknown): string {
  if (typeof text !== 'string') return 'it is not a string';
  if (text === '') return 'it is empty';
  if (text.length > LONGEST) return 'it is longer than 2048 bytes (SPIFFE-ID 2.3)';
  if (!text.startsWith('spiffe://'))
    return 'it does not begin with spiffe:// in lower case (SPIFFE-ID 2)';
  const rest = text.slice('spiffe://'.length);
  if (rest.includes('?') || rest.includes('#'))
    return 'a query or fragment is not allowed (SPIFFE-ID 2)';
  const [authority = '', ...segments] = rest.split('/');
  if (authority === '') return 'the trust domain is missing (SPIFFE-ID 2)';
  if (authority.startsWith('[')) return 'an IPv6 address is not a trust domain (SPIFFE-ID 2.1)';
  if (authority.includes('@') || authority.includes(':'))
    return 'user info and port are not allowed (SPIFFE-ID 2.1)';
  if (/[A-Z]/.test(authority)) return 'the trust domain must be lower case (SPIFFE-ID 2.1)';
  if (authority.length > 255) return 'the trust domain is longer than 255 bytes (SPIFFE-ID 2.3)';
  if (!/^[a-z0-9._-]+$/.test(authority))
    return 'only a-z 0-9 . - _ are allowed in the trust domain (SPIFFE-ID 2.1)';
  if (segments.at(-1) === '') return 'a trailing slash is not allowed (SPIFFE-ID 2.2)';
  return whyNotSegment(segments.find((segment) => !SEGMENT.test(segment)));
}
