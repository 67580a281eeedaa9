import type { Json, JsonMap } from './craft.js';
import { root, rootBy, send, tools } from './shorthand.js';
import { details, exactly, HOLDERS, NOW, one, TOOLS, type Vector, WILDCARD } from './world.js';

const [, researcher] = HOLDERS as [unknown, { key: { jwk: JsonMap } }, { key: { jwk: JsonMap } }];

const nested = (depth: number): JsonMap =>
  depth === 1 ? { ...WILDCARD } : { constraint_type: 'all', constraints: [nested(depth - 1)] };

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
