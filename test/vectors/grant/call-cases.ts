import type { Json, JsonMap, Link } from './craft.js';
import {
  AGENT,
  ARGS,
  ATTACKER,
  type CallChanges,
  call,
  chain,
  details,
  EXPIRED_ISSUER,
  FOREIGN_ISSUER,
  HOLDERS,
  ISSUER,
  NOW,
  OTHER_ISSUER,
  OTHER_SERVER,
  one,
  SERVER,
  several,
  UNTRUSTED_ISSUER,
  type Vector,
  WILDCARD,
} from './world.js';

const proof = (link: Link, more: CallChanges = {}): ReturnType<typeof call> =>
  call({ ...more, proof: link });
const says = (set: JsonMap, more: CallChanges = {}): ReturnType<typeof call> =>
  proof({ set }, more);
const allowing = (map: Json): readonly string[] =>
  chain([{ set: { authorization_details: details({ send: map }) } }]);
const given = (map: Json, args: string, hta = args): ReturnType<typeof call> =>
  call({
    tokens: allowing(map),
    args_json: args,
    proof: { set: { hta: JSON.parse(hta) as Json } },
  });
const range = { amount: { constraint_type: 'range', max: 1e17 } };
const budget = (value: Json): Link => ({ set: { spiffe_budget: value } });
const labels = (confidentiality: Json, integrity: Json): JsonMap => ({
  spiffe_labels: { confidentiality, integrity },
});
const jti = (id: string): CallChanges => ({ proof: { set: { jti: id } } });

const TOKENS = chain();
/** A call with the very same tokens each time. */
const same = (more: CallChanges = {}): ReturnType<typeof call> => call({ tokens: TOKENS, ...more });
const COUNTED = chain([budget({ calls: 2 })]);
const SHARED = chain([budget({ calls: 2 }), budget({ calls: 1 })]);
const ROOT_OF_SHARED = SHARED.slice(0, 1);
const COUNTED_TOOL = chain([budget({ calls_per_tool: { send: 1 } })]);

