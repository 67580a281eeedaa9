import type { Json, JsonMap, Link } from './craft.js';
import { jti } from './shorthand.js';
import {
  AGENT,
  call,
  chain,
  EXPIRED_ISSUER,
  FOREIGN_ISSUER,
  HOLDERS,
  ISSUER,
  NOW,
  OTHER_ISSUER,
  one,
  several,
  UNTRUSTED_ISSUER,
  type Vector,
} from './world.js';

const budget = (value: Json): Link => ({ set: { spiffe_budget: value } });
const labels = (confidentiality: Json, integrity: Json): JsonMap => ({
  spiffe_labels: { confidentiality, integrity },
});

const COUNTED = chain([budget({ calls: 2 })]);
const SHARED = chain([budget({ calls: 2 }), budget({ calls: 1 })]);
const ROOT_OF_SHARED = SHARED.slice(0, 1);
/** The same anew, as after a rotation: by the same issuer, for the same key. */
const COUNTED_ANEW = chain([{ set: { spiffe_budget: { calls: 2 }, jti: 'anew' } }]);
const SHARED_ANEW = chain([
  budget({ calls: 3 }),
  { set: { spiffe_budget: { calls: 1 }, jti: 'child-anew' } },
]);
const SHARED_BEFORE = chain([budget({ calls: 3 }), budget({ calls: 1 })]);
const COUNTED_TOOL = chain([budget({ calls_per_tool: { send: 1 } })]);

