import { constants, createPublicKey, type KeyObject, sign } from 'node:crypto';

/** What a token holds; a member set to `undefined` is left out. */
export interface TokenParts {
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** Parts of a good JWT-SVID for the audience `reports`, valid for five minutes from `now`. */
export function goodParts(now: Date = new Date()): Required<TokenParts> {
  const issuedAt = Math.floor(now.getTime() / 1000);
  return {
    header: { alg: 'ES256', kid: 'key-1', typ: 'JWT' },
    claims: {
      sub: 'spiffe://example.org/workload',
      aud: ['reports'],
      exp: issuedAt + 300,
      iat: issuedAt,
    },
  };
}

/** Signs these parts as they stand. */
export function craftToken(key: KeyObject, { header = {}, claims = {} }: TokenParts): string {
  return signToken(key, String(header['alg']), JSON.stringify(header), JSON.stringify(claims));
}

/** Signs these texts as they stand, whatever they are. */
export function signToken(key: KeyObject, alg: string, header: string, claims: string): string {
  const signed = `${base64url(header)}.${base64url(claims)}`;
  return `${signed}.${signJws(key, alg, Buffer.from(signed)).toString('base64url')}`;
}

/** The signature that RFC 7518 §3 describes; for an algorithm that does not exist, one of SHA-256. */
export function signJws(key: KeyObject, alg: string, data: Uint8Array): Buffer {
  const digest = `sha${/\d{3}$/.exec(alg)?.[0] ?? '256'}`;
  if (key.asymmetricKeyType === 'ec') return sign(digest, data, { key, dsaEncoding: 'ieee-p1363' });
  if (!alg.startsWith('PS')) return sign(digest, data, key);
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  return sign(digest, data, { key, padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST });
}

/** The public half of a key as an entry of a JWK set. */
export function publicJwk(key: KeyObject, kid: string): Record<string, unknown> {
  return { ...createPublicKey(key).export({ format: 'jwk' }), kid };
}

export function base64url(text: string): string {
  return Buffer.from(text).toString('base64url');
}
