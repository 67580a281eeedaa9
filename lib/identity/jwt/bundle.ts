import { SpiffeError } from '../../errors.js';
import { isJsonObject, member, parseJsonObject } from '../../internal/json.js';
import { TrustDomain } from '../trust-domain.js';
import { type JwtAuthority, readJwk } from './jwk.js';

/** Which documents a set of keys is read from. */
export interface JwtBundleOptions {
  /**
   * `jwks` (default): a plain JWK set as the Workload API gives it, where `use` may be missing. `spiffe`: a
   * SPIFFE bundle document, where a key without `use: "jwt-svid"` is none of ours (JWT-25).
   */
  readonly format?: 'jwks' | 'spiffe';
}

/** More would let one document of a foreign trust domain hold up everything else while its keys are made. */
const MOST_KEYS = 128;

const authorities = new WeakMap<JwtBundle, readonly JwtAuthority[]>();

/** The keys that verify the JWT-SVIDs of one trust domain. Immutable; without keys it trusts nothing (JWT-26). */
export class JwtBundle {
  readonly trustDomain: TrustDomain;
  /** The ids of the keys, in the order of the document. */
  readonly keyIds: readonly string[];
  /** Entries that were left out, each with the reason; they cost none of the others. */
  readonly skipped: readonly string[];

  private constructor(
    trustDomain: TrustDomain,
    keys: readonly JwtAuthority[],
    skipped: readonly string[],
  ) {
    this.trustDomain = trustDomain;
    this.keyIds = Object.freeze(keys.map((key) => key.keyId));
    this.skipped = Object.freeze(skipped);
    authorities.set(this, keys);
    Object.freeze(this);
  }

  /**
   * Parses a JWK set. Keys of other uses are passed over; a key that cannot serve (private, symmetric, without `kid`,
   * broken) is left out and named in {@link JwtBundle.skipped}, and so are those behind the first 128.
   *
   * @throws SpiffeError `ERR_SPIFFE_JWT_BUNDLE_INVALID` when the document is not a JSON object with an array `keys`,
   * `ERR_SPIFFE_TRUST_DOMAIN_INVALID`.
   */
  static parse(
    trustDomain: TrustDomain | string,
    json: string | Uint8Array,
    options: JwtBundleOptions = {},
  ): JwtBundle {
    const domain = TrustDomain.parse(trustDomain);
    const document = parseJsonObject(typeof json === 'string' ? Buffer.from(json) : json);
    const entries = document && member(document, 'keys');
    if (!Array.isArray(entries)) {
      throw new SpiffeError(
        'ERR_SPIFFE_JWT_BUNDLE_INVALID',
        `cannot take a JWT bundle for ${domain}: the document is not a JSON object with an array "keys" (RFC 7517 5)`,
      );
    }
    const keys: JwtAuthority[] = [];
    const skipped: string[] = [];
    const mine = entries.filter((entry) => forJwt(entry, options.format ?? 'jwks'));
    if (mine.length > MOST_KEYS)
      skipped.push(`${mine.length - MOST_KEYS} entries behind the first ${MOST_KEYS}, the limit`);
    for (const entry of mine.slice(0, MOST_KEYS)) {
      const key = readJwk(entry);
      if ('skipped' in key) skipped.push(key.skipped);
      else keys.push(key);
    }
    return new JwtBundle(domain, keys, skipped);
  }

  /** Both are of one trust domain and hold the same keys, in whatever order: SPIRE gives them in a new one each time. */
  equals(other: JwtBundle): boolean {
    return this.trustDomain.equals(other.trustDomain) && fingerprint(this) === fingerprint(other);
  }
}

/** The decoded keys of `bundle`; for the verifier alone. */
export function jwtAuthoritiesOf(bundle: JwtBundle): readonly JwtAuthority[] {
  return authorities.get(bundle) as readonly JwtAuthority[];
}

function fingerprint(bundle: JwtBundle): string {
  return jwtAuthoritiesOf(bundle)
    .map((key) => key.fingerprint)
    .toSorted()
    .join();
}

function forJwt(entry: unknown, format: 'jwks' | 'spiffe'): boolean {
  const use = isJsonObject(entry) ? member(entry, 'use') : undefined;
  if (use === 'jwt-svid') return true;
  return format === 'jwks' && (use === undefined || use === 'sig');
}