/** What our profile adds. */
export const PROFILE: readonly Vector[] = [
  one('profile', 'a chain of three', null, call({ tokens: chain([{}, {}, {}]) })),
  one(
    'profile-prefix',
    'the same, as far as its second holder',
    null,
    call({ tokens: chain([{}, {}]) }),
  ),
  one(
    'presentation-none',
    'no aat_pop',
    'presentation',
    call({ presented: ({ aat_chain, spiffe_x5c }) => ({ aat_chain, spiffe_x5c }) }),
  ),
  one(
    'presentation-x5c',
    'a certificate in base64url',
    'presentation',
    call({
      presented: (shown) => ({
        ...shown,
        spiffe_x5c: ISSUER.x5c.map((text) =>
          text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', ''),
        ),
      }),
    }),
  ),
  one(
    'presentation-empty',
    'no certificate',
    'presentation',
    call({ presented: (shown) => ({ ...shown, spiffe_x5c: [] }) }),
  ),
  one(
    'presentation-unknown-ok',
    'members that nobody knows',
    null,
    call({ presented: (shown) => ({ ...shown, note: 1 }) }),
  ),
  one('headers-ok', 'the pair of headers', null, call({ asHeaders: (grant, pop) => [grant, pop] })),
  one(
    'headers-long',
    'headers of more than 12,288 bytes',
    'presentation',
    call({ asHeaders: (grant, pop) => [grant.padEnd(12_289 - pop.length, 'A'), pop] }),
  ),
  one(
    'headers-parts',
    'a header of three parts',
    'presentation',
    call({ asHeaders: (grant, pop) => [`${grant};`, pop] }),
  ),
  one(
    'headers-blank',
    'a header that was joined of two',
    'presentation',
    call({ asHeaders: (grant, pop) => [`${grant}, ${grant}`, pop] }),
  ),
  one(
    'issuer-expired',
    'a backdated root by the key of an SVID that has expired',
    'issuer',
    call({
      tokens: chain([{ set: { iat: NOW - 4000, exp: NOW + 600 } }], EXPIRED_ISSUER),
      issuer: EXPIRED_ISSUER,
    }),
  ),
  one(
    'issuer-untrusted',
    'an SVID by an authority that is not trusted',
    'issuer',
    call({ tokens: chain([{}], UNTRUSTED_ISSUER), issuer: UNTRUSTED_ISSUER }),
  ),
  one(
    'issuer-foreign',
    'an SVID of a trust domain without a bundle',
    'issuer',
    call({
      tokens: chain([{ set: { iss: 'spiffe://other.test/agents/orchestrator' } }], FOREIGN_ISSUER),
      issuer: FOREIGN_ISSUER,
    }),
  ),
  one(
    'issuer-no-der',
    'a certificate that is none',
    'issuer',
    call({ presented: (shown) => ({ ...shown, spiffe_x5c: ['AAAA'] }) }),
  ),
  one(
    'issuer-leaf-only',
    'a leaf without its intermediate',
    'issuer',
    call({ presented: (shown) => ({ ...shown, spiffe_x5c: ISSUER.x5c.slice(0, 1) }) }),
  ),
  one(
    'issuer-other',
    'the SVID of another workload beside the tokens',
    '3b',
    call({ issuer: OTHER_ISSUER }),
  ),
  one(
    'issuer-impostor',
    'a root that another workload signed in the name of the first',
    '3k',
    call({ tokens: chain([{}], OTHER_ISSUER), issuer: OTHER_ISSUER }),
  ),
  one(
    'issuer-ends',
    'a root that outlives its SVID',
    'issuer',
    call({ tokens: chain([{ set: { exp: ISSUER.notAfter + 1 } }]) }),
  ),
  one(
    'issuer-ends-ok',
    'a root that ends with its SVID',
    null,
    call({ tokens: chain([{ set: { exp: ISSUER.notAfter } }]) }),
  ),
  one(
    'issuer-begins',
    'a root from before its SVID',
    'issuer',
    call({ tokens: chain([{ set: { iat: ISSUER.notBefore - 1 } }]) }),
  ),
  one(
    'issuer-begins-ok',
    'a root as old as its SVID',
    null,
    call({ tokens: chain([{ set: { iat: ISSUER.notBefore } }]) }),
  ),
  one('sub-none', 'no sub', 'sub', call({ tokens: chain([{ set: { sub: undefined } }]) })),
  one(
    'sub-https',
    'a sub that is no SPIFFE ID',
    'sub',
    call({ tokens: chain([{ set: { sub: 'https://example.org/agents/orchestrator' } }]) }),
  ),
  one(
    'sub-domain',
    'a sub that is a trust domain',
    'sub',
    call({ tokens: chain([{ set: { sub: 'spiffe://example.org' } }]) }),
  ),
  one(
    'sub-child',
    'a child without sub',
    'sub',
    call({ tokens: chain([{}, { set: { sub: undefined } }]) }),
  ),
  one(
    'task-none',
    'no spiffe_task',
    'task',
    call({ tokens: chain([{ set: { spiffe_task: undefined } }]) }),
  ),
  one(
    'task-long',
    'a spiffe_task of 257 signs',
    'task',
    call({ tokens: chain([{ set: { spiffe_task: 'x'.repeat(257) } }]) }),
  ),
  one(
    'task-long-ok',
    'a spiffe_task of 256 signs',
    null,
    call({ tokens: chain([{ set: { spiffe_task: 'x'.repeat(256) } }]) }),
  ),
  one(
    'labels-none',
    'no spiffe_labels',
    'labels',
    call({ tokens: chain([{ set: { spiffe_labels: undefined } }]) }),
  ),
  one(
    'labels-unknown',
    'a confidentiality that nobody knows',
    'labels',
    call({ tokens: chain([{ set: labels('secret', 'trusted') }]) }),
  ),
  one(
    'labels-more',
    'a label that nobody knows',
    'labels',
    call({
      tokens: chain([
        {
          set: {
            spiffe_labels: { confidentiality: 'public', integrity: 'trusted', origin: 'web' },
          },
        },
      ]),
    }),
  ),
  one(
    'labels-lower',
    'a child that says less was read',
    'labels',
    call({ tokens: chain([{}, { set: labels('public', 'trusted') }]) }),
  ),
  one(
    'labels-trusted',
    'a child that calls trusted what was not',
    'labels',
    call({
      tokens: chain([
        { set: labels('internal', 'untrusted') },
        { set: labels('restricted', 'trusted') },
      ]),
    }),
  ),
  one(
    'labels-higher-ok',
    'a child that says more was read',
    null,
    call({ tokens: chain([{}, { set: labels('confidential', 'untrusted') }]) }),
  ),
  one(
    'budget-shape',
    'a budget with a member that nobody knows',
    'budget',
    call({ tokens: chain([budget({ calls: 1, bytes: 5 })]) }),
  ),
  one(
    'budget-float',
    'a budget with a fraction',
    'budget',
    call({ tokens: chain([budget({ calls: 1.5 })]) }),
  ),
  one(
    'budget-raised',
    'a child with more calls',
    'budget',
    call({ tokens: chain([budget({ calls: 1 }), budget({ calls: 2 })]) }),
  ),
  one(
    'budget-tool-raised',
    'a child with more calls of one tool',
    'budget',
    call({
      tokens: chain([
        budget({ calls_per_tool: { send: 1 } }),
        budget({ calls_per_tool: { send: 2 } }),
      ]),
    }),
  ),
  one(
    'budget-zero',
    'a budget of no calls',
    'budget',
    call({ tokens: chain([budget({ calls: 0 })]) }),
  ),
  several('budget-spent', 'a budget that is spent; a call that is refused costs nothing', [
    [null, call({ tokens: COUNTED, ...jti('p-1') })],
    ['6b', call({ tokens: COUNTED, tool: 'pay', ...jti('p-2') })],
    [null, call({ tokens: COUNTED, ...jti('p-3') })],
    ['budget', call({ tokens: COUNTED, ...jti('p-4') })],
  ]),
  several('budget-shared', 'a budget that its holder and those below spend together', [
    [null, call({ tokens: SHARED, ...jti('p-1') })],
    ['budget', call({ tokens: SHARED, ...jti('p-2') })],
    [null, call({ tokens: ROOT_OF_SHARED, ...jti('p-3') })],
    ['budget', call({ tokens: ROOT_OF_SHARED, ...jti('p-4') })],
  ]),
  several('budget-anew', 'a root that is made anew for the same key goes on counting', [
    [null, call({ tokens: COUNTED, ...jti('p-1') })],
    [null, call({ tokens: COUNTED_ANEW, ...jti('p-2') })],
    ['budget', call({ tokens: COUNTED_ANEW, ...jti('p-3') })],
    ['budget', call({ tokens: COUNTED, ...jti('p-4') })],
  ]),
  several('budget-child-anew', 'and so does a child that is', [
    [null, call({ tokens: SHARED_BEFORE, ...jti('p-1') })],
    ['budget', call({ tokens: SHARED_ANEW, ...jti('p-2') })],
    [null, call({ tokens: SHARED_ANEW.slice(0, 1), ...jti('p-3') })],
  ]),
  several('budget-other-issuer', 'a root of another issuer for that key has a count of its own', [
    [null, call({ tokens: chain([budget({ calls: 1 })]), ...jti('p-1') })],
    [
      null,
      call({
        tokens: chain(
          [{ set: { spiffe_budget: { calls: 1 }, iss: AGENT('impostor') } }],
          OTHER_ISSUER,
        ),
        issuer: OTHER_ISSUER,
        ...jti('p-2'),
      }),
    ],
  ]),
  several('budget-tool', 'a budget of one tool', [
    [null, call({ tokens: COUNTED_TOOL, ...jti('p-1') })],
    ['budget', call({ tokens: COUNTED_TOOL, ...jti('p-2') })],
    [null, call({ tokens: COUNTED_TOOL, tool: 'search', args_json: '{"q":"a"}', ...jti('p-3') })],
  ]),
  one(
    'peer',
    'a grant that was stolen: another peer shows it',
    'peer',
    call({ peer: AGENT('thief') }),
  ),
  one(
    'peer-parent',
    'a leaf that its giver shows',
    'peer',
    call({ tokens: chain([{}, {}]), peer: HOLDERS[0]?.id as string }),
  ),
  one(
    'peer-longer',
    'a peer whose name only begins like the holder’s',
    'peer',
    call({ peer: `${AGENT('orchestrator')}/x` }),
  ),
  one(
    'revoked-root',
    'a root that is revoked',
    'revoked',
    call({ tokens: chain([{}, {}]), revoked: ['019b0000-0000-7000-8000-000000000000'] }),
  ),
  one(
    'revoked-leaf',
    'a leaf that is revoked',
    'revoked',
    call({ tokens: chain([{}, {}]), revoked: ['019b0000-0000-7000-8000-000000000001'] }),
  ),
  one(
    'revoked-unknown',
    'a token of which nobody knows',
    'revoked',
    call({ tokens: chain([{}, {}]), unknown: ['019b0000-0000-7000-8000-000000000001'] }),
  ),
  one('revoked-other-ok', 'another token that is revoked', null, call({ revoked: ['x'] })),
];
