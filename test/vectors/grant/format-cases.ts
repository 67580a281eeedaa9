import { createHmac } from 'node:crypto';
import type { Json, JsonMap, Link } from './craft.js';
import {
  ATTACKER,
  call,
  chain,
  details,
  exactly,
  HOLDERS,
  ISSUER,
  ISSUER_P384,
  ISSUER_P521,
  ISSUER_RS256,
  ISSUER_RSA,
  NOW,
  one,
  TOOLS,
  type Vector,
  WILDCARD,
} from './world.js';

const root = (set: JsonMap): ReturnType<typeof call> => call({ tokens: chain([{ set }]) });
const rootBy = (link: Link): ReturnType<typeof call> => call({ tokens: chain([link]) });
const child = (set: JsonMap): ReturnType<typeof call> => call({ tokens: chain([{}, { set }]) });
const childBy = (link: Link): ReturnType<typeof call> => call({ tokens: chain([{}, link]) });
const tools = (map: Json): JsonMap => ({ authorization_details: details(map) });
const send = (map: Json): JsonMap => tools({ send: map });
const [, researcher, mailer] = HOLDERS as [
  unknown,
  { key: { jwk: JsonMap } },
  { key: { jwk: JsonMap } },
];

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

const nested = (depth: number): JsonMap =>
  depth === 1 ? { ...WILDCARD } : { constraint_type: 'all', constraints: [nested(depth - 1)] };
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

/** The claims of a root. */
export const ROOT: readonly Vector[] = [
  one(
    '3c',
    'del_depth 0.0',
    '3c',
    rootBy({ text: (text) => text.replace('"del_depth":0', '"del_depth":0.0') }),
  ),
  one(
    '3c-minus',
    'del_depth -0',
    '3c',
    rootBy({ text: (text) => text.replace('"del_depth":0', '"del_depth":-0') }),
  ),
  one('3e', 'exp now', '3e', root({ exp: NOW })),
  one('3e-ok', 'exp a second later', null, root({ exp: NOW + 1 })),
  one('3f-ok', 'iat 30 s ahead', null, root({ iat: NOW + 30 })),
  one('3f', 'iat 31 s ahead', '3f', root({ iat: NOW + 31 })),
  one('3g', 'exp before iat', '3g', root({ iat: NOW + 20, exp: NOW + 10 })),
  one('3g-same', 'exp at iat', '3g', root({ iat: NOW + 20, exp: NOW + 20 })),
  one('3i', 'del_max_depth 9', '3i', root({ del_max_depth: 9 })),
  one('3i-ok', 'del_max_depth 8', null, root({ del_max_depth: 8 })),
  one('3i-none', 'no del_max_depth', '3i', root({ del_max_depth: undefined })),
  one(
    '3i-float',
    'del_max_depth 3.0',
    '3i',
    rootBy({ text: (text) => text.replace('"del_max_depth":3', '"del_max_depth":3.0') }),
  ),
  one('3i-true', 'del_max_depth true', '3i', root({ del_max_depth: true })),
  one('3j', 'an empty jti', '3j', root({ jti: '' })),
  one('3l', 'no cnf', '3l', root({ cnf: undefined })),
  one(
    '3l-private',
    'a cnf with a private member',
    '3l',
    root({ cnf: { jwk: { ...researcher.key.jwk, d: 'AA' } } }),
  ),
  one(
    '3l-okp',
    'a cnf of another curve',
    '3l',
    root({ cnf: { jwk: { ...researcher.key.jwk, crv: 'Ed448' } } }),
  ),
  one(
    '3l-short',
    'a cnf with a short key',
    '3l',
    root({ cnf: { jwk: { ...researcher.key.jwk, x: 'AAAA' } } }),
  ),
  one(
    '3l-oct',
    'a cnf with a symmetric key',
    '3l',
    root({ cnf: { jwk: { kty: 'oct', k: 'AAAA' } } }),
  ),
  one('3m-none', 'no authorization_details', '3m', root({ authorization_details: undefined })),
  one(
    '3m-two',
    'two capability entries',
    '3m',
    root({ authorization_details: [...(details(TOOLS) as Json[]), ...(details(TOOLS) as Json[])] }),
  ),
  one(
    '3m-others-ok',
    'entries of other types beside it',
    null,
    root({ authorization_details: [{ type: 'payment' }, 7, ...(details(TOOLS) as Json[])] }),
  ),
  one('3m-array', 'tools that are an array', '3m', root(tools([]))),
  one(
    '3n-unknown',
    'a constraint_type that nobody knows, for a tool that is not called',
    '3n',
    root(tools({ ...TOOLS, other: { a: { constraint_type: 'regex', pattern: '.*' } } })),
  ),
  one(
    '3n-local',
    'a constraint_type that is local to one process',
    '3n',
    root(
      tools({
        ...TOOLS,
        get: { url: { constraint_type: 'url_under', base: 'https://acme.example/' } },
      }),
    ),
  ),
  one(
    '3n-depth',
    'a constraint of 33 levels',
    '3n',
    root(send({ to: nested(33), body: WILDCARD })),
  ),
  one(
    '3n-depth-ok',
    'a constraint of 32 levels',
    null,
    root(send({ to: nested(32), body: WILDCARD })),
  ),
  one(
    '3n-clauses',
    'a constraint of 65 clauses',
    '3n',
    root(
      send({
        to: { constraint_type: 'any', constraints: Array.from({ length: 64 }, () => WILDCARD) },
        body: WILDCARD,
      }),
    ),
  ),
  one(
    '3n-clauses-ok',
    'a constraint of 64 clauses',
    null,
    root(
      send({
        to: { constraint_type: 'any', constraints: Array.from({ length: 63 }, () => WILDCARD) },
        body: WILDCARD,
      }),
    ),
  ),
  one(
    '3n-inexact',
    'a constraint with a number that changes when it is read',
    '3n',
    rootBy({
      set: tools({ ...TOOLS, pay: { amount: { constraint_type: 'range', max: 1 } } }),
      text: (text) => text.replace('"max":1', '"max":1.00000000000000001'),
    }),
  ),
  one(
    '3n-exact-ok',
    'a constraint with a number in another form',
    null,
    rootBy({
      set: tools({ ...TOOLS, pay: { amount: { constraint_type: 'range', max: 1 } } }),
      text: (text) => text.replace('"max":1', '"max":10.00e-1'),
    }),
  ),
  one(
    '3n-exact-array',
    'exact with an array',
    '3n',
    root(send({ to: exactly([]), body: WILDCARD })),
  ),
  one(
    '3n-one-of-empty',
    'one_of without values',
    '3n',
    root(send({ to: { constraint_type: 'one_of', values: [] }, body: WILDCARD })),
  ),
  one(
    '3n-bare-inclusive',
    'min_inclusive without min',
    '3n',
    root(send({ to: { constraint_type: 'range', min_inclusive: true }, body: WILDCARD })),
  ),
  one(
    '3n-optional-text',
    'optional that is text',
    '3n',
    root(send({ to: { ...WILDCARD, optional: 'yes' }, body: WILDCARD })),
  ),
  one(
    '3n-star-optional',
    '* that says optional false',
    '3n',
    root(send({ '*': { ...WILDCARD, optional: false } })),
  ),
];

