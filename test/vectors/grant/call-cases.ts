import type { Json, JsonMap } from './craft.js';
import { jti, proof } from './shorthand.js';
import {
  ARGS,
  ATTACKER,
  type CallChanges,
  call,
  chain,
  details,
  NOW,
  OTHER_SERVER,
  one,
  SERVER,
  several,
  type Vector,
  WILDCARD,
} from './world.js';

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

const TOKENS = chain();
/** A call with the very same tokens each time. */
const same = (more: CallChanges = {}): ReturnType<typeof call> => call({ tokens: TOKENS, ...more });

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