/** The call itself, and the proof. */
export const CALL: readonly Vector[] = [
  one('6b-tool', 'a tool that is not in the leaf', '6b', call({ tool: 'pay' })),
  one(
    '6b-value',
    'a value that is not allowed',
    '6b',
    call({ args_json: '{"body":"x","to":"eve@evil.example"}' }),
  ),
  one(
    '6b-unnamed',
    'an argument that is not named',
    '6b',
    call({ args_json: '{"bcc":"x","body":"x","to":"ann@acme.example"}' }),
  ),
  one(
    '6b-missing',
    'an argument that is missing',
    '6b',
    call({ args_json: '{"to":"ann@acme.example"}' }),
  ),
  one(
    '6b-float-ok',
    'arguments with fractions and exponents',
    null,
    given({ amount: { constraint_type: 'range', min: 0.1, max: 1e21 } }, '{"amount":0.1}'),
  ),
  one(
    '6b-form-ok',
    'a number in another form',
    null,
    given(range, '{"amount":1.50e1}', '{"amount":15}'),
  ),
  one('6b-minus-zero-ok', 'minus zero', null, given(range, '{"amount":-0}', '{"amount":0}')),
  one(
    '6b-inexact',
    'a number that changes when it is read, and its proof says what it becomes',
    '6b',
    given(range, '{"amount":9007199254740993}', '{"amount":9007199254740992}'),
  ),
  one(
    '6b-twice',
    'an argument that stands twice',
    '6b',
    given({ '*': WILDCARD }, '{"a":1,"a":2}', '{"a":2}'),
  ),
  one(
    '6b-array',
    'arguments that are an array',
    '6b',
    call({ args_json: '[]', proof: { set: { hta: {} } } }),
  ),
  one(
    '6b-unicode-ok',
    'names and values beyond ASCII',
    null,
    given(
      { größe: { constraint_type: 'one_of', values: ['😀', 'ß'] } },
      '{"gr\\u00f6\\u00dfe":"\\ud83d\\ude00"}',
      '{"größe":"😀"}',
    ),
  ),
  one(
    '6b-normal',
    'the same name, composed in another way',
    '6b',
    given({ größe: WILDCARD }, '{"gro\\u0308\\u00dfe":1}', '{"größe":1}'),
  ),
  one(
    '6b-order-ok',
    'names whose order differs between UTF-16 and Unicode',
    null,
    given(
      { '*': WILDCARD },
      '{"\\ufb33":1,"\\ud83d\\ude00":2,"a":3}',
      '{"a":3,"\\ud83d\\ude00":2,"\\ufb33":1}',
    ),
  ),
  one(
    '6c-array-ok',
    'an aud that is an array with this receiver',
    null,
    call({ tokens: chain([{ set: { aud: [OTHER_SERVER, SERVER] } }]) }),
  ),
  one(
    '6c-array',
    'an aud that is an array without it',
    '6c',
    call({ tokens: chain([{ set: { aud: [OTHER_SERVER] } }]) }),
  ),
  one('6c-empty', 'an aud that is empty', '6c', call({ tokens: chain([{ set: { aud: [] } }]) })),
  one(
    '6c-number',
    'an aud with something else in it',
    '6c',
    call({ tokens: chain([{ set: { aud: [SERVER, 5] } }]) }),
  ),
  one(
    '6c-above',
    'an aud further up that is for others',
    '6c',
    call({ tokens: chain([{ set: { aud: OTHER_SERVER } }, { set: { aud: SERVER } }]) }),
  ),
  one('6c-wanted', 'no aud where one is wanted', '6c', call({ require_chain_aud: true })),
  one(
    '6c-wanted-ok',
    'an aud where one is wanted',
    null,
    call({ tokens: chain([{ set: { aud: SERVER } }]), require_chain_aud: true }),
  ),
  one('7a-none', 'alg none', '7a', proof({ header: { alg: 'none' } })),
  one('7a-typ', 'the typ of a token', '7a', proof({ header: { typ: 'aat+jwt' } })),
  one('7a-crit', 'crit', '7a', proof({ header: { crit: ['x'], x: 1 } })),
  one('7b', 'a proof by another key', '7b', proof({ signer: ATTACKER })),
  one(
    '7b-first',
    'a proof by another key for a call that is not allowed',
    '7b',
    proof({ signer: ATTACKER }, { tool: 'pay' }),
  ),
  one(
    '7b-twice',
    'a claim that stands twice',
    '7b',
    proof({ text: (text) => text.replace('"hta":', '"hta":{},"hta":') }),
  ),
  one('7c-jti', 'an empty jti', '7c', says({ jti: '' })),
  one(
    '7c-iat',
    'an iat with a fraction',
    '7c',
    proof({ text: (text) => text.replace(`"iat":${NOW}`, `"iat":${NOW}.5`) }),
  ),
  one('7c-hta', 'hta that is an array', '7c', says({ hta: [] })),
  one('7c-hash', 'the hash of another leaf', '7c', says({ aat_hash: 'x' })),
  one('7d', 'a proof that was made for another receiver', '7d', says({ aat_aud: OTHER_SERVER })),
  one('7d-none', 'a proof for no receiver', '7d', says({ aat_aud: undefined })),
  one(
    '7d-none-ok',
    'a proof for no receiver where none is asked for',
    null,
    says({ aat_aud: undefined }, { require_pop_aud: false }),
  ),
  one('7d-array', 'aat_aud that is an array', '7d', says({ aat_aud: [SERVER] })),
  one(
    '7d-second-ok',
    'the second name of a receiver',
    null,
    says({}, { audience: ['https://mail.example.org', SERVER] }),
  ),
  one('7e', 'a proof for another tool', '7e', says({ aat_tool: 'search' })),
  one(
    '7f',
    'a proof for other arguments',
    '7f',
    says({ hta: { to: 'bob@acme.example', body: 'hello' } }),
  ),
  one(
    '7f-type',
    'a proof with a number for text',
    '7f',
    given({ '*': WILDCARD }, '{"a":1}', '{"a":"1"}'),
  ),
  one(
    '7f-inexact',
    'a proof with a number that changes when it is read',
    '7f',
    call({
      tokens: allowing(range),
      args_json: '{"amount":9007199254740992}',
      proof: { text: (text) => text.replace('9007199254740992', '9007199254740993') },
    }),
  ),
  one(
    '7f-form-ok',
    'a proof with a number in another form',
    null,
    call({
      tokens: allowing(range),
      args_json: '{"amount":15}',
      proof: { text: (text) => text.replace('"amount":15', '"amount":1.5e1') },
    }),
  ),
  one('7g-old', 'a proof 31 s old', '7g', says({ iat: NOW - 31 })),
  one('7g-old-ok', 'a proof 30 s old', null, says({ iat: NOW - 30 })),
  one('7g-early', 'a proof 31 s ahead', '7g', says({ iat: NOW + 31 })),
  one('7g-early-ok', 'a proof 30 s ahead', null, says({ iat: NOW + 30 })),
  one('7h', 'no nonce where one is asked for', '7h', call({ nonce: 'n-1' })),
  one('7h-other', 'another nonce', '7h', says({ nonce: 'n-2' }, { nonce: 'n-1' })),
  one('7h-ok', 'the nonce', null, says({ nonce: 'n-1' }, { nonce: 'n-1' })),
  several('7i', 'a proof that is shown twice, and another', [
    [null, same()],
    ['7i', same()],
    [null, same(jti('p-2'))],
  ]),
  several('7i-later', 'a proof that is shown again at the end of its window, and after it', [
    [null, same()],
    ['7i', same({ now: NOW + 30, proof: { set: { iat: NOW } } })],
    ['7g', same({ now: NOW + 31, proof: { set: { iat: NOW } } })],
  ]),
  several('7i-kept', 'a proof that is refused for other arguments, then shown for its own', [
    [
      '7f',
      same({
        args_json: '{"body":"bye","to":"ann@acme.example"}',
        proof: { set: { hta: JSON.parse(ARGS) as Json } },
      }),
    ],
    [null, same()],
  ]),
];

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
