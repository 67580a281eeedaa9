import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
} from 'node:crypto';

/** JSON that a case may hold; `undefined` takes a member out. */
export type Json = null | boolean | number | string | readonly Json[] | JsonMap;
export interface JsonMap {
  readonly [name: string]: Json | undefined;
}

/** A key that signs, and how. */
export interface Signer {
  readonly alg: string;
  readonly jwk: JsonMap;
  readonly sign: (data: Buffer) => Buffer;
}

/** RFC 8785, for what the cases hold. */
export function jcs(value: Json): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item: Json) => jcs(item)).join(',')}]`;
  const map = value as JsonMap;
  const names = Object.keys(map)
    .filter((name) => map[name] !== undefined)
    .toSorted();
  return `{${names.map((name) => `${JSON.stringify(name)}:${jcs(map[name] as Json)}`).join(',')}}`;
}

export const sha256 = (text: string): string =>
  createHash('sha256').update(text, 'utf8').digest('base64url');

const encode = (text: string): string => Buffer.from(text, 'utf8').toString('base64url');

/** RFC 7638. */
export function thumbprint({ kty, crv, x, y, n, e }: JsonMap): string {
  if (kty === 'OKP') return sha256(jcs({ crv, kty, x }));
  return sha256(jcs(kty === 'EC' ? { crv, kty, x, y } : { e, kty, n }));
}

/** An Ed25519 key of 32 equal bytes: for vectors, and for nothing else. */
export function seeded(byte: number): Signer {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  const key = createPrivateKey({
    key: Buffer.concat([prefix, Buffer.alloc(32, byte)]),
    format: 'der',
    type: 'pkcs8',
  });
  return {
    alg: 'Ed25519',
    jwk: publicJwk(key),
    sign: (data) => sign(null, data, key),
  };
}

/** The key of an SVID, or any other that is not Ed25519, used by the algorithm that is named. */
export function signerOf(key: KeyObject, alg: string): Signer {
  const digest = `sha${alg.slice(2)}`;
  const how = alg.startsWith('ES')
    ? { key, dsaEncoding: 'ieee-p1363' as const }
    : alg.startsWith('PS')
      ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: Number(alg.slice(2)) / 8 }
      : { key };
  return { alg, jwk: publicJwk(key), sign: (data) => sign(digest, data, how) };
}

function publicJwk(key: KeyObject): JsonMap {
  return createPublicKey(key).export({ format: 'jwk' }) as JsonMap;
}

/** What a token is made of. */
export interface TokenParts {
  readonly header: JsonMap;
  /** Text that is signed as it is. */
  readonly payload: string;
  readonly signer: Signer;
}

export function compact({ header, payload, signer }: TokenParts): string {
  const signed = `${encode(jcs(header))}.${encode(payload)}`;
  return `${signed}.${signer.sign(Buffer.from(signed)).toString('base64url')}`;
}

/** The part of a token that is signed. */
export const signedPart = (token: string): string => token.slice(0, token.lastIndexOf('.'));

/** What a case changes of a token. */
export interface Link {
  /** Claims that are set, or taken out. */
  readonly set?: JsonMap;
  readonly header?: JsonMap;
  readonly signer?: Signer;
  /** Changes the text before it is signed. */
  readonly text?: (payload: string) => string;
  /** Changes the token after it was signed. */
  readonly tamper?: (token: string) => string;
}

export function makeToken(claims: JsonMap, signer: Signer, type: string, link: Link = {}): string {
  const by = link.signer ?? signer;
  const payload = jcs({ ...claims, ...link.set });
  const token = compact({
    header: { alg: by.alg, typ: type, ...link.header },
    payload: link.text?.(payload) ?? payload,
    signer: by,
  });
  return link.tamper?.(token) ?? token;
}
