import { type JsonMap, type Link, thumbprint } from './craft.js';
import { root } from './shorthand.js';
import {
  call,
  chain,
  ISSUER,
  ISSUER_P384,
  ISSUER_P521,
  ISSUER_RS256,
  ISSUER_RSA,
  type Issuer,
  OTHER_ISSUER,
  one,
  URN,
  type Vector,
} from './world.js';

const held = (issuer: Issuer, proof: Link = {}): ReturnType<typeof call> =>
  call({
    tokens: chain([{ set: { cnf: { jwk: issuer.signer.jwk } } }]),
    proof: { signer: issuer.signer, ...proof },
  });
const heldKey = (set: JsonMap): ReturnType<typeof call> =>
  root({ cnf: { jwk: { ...ISSUER.signer.jwk, ...set } } });
const rsaKey = (set: JsonMap): ReturnType<typeof call> =>
  root({ cnf: { jwk: { ...ISSUER_RSA.signer.jwk, ...set } } });

/** The signature of ECDSA as X.509 writes it, and not as JWS does. */
const asDer: Link = {
  tamper: (token) => {
    const [head = '', body = '', tail = ''] = token.split('.');
    const raw = Buffer.from(tail, 'base64url');
    const integers = [raw.subarray(0, 32), raw.subarray(32)].map((half) => {
      const bytes = half.subarray(half.findIndex((byte) => byte !== 0));
      const positive = (bytes[0] ?? 0) > 127 ? Buffer.concat([Buffer.of(0), bytes]) : bytes;
      return Buffer.concat([Buffer.of(2, positive.length), positive]);
    });
    const content = Buffer.concat(integers);
    const der = Buffer.concat([Buffer.of(0x30, content.length), content]);
    return `${head}.${body}.${der.toString('base64url')}`;
  },
};

/** Holders whose keys are not Ed25519. */
export const HOLDER: readonly Vector[] = [
  one('p256-ok', 'a holder with a P-256 key', null, held(ISSUER)),
  one('p384-ok', 'a holder with a P-384 key', null, held(ISSUER_P384)),
  one('p521-ok', 'a holder with a P-521 key', null, held(ISSUER_P521)),
  one('rsa-ok', 'a holder with an RSA key', null, held(ISSUER_RSA)),
  one('rs256', 'a proof by RS256', '7a', held(ISSUER_RS256)),
  one(
    'es384',
    'a proof that says ES384, by a P-256 key',
    '7a',
    held(ISSUER, { header: { alg: 'ES384' } }),
  ),
  one(
    'ed25519',
    'a proof that says Ed25519, by a P-256 key',
    '7a',
    held(ISSUER, { header: { alg: 'Ed25519' } }),
  ),
  one('der', 'a proof whose signature is in DER', '7b', held(ISSUER, asDer)),
  one('other', 'a proof by another P-256 key', '7b', held(ISSUER, { signer: OTHER_ISSUER.signer })),
  one(
    'child-ok',
    'a child by a P-256 key',
    null,
    call({
      tokens: chain([
        { set: { cnf: { jwk: ISSUER.signer.jwk } } },
        { signer: ISSUER.signer, set: { iss: URN + thumbprint(ISSUER.signer.jwk) } },
      ]),
    }),
  ),
  one(
    'child-rsa-ok',
    'a child by an RSA key',
    null,
    call({
      tokens: chain([
        { set: { cnf: { jwk: ISSUER_RSA.signer.jwk } } },
        { signer: ISSUER_RSA.signer, set: { iss: URN + thumbprint(ISSUER_RSA.signer.jwk) } },
      ]),
    }),
  ),
  one('off', 'a point that is not on its curve', '3l', heldKey({ y: ISSUER.signer.jwk['x'] })),
  one('short', 'a coordinate that is too short', '3l', heldKey({ x: 'AAAA' })),
  one('curve', 'a curve that is not on the list', '3l', heldKey({ crv: 'secp256k1' })),
  one('no-y', 'a point without y', '3l', heldKey({ y: undefined })),
  one('private', 'a private P-256 key', '3l', heldKey({ d: 'AA' })),
  one(
    'rsa-small',
    'an RSA key of 1032 bits',
    '3l',
    rsaKey({ n: (ISSUER_RSA.signer.jwk['n'] as string).slice(0, 172) }),
  ),
  one('rsa-private', 'an RSA key with a prime', '3l', rsaKey({ p: 'AQAB' })),
];
