import { createHmac } from 'node:crypto';
import type { Link } from './craft.js';
import { root, rootBy } from './shorthand.js';
import {
  ATTACKER,
  call,
  chain,
  ISSUER,
  ISSUER_P384,
  ISSUER_P521,
  ISSUER_RS256,
  ISSUER_RSA,
  NOW,
  one,
  type Vector,
} from './world.js';

/** Base64url whose last sign says bits that nobody reads. */
function looseTail(token: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(token.at(-1) as string);
  return token.slice(0, -1) + (alphabet[last ^ 1] as string);
}

/** The signature of HMAC, with the public key of the anchor as its secret. */
const hmacBySpki: Link = {
  header: { alg: 'HS256' },
  tamper: (token) => {
    const signed = token.slice(0, token.lastIndexOf('.'));
    const secret = JSON.stringify(ISSUER.signer.jwk);
    return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
  },
};

const deepArray = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

/** Sizes, ids, headers, signatures. */
export const FORMAT: readonly Vector[] = [
  one(
    '1',
    'a chain without a token',
    '1',
    call({ presented: (shown) => ({ ...shown, aat_chain: [] }) }),
  ),
  one(
    '2a',
    'a token of 65,537 bytes',
    '2a',
    call({ presented: (shown) => ({ ...shown, aat_chain: [{ letters: 65_537 }] }) }),
  ),
  one(
    '2b',
    'a chain of more than 262,144 bytes',
    '2b',
    call({
      presented: (shown) => ({
        ...shown,
        aat_chain: Array.from({ length: 5 }, () => ({ letters: 60_000 })),
      }),
    }),
  ),
  one(
    '2c-loop',
    'a token that stands twice',
    '2c',
    call({
      tokens: ((): readonly string[] => {
        const [first = '', second = ''] = chain([{}, {}]);
        return [first, second, first];
      })(),
    }),
  ),
  one('2c-none', 'a payload without a jti', '2c', root({ jti: undefined })),
  one('2c-number', 'a jti that is a number', '2c', root({ jti: 5 })),
  one(
    '2c-two-parts',
    'a token of two parts',
    '2c',
    rootBy({ tamper: (token) => token.slice(0, token.lastIndexOf('.')) }),
  ),
  one('2c-four-parts', 'a token of four parts', '2c', rootBy({ tamper: (token) => `${token}.AA` })),
  one(
    '2c-not-utf8',
    'a payload that is not UTF-8',
    '2c',
    rootBy({
      tamper: (token) => {
        const [head, , tail] = token.split('.');
        return `${head}.${Buffer.from('{"jti":"\xff"}', 'latin1').toString('base64url')}.${tail}`;
      },
    }),
  ),
  one(
    '2c-padding',
    'a payload with base64 padding',
    '2c',
    rootBy({ tamper: (token) => token.replace(/\.([^.]*)$/, '=.$1') }),
  ),
  one('3a-none', 'alg none', '3a', rootBy({ header: { alg: 'none' } })),
  one('3a-hmac', 'alg HS256, keyed with the public key', '3a', rootBy(hmacBySpki)),
  one('3a-eddsa', 'alg EdDSA', '3a', rootBy({ header: { alg: 'EdDSA' } })),
  one(
    '3a-rs256',
    'alg RS256 by an RSA key',
    '3a',
    call({ tokens: chain([{}], ISSUER_RS256), issuer: ISSUER_RS256 }),
  ),
  one(
    '3a-other-curve',
    'alg Ed25519 above a P-256 key',
    '3a',
    rootBy({ header: { alg: 'Ed25519' } }),
  ),
  one('3a-es384', 'alg ES384 above a P-256 key', '3a', rootBy({ header: { alg: 'ES384' } })),
  one('3a-crit', 'crit', '3a', rootBy({ header: { crit: ['b64'], b64: true } })),
  one('3a-crit-empty', 'crit that is empty', '3a', rootBy({ header: { crit: [] } })),
  one(
    '3a-header-twice',
    'a header with alg twice',
    '3a',
    rootBy({
      tamper: (token) =>
        token.replace(
          /^[^.]*/,
          Buffer.from('{"alg":"none","alg":"ES256","typ":"aat+jwt"}').toString('base64url'),
        ),
    }),
  ),
  one('3a-typ', 'typ JWT', '3a', rootBy({ header: { typ: 'JWT' } })),
  one('3a-typ-case', 'typ AAT+JWT', '3a', rootBy({ header: { typ: 'AAT+JWT' } })),
  one(
    '3a-es384-ok',
    'a root by a P-384 key',
    null,
    call({ tokens: chain([{}], ISSUER_P384), issuer: ISSUER_P384 }),
  ),
  one(
    '3a-es512-ok',
    'a root by a P-521 key',
    null,
    call({ tokens: chain([{}], ISSUER_P521), issuer: ISSUER_P521 }),
  ),
  one(
    '3a-ps256-ok',
    'a root by an RSA key',
    null,
    call({ tokens: chain([{}], ISSUER_RSA), issuer: ISSUER_RSA }),
  ),
  one(
    '3a-unknown-ok',
    'header parameters that nobody knows',
    null,
    rootBy({ header: { kid: 'x', 'x-y': 1 } }),
  ),
  one(
    '3b-jwk',
    'a key in the header, and its signature',
    '3b',
    rootBy({
      header: { alg: 'ES256', jwk: ATTACKER.jwk, x5c: ['AAAA'] },
      signer: { ...ATTACKER, alg: 'ES256' },
    }),
  ),
  one(
    '3b-jwk-ok',
    'a key in the header that is not looked at',
    null,
    rootBy({ header: { jwk: ATTACKER.jwk } }),
  ),
  one('3b-loose', 'a signature with loose bits at its end', '3b', rootBy({ tamper: looseTail })),
  one(
    '3b-twice',
    'a claim that stands twice',
    '3b',
    rootBy({ text: (text) => text.replace('"iat":', '"iat":1,"iat":') }),
  ),
  one(
    '3b-twice-escaped',
    'a claim that stands twice, once escaped',
    '3b',
    rootBy({ text: (text) => text.replace('"iat":', '"\\u0069at":1,"iat":') }),
  ),
  one(
    '3b-twice-deep',
    'a member of a constraint that stands twice',
    '3b',
    rootBy({
      text: (text) =>
        text.replace(
          '"constraint_type":"wildcard"',
          '"constraint_type":"wildcard","constraint_type":"wildcard"',
        ),
    }),
  ),
  one(
    '3b-tail',
    'a payload with something behind it',
    '3b',
    rootBy({ text: (text) => `${text} {}` }),
  ),
  one(
    '3b-float',
    'an iat with a fraction',
    '3b',
    rootBy({ text: (text) => text.replace(`"iat":${NOW}`, `"iat":${NOW}.0`) }),
  ),
  one(
    '3b-exponent',
    'an iat with an exponent',
    '3b',
    rootBy({ text: (text) => text.replace(`"iat":${NOW}`, '"iat":1.8e9') }),
  ),
  one('3b-string', 'an exp that is text', '3b', root({ exp: String(NOW + 600) })),
  one('3b-minus', 'an iat below zero', '3b', root({ iat: -1 })),
  one(
    '3b-huge',
    'an exp of more than 2^53',
    '3b',
    rootBy({ text: (text) => text.replace(`"exp":${NOW + 600}`, '"exp":9007199254740993') }),
  ),
  one(
    '3b-surrogate',
    'text with a lone surrogate',
    '3b',
    rootBy({ text: (text) => text.replace('"jti":"', '"note":"\\ud800","jti":"') }),
  ),
  one(
    '3b-deep',
    'JSON of 129 levels',
    '3b',
    rootBy({ text: (text) => text.replace('"jti":"', `"note":${deepArray(128)},"jti":"`) }),
  ),
  one(
    '3b-deep-ok',
    'JSON of 128 levels',
    null,
    rootBy({ text: (text) => text.replace('"jti":"', `"note":${deepArray(127)},"jti":"`) }),
  ),
  one(
    '3b-blanks-ok',
    'a payload with blanks, escapes and another order',
    null,
    rootBy({
      text: (text) =>
        JSON.stringify(
          Object.fromEntries(Object.entries(JSON.parse(text) as object).toReversed()),
          null,
          2,
        ).replace('"sub"', '"\\u0073ub"'),
    }),
  ),
];
