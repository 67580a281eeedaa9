import type { Json, JsonMap } from './craft.js';
import { child, childBy, send, tools } from './shorthand.js';
import {
  ATTACKER,
  call,
  chain,
  details,
  exactly,
  HOLDERS,
  NOW,
  one,
  TOOLS,
  type Vector,
  WILDCARD,
} from './world.js';

const [, , mailer] = HOLDERS as [unknown, { key: { jwk: JsonMap } }, { key: { jwk: JsonMap } }];

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
