import { SpiffeError } from '../errors.js';
import { SpiffeId } from '../identity/spiffe-id.js';
import type { TrustDomain } from '../identity/trust-domain.js';
import {
  type CertificateRequest,
  readCertificateRequest,
} from '../identity/x509/certificate-request.js';
import { quote } from '../internal/quote.js';

const DAY_MS = 24 * 3600_000;
/** Half of an authority's life, after which a server rotates it: what it signs is never cut short. */
const LONGEST_TTL_MS = 182 * DAY_MS;
/** What a CA says of a token itself. */
const OWN_CLAIMS = ['sub', 'aud', 'exp', 'iat'];

/** The ID of a workload of `trustDomain`. */
export function checkSubject(id: SpiffeId | string, trustDomain: TrustDomain): SpiffeId {
  const subject = id instanceof SpiffeId ? id : SpiffeId.parse(id);
  if (!subject.memberOf(trustDomain)) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot issue an SVID for ${subject.toString()}: this CA is the authority of ${trustDomain.name}; give an ID below ${trustDomain.idString}`,
    );
  }
  // X509-SVID 3.1: a leaf's SPIFFE ID has a path; a token's has one too (A-05).
  if (subject.path === '') {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot issue an SVID for ${subject.toString()}: a workload's ID has a path (X509-SVID 3.1); add one`,
    );
  }
  return subject;
}

/** The names a token is for: at least one (JWT-10), none of them empty. */
export function checkAudience(audience: string | readonly string[]): readonly string[] {
  const list: readonly unknown[] = Array.isArray(audience) ? audience : [audience];
  if (list.length > 0 && list.every((name) => typeof name === 'string' && name !== ''))
    return list as readonly string[];
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    'cannot issue a JWT-SVID without an audience: name the service that it is for',
  );
}

/** Claims that the CA does not set itself. */
export function checkClaims(
  claims: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const own = OWN_CLAIMS.find((name) => Object.hasOwn(claims, name));
  if (own === undefined) return claims;
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot issue a JWT-SVID with ${own} among its further claims: the CA sets that one`,
  );
}

/** A PKCS#10 request for one SPIFFE ID. */
export function readRequest(csr: Uint8Array): CertificateRequest {
  try {
    return readCertificateRequest(csr);
  } catch (cause) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot issue an SVID for this certificate request: ${(cause as Error).message}`,
      { cause },
    );
  }
}

/** A life in milliseconds. */
export function checkTtl(ttlMs: number): number {
  if (Number.isSafeInteger(ttlMs) && ttlMs >= 1000 && ttlMs <= LONGEST_TTL_MS) return ttlMs;
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot issue an SVID with a life of ${typeof ttlMs === 'number' ? `${ttlMs} ms` : quote(ttlMs)}; give whole milliseconds, from 1000 (one second) to ${LONGEST_TTL_MS} (182 days)`,
  );
}
