import type { KeyObject } from 'node:crypto';
import { decodeBase64url } from '../../internal/base64url.js';
import { nodeCrypto } from '../../internal/crypto.js';
import { isJsonObject, type JsonObject, member } from '../../internal/json.js';
import { P256_SPKI_HEAD } from '../../internal/p256-spki.js';
import type { JwtKeyKind } from './algorithms.js';

/** A public key that may verify JWT-SVIDs. */
export interface JwtAuthority {
  readonly keyId: string;
  readonly kind: JwtKeyKind;
  readonly key: KeyObject;
  /** What tells two of them apart: key id and thumbprint members. */
  readonly fingerprint: string;
}

/** An entry that is left out, and why. */
export interface SkippedJwk {
  readonly skipped: string;
}

const COORDINATE_BYTES: ReadonlyMap<string, number> = new Map([
  ['P-256', 32],
  ['P-384', 48],
  ['P-521', 66],
]);
/** RFC 7518 §6.2.2, §6.3.2, §6.4.1: a member that only a private or symmetric key has. */
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const FEWEST_RSA_BITS = 2048;
/** More, in modulus or exponent, would let a foreign trust domain's keys cost tens of milliseconds each to use. */
const MOST_RSA_BITS = 8192;
const MOST_EXPONENT_OCTETS = 4;

/** Takes one entry of a JWK set; one that cannot serve is named, never thrown: it costs none of its neighbours. */
export function readJwk(entry: unknown): JwtAuthority | SkippedJwk {
  if (!isJsonObject(entry)) return skip('an entry that is not an object');
  const keyId = member(entry, 'kid');
  // JWT-24: kid is set.
  if (typeof keyId !== 'string' || keyId === '') return skip('an entry without kid');
  const named = `the entry with kid ${JSON.stringify(keyId.slice(0, 100))}`;
  if (PRIVATE.some((name) => Object.hasOwn(entry, name)))
    return skip(`${named} holds a private key`);
  const kty = member(entry, 'kty');
  if (kty === 'EC') return readEc(entry, keyId, named);
  if (kty === 'RSA') return readRsa(entry, keyId, named);
  return skip(`${named} is neither EC nor RSA`); // BDL-11
}

function readEc(entry: JsonObject, keyId: string, named: string): JwtAuthority | SkippedJwk {
  const crv = member(entry, 'crv');
  // Whatever is no string is under no key of the map either.
  const length = COORDINATE_BYTES.get(crv as string);
  const x = member(entry, 'x');
  const y = member(entry, 'y');
  // RFC 7518 §6.2.1.2: a coordinate has the full length of its curve.
  if (length === undefined || bytesOf(x)?.length !== length || bytesOf(y)?.length !== length) {
    return skip(`${named} is no key on P-256, P-384 or P-521`);
  }
  return make(
    keyId,
    crv as JwtKeyKind,
    { kty: 'EC', crv: crv as string, x: x as string, y: y as string },
    named,
  );
}

function readRsa(entry: JsonObject, keyId: string, named: string): JwtAuthority | SkippedJwk {
  const n = member(entry, 'n');
  const e = member(entry, 'e');
  const modulus = bytesOf(n);
  const bits = modulus === undefined ? 0 : modulus.length * 8 - Math.clz32(modulus[0] ?? 0) + 24;
  if (bits < FEWEST_RSA_BITS || bits > MOST_RSA_BITS)
    return skip(`${named} is no RSA key of ${FEWEST_RSA_BITS} to ${MOST_RSA_BITS} bits`);
  if ((bytesOf(e)?.length ?? Number.POSITIVE_INFINITY) > MOST_EXPONENT_OCTETS)
    return skip(`${named} has no exponent of at most ${MOST_EXPONENT_OCTETS} octets`);
  return make(keyId, 'RSA', { kty: 'RSA', n: n as string, e: e as string }, named);
}

function bytesOf(value: unknown): Buffer | undefined {
  return typeof value === 'string' && value !== '' ? decodeBase64url(value) : undefined;
}

function make(
  keyId: string,
  kind: JwtKeyKind,
  jwk: Record<string, string>,
  named: string,
): JwtAuthority | SkippedJwk {
  try {
    const key = keyOf(kind, jwk);
    return { keyId, kind, key, fingerprint: JSON.stringify([keyId, jwk]) };
  } catch {
    return skip(`${named} is no valid key`);
  }
}

/**
 * Up to the point of a key, as SPKI (RFC 5480 §2). OpenSSL multiplies by the order of the curve to check a key that comes
 * as JWK, which takes milliseconds on the larger ones; that the point is on the curve says as much, and it checks that of
 * an SPKI too. Such a key is also a little sooner done with each signature.
 */
const SPKI_HEADS: ReadonlyMap<JwtKeyKind, string> = new Map([
  ['P-256', P256_SPKI_HEAD],
  ['P-384', '3076301006072a8648ce3d020106052b8104002203620004'],
  ['P-521', '30819b301006072a8648ce3d020106052b810400230381860004'],
]);

function keyOf(kind: JwtKeyKind, jwk: Record<string, string>): KeyObject {
  const head = SPKI_HEADS.get(kind);
  if (head === undefined) return nodeCrypto().createPublicKey({ key: jwk, format: 'jwk' });
  const numbers = [jwk['x'], jwk['y']].map((number = '') => Buffer.from(number, 'base64url'));
  const key = Buffer.concat([Buffer.from(head, 'hex'), ...numbers]);
  return nodeCrypto().createPublicKey({ key, format: 'der', type: 'spki' });
}

function skip(skipped: string): SkippedJwk {
  return { skipped };
}
