import {
  constants,
  createPublicKey,
  hash,
  type JsonWebKey,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import {
  hasLength,
  JWT_ALGORITHMS,
  type JwtAlgorithm,
  verifyJws,
} from '../../identity/jwt/algorithms.js';
import { readJwk } from '../../identity/jwt/jwk.js';
import { decodeBase64url } from '../../internal/base64url.js';
import type { JsonRecord } from '../../internal/json.js';

/** RFC 9864: fully specified; `EdDSA` is none of ours. */
const ED25519 = 'Ed25519';
const ED25519_KEY_BYTES = 32;
const ED25519_SIGNATURE_BYTES = 64;
/** RFC 7518 6.2.2, 6.3.2, 6.4.1: a member that only a private or symmetric key has. */
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/** The allowlist: each kind of key has exactly one algorithm, so that none can be confused with another. */
const ALGORITHM_OF: ReadonlyMap<string, string> = new Map([
  ['P-256', 'ES256'],
  ['P-384', 'ES384'],
  ['P-521', 'ES512'],
  ['RSA', 'PS256'],
]);
const CURVE_OF: ReadonlyMap<string, string> = new Map([
  ['prime256v1', 'P-256'],
  ['secp384r1', 'P-384'],
  ['secp521r1', 'P-521'],
]);

/** The names that `alg` may have. */
export const ALGORITHMS: ReadonlySet<string> = new Set([ED25519, ...ALGORITHM_OF.values()]);

/** A public key and the one algorithm that it is used with. */
export interface GrantKey {
  readonly algorithm: string;
  readonly key: KeyObject;
}

/** The key of a token's `cnf`. */
export interface HolderKey extends GrantKey {
  /** RFC 7638, SHA-256, base64url. */
  readonly thumbprint: string;
}

/** The holder's key; `undefined` for anything but one public key of a kind that an algorithm of ours is for. */
export function readHolderKey(jwk: JsonRecord): HolderKey | undefined {
  if (PRIVATE.some((name) => Object.hasOwn(jwk, name))) return undefined;
  if (jwk['kty'] === 'OKP') return readEd25519(jwk);
  // The same rules as for the keys of JWT-SVIDs; a name is not asked of a holder's.
  const read = readJwk({ ...jwk, kid: 'cnf' });
  if ('skipped' in read) return undefined;
  const algorithm = ALGORITHM_OF.get(read.kind) as string;
  return { algorithm, key: read.key, thumbprint: thumbprintOf(jwk) };
}

function readEd25519(jwk: JsonRecord): HolderKey | undefined {
  const { crv, x } = jwk;
  if (crv !== 'Ed25519' || typeof x !== 'string') return undefined;
  return decodeBase64url(x)?.length === ED25519_KEY_BYTES ? new Ed25519Key(jwk) : undefined;
}

/** Any 32 bytes are such a key; it is made when something is to be verified with it. */
class Ed25519Key implements HolderKey {
  readonly algorithm = ED25519;
  readonly #jwk: JsonRecord;
  #key: KeyObject | undefined;
  #thumbprint: string | undefined;

  constructor(jwk: JsonRecord) {
    this.#jwk = jwk;
  }

  get key(): KeyObject {
    // As a JWK: as SPKI the same costs ten times as much.
    const { kty, crv, x } = this.#jwk as Record<string, string>;
    this.#key ??= createPublicKey({ key: { kty, crv, x } as JsonWebKey, format: 'jwk' });
    return this.#key;
  }

  get thumbprint(): string {
    this.#thumbprint ??= thumbprintOf(this.#jwk);
    return this.#thumbprint;
  }
}

/** RFC 7638 3.2 and 3.3: over the required members alone, by name, as JSON without blanks. */
function thumbprintOf({ kty, crv, x, y, n, e }: JsonRecord): string {
  const members = { OKP: { crv, kty, x }, EC: { crv, kty, x, y }, RSA: { e, kty, n } };
  return hash('sha256', JSON.stringify(members[kty as keyof typeof members]), 'base64url');
}

/** The key of a certificate; `undefined` for one that no algorithm of ours is for. */
export function certifiedKey(key: KeyObject): GrantKey | undefined {
  const { namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  const kind = key.asymmetricKeyType?.startsWith('rsa') === true ? 'RSA' : CURVE_OF.get(namedCurve);
  const algorithm = ALGORITHM_OF.get(kind ?? '');
  return algorithm === undefined ? undefined : { algorithm, key };
}

/** Whether the key made this signature over the data, by its one algorithm. */
export function isSignedBy(
  { algorithm, key }: GrantKey,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (algorithm === ED25519)
    return signature.length === ED25519_SIGNATURE_BYTES && verify(null, data, key, signature);
  const how = JWT_ALGORITHMS.get(algorithm) as JwtAlgorithm;
  return hasLength(how, key, signature) && verifyJws(how, key, data, signature);
}

/** The signature of a private key by the one algorithm that it is used with. */
export function signWith({ algorithm, key }: GrantKey, data: Uint8Array): Uint8Array {
  const { digest, saltLength } = JWT_ALGORITHMS.get(algorithm) as JwtAlgorithm;
  if (saltLength === undefined) return sign(digest, data, { key, dsaEncoding: 'ieee-p1363' });
  return sign(digest, data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
}

/** RFC 9278, of the key with this thumbprint. */
export function thumbprintUri(thumbprint: string): string {
  return `urn:ietf:params:oauth:jwk-thumbprint:sha-256:${thumbprint}`;
}
