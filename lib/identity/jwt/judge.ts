import { SpiffeError } from '../../errors.js';
import type { JwtBundleSet } from '../source.js';
import { verifyJws } from './algorithms.js';
import { type JwtBundle, jwtAuthoritiesOf } from './bundle.js';
import { JwtSvid } from './svid.js';
import { type DecodedToken, decodeToken } from './token.js';
import type { VerifyJwtOptions } from './verify.js';

/** How many keys are tried on one token: bounds what a token without `kid` can cost. */
const MAX_TRIALS = 32;
const DEFAULT_LEEWAY_MS = 30_000;
const MOST_LEEWAY_MS = 120_000;

/** What {@link verifyJwtSvid} does, in a module of its own, so that only who verifies a token loads it. */
export function judgeToken(
  token: string,
  bundles: JwtBundleSet,
  options: VerifyJwtOptions,
): JwtSvid {
  const audience = readAudienceOption(options.audience);
  const leeway = readLeeway(options.leewayMs) / 1000;
  const now = (options.now ?? new Date()).getTime() / 1000;
  const decoded = decodeToken(token);
  const { id } = decoded;
  if (!decoded.audience.some((value) => audience.includes(value))) {
    throw new SpiffeError(
      'ERR_SPIFFE_JWT_AUDIENCE',
      `refused a JWT-SVID of ${id}: it is for ${JSON.stringify(decoded.audience).slice(0, 200)}, and we are ${JSON.stringify(audience)}`,
    );
  }
  checkTime(decoded, now, leeway);
  const bundle = bundles.get(id.trustDomain);
  if (bundle === undefined) {
    throw new SpiffeError(
      'ERR_SPIFFE_BUNDLE_NOT_FOUND',
      `cannot verify a JWT-SVID of ${id}: there is no JWT bundle for the trust domain ${id.trustDomain}; is it federated with ours?`,
    );
  }
  if (!signedBy(bundle, decoded)) {
    throw new SpiffeError(
      'ERR_SPIFFE_JWT_UNTRUSTED',
      `cannot verify a JWT-SVID of ${id}: no key ${decoded.keyId === undefined ? '' : 'of its kid '}in the bundle of ${id.trustDomain} signed it (JWT-20)`,
    );
  }
  return JwtSvid.fromDecoded(decoded, token);
}

function readAudienceOption(audience: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(audience) ? audience : [audience];
  // JWT-12: with nothing that we answer to, nothing validates.
  if (list.length === 0 || !list.every((value) => typeof value === 'string' && value !== '')) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      'cannot verify a JWT-SVID without an audience: name at least one that this service answers to',
    );
  }
  return list as readonly string[];
}

function readLeeway(leewayMs: number = DEFAULT_LEEWAY_MS): number {
  if (!(leewayMs >= 0 && leewayMs <= MOST_LEEWAY_MS)) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot use leewayMs ${leewayMs}: it is from 0 to ${MOST_LEEWAY_MS}`,
    );
  }
  return leewayMs;
}

function checkTime(token: DecodedToken, now: number, leeway: number): void {
  // RFC 7519 §4.1.4: on or after exp it is expired.
  if (now >= token.expires + leeway) {
    throw new SpiffeError(
      'ERR_SPIFFE_JWT_EXPIRED',
      `refused a JWT-SVID of ${token.id}: it expired at ${instant(token.expires)} (now: ${instant(now)})`,
    );
  }
  if (token.notBefore !== undefined && token.notBefore > now + leeway) {
    throw new SpiffeError(
      'ERR_SPIFFE_JWT_EXPIRED',
      `refused a JWT-SVID of ${token.id}: it is not valid before ${instant(token.notBefore)} (now: ${instant(now)}; is a clock wrong?)`,
    );
  }
}

function instant(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `${seconds} s after 1970` : date.toISOString();
}

function signedBy(bundle: JwtBundle, token: DecodedToken): boolean {
  let trials = 0;
  for (const authority of jwtAuthoritiesOf(bundle)) {
    if (authority.kind !== token.algorithm.keyKind) continue;
    // JWT-07: with kid, the keys that have it; without, every key that fits.
    if (token.keyId !== undefined && token.keyId !== authority.keyId) continue;
    if (++trials > MAX_TRIALS) return false;
    if (verifyJws(token.algorithm, authority.key, token.signed, token.signature)) return true;
  }
  return false;
}
