import { createPublicKey, type KeyObject } from 'node:crypto';
import type { SpiffeId } from '../identity/spiffe-id.js';
import { keyIdentifier } from './authority.js';
import { type KeyType, makeKey } from './keys.js';

/** With what a {@link TestCa} signs JWT-SVIDs. */
export type JwtSigningAlgorithm = 'ES256' | 'RS256';

const KEY_TYPES: Readonly<Record<JwtSigningAlgorithm, KeyType>> = {
  ES256: 'ec-p256',
  RS256: 'rsa-2048',
};

/** What a token says, times in whole seconds since 1970. */
export interface JwtFields {
  readonly id: SpiffeId;
  readonly audience: readonly string[];
  readonly issuedAt: number;
  readonly expires: number;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** A key that signs JWT-SVIDs. */
export class JwtAuthority {
  readonly algorithm: JwtSigningAlgorithm;
  readonly keyId: string;
  readonly #key: KeyObject;
  readonly #jwk: Readonly<Record<string, unknown>>;

  constructor(algorithm: JwtSigningAlgorithm) {
    this.algorithm = algorithm;
    this.#key = makeKey(KEY_TYPES[algorithm]);
    const publicKey = createPublicKey(this.#key);
    this.keyId = Buffer.from(keyIdentifier(publicKey)).toString('hex');
    // Workload API 6.2.2: a standard JWK set. Without `use`, as SPIRE has it: jose finds no key by `jwt-svid`.
    this.#jwk = { ...publicKey.export({ format: 'jwk' }), kid: this.keyId };
  }

  /** Its public half as an entry of a JWK set. */
  get jwk(): Readonly<Record<string, unknown>> {
    return this.#jwk;
  }

  /** JWT-SVID 2 and 3: the header is alg, kid and typ alone; the payload has sub, aud and exp, and here iat. */
  async sign(fields: JwtFields): Promise<string> {
    // jose takes 70 ms to load: only who asks for a token pays for it.
    const { SignJWT } = await import('jose');
    const { id, audience, issuedAt, expires, claims } = fields;
    // JWT-13: one audience in normal cases, which is then a string.
    return new SignJWT({ ...claims, sub: id.toString(), aud: only(audience), exp: expires })
      .setProtectedHeader({ alg: this.algorithm, kid: this.keyId, typ: 'JWT' })
      .setIssuedAt(issuedAt)
      .sign(this.#key);
  }
}

function only(audience: readonly string[]): string | string[] {
  return audience.length === 1 ? (audience[0] as string) : [...audience];
}