/** What a child may say. */
export const CHILD: readonly Vector[] = [
  one('4a-none', 'alg none', '4a', childBy({ header: { alg: 'none' } })),
  one('4a-es256', 'alg ES256 above an Ed25519 key', '4a', childBy({ header: { alg: 'ES256' } })),
  one('4a-typ', 'the typ of a proof', '4a', childBy({ header: { typ: 'aat-pop+jwt' } })),
  one('4a-crit', 'crit', '4a', childBy({ header: { crit: ['exp'], exp: 1 } })),
  one('4b', 'a child by another key', '4b', childBy({ signer: ATTACKER })),
  one(
    '4b-twice',
    'a claim that stands twice',
    '4b',
    childBy({ text: (text) => text.replace('"exp":', '"exp":1,"exp":') }),
  ),
  one('4b1', 'an empty jti', '4b1', child({ jti: '' })),
  one('4b2', 'no cnf', '4b2', child({ cnf: undefined })),
  one(
    '4b2-private',
    'a private key in cnf',
    '4b2',
    child({ cnf: { jwk: { ...mailer.key.jwk, d: 'AA' } } }),
  ),
  one('4b3', 'no authorization_details', '4b3', child({ authorization_details: undefined })),
  one(
    '4b3-object',
    'authorization_details that are an object',
    '4b3',
    child({ authorization_details: {} }),
  ),
  one('4b4', 'no del_depth', '4b4', child({ del_depth: undefined })),
  one('4b4-text', 'del_max_depth that is text', '4b4', child({ del_max_depth: '3' })),
  one('4b5-iss', 'no iss', '4b5', child({ iss: undefined })),
  one('4b5-par-hash', 'no par_hash', '4b5', child({ par_hash: undefined })),
  one('4b5-iat', 'an iat that is text', '4b5', child({ iat: String(NOW) })),
  one(
    '4b5-exp',
    'an exp with a fraction',
    '4b5',
    childBy({ text: (text) => text.replace(`"exp":${NOW + 600}`, `"exp":${NOW + 599}.5`) }),
  ),
  one('4d-same', 'the depth of its parent', '4d', child({ del_depth: 0 })),
  one(
    '4e-deep',
    'a chain of ten, which is 9 deep',
    '4e',
    call({ tokens: chain(Array.from({ length: 10 }, () => ({ set: { del_max_depth: 8 } }))) }),
  ),
  one(
    '4e-deep-ok',
    'a chain of nine, which is 8 deep',
    null,
    call({ tokens: chain(Array.from({ length: 9 }, () => ({ set: { del_max_depth: 8 } }))) }),
  ),
  one(
    '4i',
    'an exp that is over while its parent lives',
    '4i',
    call({ tokens: chain([{ set: { iat: NOW - 5 } }, { set: { iat: NOW - 5, exp: NOW } }]) }),
  ),
  one('4j', 'an iat before its parent’s', '4j', child({ iat: NOW - 1 })),
  one('4k', 'iat 31 s ahead', '4k', child({ iat: NOW + 31 })),
  one('4k-ok', 'iat 30 s ahead', null, child({ iat: NOW + 30 })),
  one('4l', 'exp before iat', '4l', child({ iat: NOW + 20, exp: NOW + 10 })),
  one('4m', 'a depth above its own del_max_depth', '4m', child({ del_max_depth: 0 })),
  one('4m-ok', 'a del_max_depth that is its depth', null, child({ del_max_depth: 1 })),
  one(
    '4n-two',
    'two capability entries',
    '4n',
    child({
      authorization_details: [...(details(TOOLS) as Json[]), ...(details(TOOLS) as Json[])],
    }),
  ),
  one('4n-tools', 'tools that are text', '4n', child(tools('all'))),
  one('4n-map', 'a tool with an array for a map', '4n', child(tools({ send: [] }))),
  one(
    '4o-unknown',
    'a constraint_type that nobody knows',
    '4o',
    child(send({ to: { constraint_type: 'regex' }, body: WILDCARD })),
  ),
  one(
    '4o-optional',
    'optional inside all',
    '4o',
    child(
      send({
        to: { constraint_type: 'all', constraints: [{ ...WILDCARD, optional: true }] },
        body: WILDCARD,
      }),
    ),
  ),
  one(
    '4p-ok',
    'a narrower child',
    null,
    child(send({ to: exactly('ann@acme.example'), body: WILDCARD })),
  ),
  one('4p1', 'a tool that its parent has not', '4p1', child(tools({ ...TOOLS, pay: {} }))),
  one(
    '4p2',
    'an argument that its parent does not name',
    '4p2',
    child(send({ ...(TOOLS['send'] as JsonMap), copies: WILDCARD })),
  ),
  one(
    '4p3',
    'an argument that it makes optional',
    '4p3',
    child(send({ ...(TOOLS['send'] as JsonMap), body: { ...WILDCARD, optional: true } })),
  ),
  one(
    '4p4',
    'a wider value',
    '4p4',
    child(
      send({
        to: { constraint_type: 'one_of', values: ['ann@acme.example', 'eve@evil.example'] },
        body: WILDCARD,
      }),
    ),
  ),
  one(
    '4p4-all',
    'an exact under all, which would be narrower in truth',
    '4p4',
    call({
      tokens: chain([
        { set: send({ to: { constraint_type: 'all', constraints: [WILDCARD] }, body: WILDCARD }) },
        { set: send({ to: exactly('ann@acme.example'), body: WILDCARD }) },
      ]),
    }),
  ),
  one(
    '4q-cut',
    'a chain whose middle was cut out',
    '4b',
    call({
      tokens: ((): readonly string[] => {
        const [first = '', , third = ''] = chain([{}, {}, {}]);
        return [first, third];
      })(),
    }),
  ),
  one(
    '4q-spliced',
    'a child hung under another token of the same holder',
    '4q',
    call({
      tokens: ((): readonly string[] => {
        const [, second = ''] = chain([{}, {}]);
        const [other = ''] = chain([{ set: { jti: 'another', spiffe_task: 'task-2' } }]);
        return [other, second];
      })(),
    }),
  ),
  one(
    '4q-swapped',
    'a chain in the wrong order',
    '3a',
    call({ tokens: chain([{}, {}]).toReversed() }),
  ),
  one(
    '4q-middle-as-root',
    'a chain without its root',
    '3a',
    call({ tokens: chain([{}, {}]).slice(1) }),
  ),
  one('6a', 'a leaf without a capability', '6a', child({ authorization_details: [] })),
];
