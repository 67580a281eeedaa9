import { SpiffeError } from '../../errors.js';
import { checkOptions } from '../../internal/options.js';
import { quote } from '../../internal/quote.js';
import type { JwtBundleSet } from '../source.js';
import { hasLength, verifyJws, verifyJwsInPool } from './algorithms.js';
import { type JwtBundle, jwtAuthoritiesOf } from './bundle.js';
import type { JwtAuthority } from './jwk.js';
import { JwtSvid } from './svid.js';
import { type DecodedToken, decodeToken } from './token.js';
import type { VerifyJwtOptions } from './verify.js';

/** How many keys are tried on one token: bounds what a token without `kid` can cost. */
const MAX_TRIALS = 32;
const DEFAULT_LEEWAY_MS = 30_000;
export const MOST_LEEWAY_MS = 120_000;

/** To whom, and when, a token must be valid; times in seconds since 1970. */
export interface Question {
  readonly audience: readonly string[];
  readonly now: number;
  readonly leeway: number;
}

/** What decides about a token whose signature is known to be good. */
export type TokenFacts = Pick<DecodedToken, 'id' | 'audience' | 'expires' | 'notBefore'>;

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` */
export function readQuestion(options: VerifyJwtOptions): Question {
  checkOptions(options, "{ audience: 'reports' }");
  return {
    audience: readAudienceOption(options.audience),
    now: readNow(options.now),
    leeway: readLeeway(options.leewayMs) / 1000,
  };
}

/** What {@link verifyJwtSvid} does, in a module of its own, so that only who verifies a token loads it. */
export function judgeToken(
  token: string,
  bundles: JwtBundleSet,
  options: VerifyJwtOptions,
): JwtSvid | Promise<JwtSvid> {
  const decoded = judge(token, bundles, readQuestion(options));
  return decoded instanceof Promise
    ? decoded.then((known) => JwtSvid.fromDecoded(known, token))
    : JwtSvid.fromDecoded(decoded, token);
}

/** The same for a question that was read already. A promise only where the thread pool checks the signature. */
export function judge(
  token: string,
  bundles: JwtBundleSet,
  question: Question,
): DecodedToken | Promise<DecodedToken> {
  const decoded = decodeToken(token);
  checkFacts(decoded, question);
  const { id } = decoded;
  const bundle = bundles.get(id.trustDomain);
  // WLA-47: the bundle of the subject's own trust domain, whatever the set answers.
  if (bundle === undefined || !bundle.trustDomain.equals(id.trustDomain)) {
    throw new SpiffeError(
      'ERR_SPIFFE_BUNDLE_NOT_FOUND',
      `cannot verify a JWT-SVID of ${id}: there is no JWT bundle for the trust domain ${id.trustDomain}; is it federated with ours?`,
    );
  }
  const signed = signedBy(candidates(bundle, decoded), decoded);
  return typeof signed === 'boolean'
    ? sure(decoded, signed)
    : signed.then((yes) => sure(decoded, yes));
}

/** @throws SpiffeError `ERR_SPIFFE_JWT_AUDIENCE` or `ERR_SPIFFE_JWT_EXPIRED` */
export function checkFacts(token: TokenFacts, { audience, now, leeway }: Question): void {
  // JWT-11: compared element by element; "reports-admin" is not for "reports".
  if (!token.audience.some((value) => audience.includes(value))) {
    throw new SpiffeError(
      'ERR_SPIFFE_JWT_AUDIENCE',
      `refused a JWT-SVID of ${token.id}: it is for ${named(token.audience)}, and we are ${named(audience)}`,
    );
  }
  // RFC 7519 §4.1.4: on or after exp it is expired.
  if (now >= token.expires + leeway) {
    throw new SpiffeError(
      'ERR_SPIFFE_JWT_EXPIRED',
      `refused a JWT-SVID of ${token.id}: it expired at ${instant(token.expires)} (now: ${instant(now)})`,
    );
  }
  if (token.notBefore > now + leeway) {
    throw new SpiffeError(
      'ERR_SPIFFE_JWT_EXPIRED',
      `refused a JWT-SVID of ${token.id}: it is not valid before ${instant(token.notBefore)} (now: ${instant(now)}; is a clock wrong?)`,
    );
  }
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

function readNow(now: Date = new Date()): number {
  const ms = now.getTime();
  // Every comparison with NaN is false, so that nothing would ever be expired.
  if (Number.isNaN(ms))
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      'cannot verify a JWT-SVID: now is no valid Date',
    );
  return ms / 1000;
}

function readLeeway(leewayMs: number = DEFAULT_LEEWAY_MS): number {
  if (typeof leewayMs !== 'number' || !(leewayMs >= 0 && leewayMs <= MOST_LEEWAY_MS)) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot use leewayMs ${String(leewayMs)}: it is a number from 0 to ${MOST_LEEWAY_MS}`,
    );
  }
  return leewayMs;
}

function named(names: readonly string[]): string {
  return names.slice(0, 5).map(quote).join(', ') + (names.length > 5 ? ' and others' : '');
}

function instant(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}

function sure(token: DecodedToken, signed: boolean): DecodedToken {
  if (signed) return token;
  const { id, keyId } = token;
  throw new SpiffeError(
    'ERR_SPIFFE_JWT_UNTRUSTED',
    `cannot verify a JWT-SVID of ${id}: no key ${keyId === undefined ? '' : 'of its kid '}in the bundle of ${id.trustDomain} signed it (JWT-20)`,
  );
}

function candidates(bundle: JwtBundle, token: DecodedToken): readonly JwtAuthority[] {
  const { algorithm, keyId, signature } = token;
  return jwtAuthoritiesOf(bundle)
    .filter(
      (authority) =>
        // JWT-05: the algorithm goes with one kind of key, and a signature has one length.
        authority.kind === algorithm.keyKind &&
        hasLength(algorithm, authority.key, signature) &&
        // JWT-07: with kid, the keys that have it; without, every key that fits.
        (keyId === undefined || keyId === authority.keyId),
    )
    .slice(0, MAX_TRIALS);
}

/** Signatures that the thread pool checks at this moment. */
let inPool = 0;
const settled = Promise.resolve();
/** Whether one was checked on this thread since whoever waited for it could go on. */
let justChecked = false;

/**
 * One signature is checked soonest on this thread. Where several are to be checked at a time, the thread pool does it with
 * more than one core; an RSA signature costs less than the way there.
 */
function signedBy(keys: readonly JwtAuthority[], token: DecodedToken): boolean | Promise<boolean> {
  const { algorithm, signed, signature } = token;
  if (algorithm.keyKind !== 'RSA' && (inPool > 0 || justChecked)) return signedInPool(keys, token);
  if (!justChecked) {
    justChecked = true;
    // Not queueMicrotask, which costs three times as much.
    void settled.then(forgetCheck);
  }
  return keys.some(({ key }) => verifyJws(algorithm, key, signed, signature));
}

function forgetCheck(): void {
  justChecked = false;
}

async function signedInPool(keys: readonly JwtAuthority[], token: DecodedToken): Promise<boolean> {
  const { algorithm, signed, signature } = token;
  inPool++;
  try {
    for (const { key } of keys)
      if (await verifyJwsInPool(algorithm, key, signed, signature)) return true;
    return false;
  } finally {
    inPool--;
  }
}
