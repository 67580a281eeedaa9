import type { KeyObject, VerifyKeyObjectInput } from 'node:crypto';
import { nodeCrypto } from '../../internal/crypto.js';

/** Which keys an algorithm can have been made with: RSA, or one curve. */
export type JwtKeyKind = 'RSA' | 'P-256' | 'P-384' | 'P-521';

/** One of the nine algorithms of JWT-SVID §2.1, bound to its kind of key (JWT-05). */
export interface JwtAlgorithm {
  readonly name: string;
  readonly digest: string;
  readonly keyKind: JwtKeyKind;
  /** Bytes of a raw ECDSA signature R‖S; an RSA signature is as long as the modulus. */
  readonly signatureLength?: number;
  /** RSA-PSS: the salt is as long as the digest, exactly (RFC 7518 §3.5). */
  readonly saltLength?: number;
}

const list: readonly JwtAlgorithm[] = [
  { name: 'RS256', digest: 'sha256', keyKind: 'RSA' },
  { name: 'RS384', digest: 'sha384', keyKind: 'RSA' },
  { name: 'RS512', digest: 'sha512', keyKind: 'RSA' },
  { name: 'ES256', digest: 'sha256', keyKind: 'P-256', signatureLength: 64 },
  { name: 'ES384', digest: 'sha384', keyKind: 'P-384', signatureLength: 96 },
  { name: 'ES512', digest: 'sha512', keyKind: 'P-521', signatureLength: 132 },
  { name: 'PS256', digest: 'sha256', keyKind: 'RSA', saltLength: 32 },
  { name: 'PS384', digest: 'sha384', keyKind: 'RSA', saltLength: 48 },
  { name: 'PS512', digest: 'sha512', keyKind: 'RSA', saltLength: 64 },
];

/** By name; a `Map`, since `__proto__` is a string that a token may hold. */
export const JWT_ALGORITHMS: ReadonlyMap<string, JwtAlgorithm> = new Map(
  list.map((algorithm) => [algorithm.name, algorithm]),
);

/**
 * Whether a signature by `key` is as long as this one. OpenSSL is laxer: it lets a PSS signature lose its leading zeros.
 */
export function hasLength(
  { signatureLength }: JwtAlgorithm,
  key: KeyObject,
  signature: Uint8Array,
): boolean {
  // RFC 7518 §3.4; RFC 8017 §8.1.2, step 1: as long as the modulus.
  const modulusLength = (key.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
  return signature.length === (signatureLength ?? Math.ceil(modulusLength));
}

/** Whether `key`, which is of the algorithm's kind, made `signature`, which is of its length, over `data`. */
export function verifyJws(
  algorithm: JwtAlgorithm,
  key: KeyObject,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  return nodeCrypto().verify(algorithm.digest, data, input(algorithm, key), signature);
}

/** The same, in the thread pool. */
export function verifyJwsInPool(
  algorithm: JwtAlgorithm,
  key: KeyObject,
  data: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    nodeCrypto().verify(algorithm.digest, data, input(algorithm, key), signature, (error, good) => {
      if (error === null) resolve(good);
      else reject(error);
    });
  });
}

function input(
  { signatureLength, saltLength }: JwtAlgorithm,
  key: KeyObject,
): VerifyKeyObjectInput {
  if (signatureLength !== undefined) return { key, dsaEncoding: 'ieee-p1363' };
  if (saltLength === undefined) return { key };
  return { key, padding: nodeCrypto().constants.RSA_PKCS1_PSS_PADDING, saltLength };
}
