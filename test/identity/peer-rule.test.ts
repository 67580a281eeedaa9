import { inspect } from 'node:util';
import {
  ANY_SPIFFE_ID,
  type PeerRule,
  parsePeerRule,
  SpiffeError,
  SpiffeId,
  UNAUTHENTICATED_CLIENTS,
  WEB_PKI,
} from 'agent-spiffe';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { describePeerRule } from '#lib/identity/peer-rule.js';
import { refusal } from '../support/refusal.js';

const ask = (rule: unknown, id: string): boolean =>
  parsePeerRule(rule as PeerRule)(SpiffeId.parse(id));

/** [rule, the IDs that pass, the IDs that do not]. */
const RULES: readonly (readonly [
  rule: PeerRule,
  passes: readonly string[],
  refused: readonly string[],
])[] = [
  [
    'spiffe://td/a/b',
    ['spiffe://td/a/b'],
    ['spiffe://td/a', 'spiffe://td/a/b/c', 'spiffe://td/A/b', 'spiffe://te/a/b', 'spiffe://td'],
  ],
  [SpiffeId.of('td', 'a'), ['spiffe://td/a'], ['spiffe://td/b', 'spiffe://te/a']],
  ['spiffe://td', ['spiffe://td'], ['spiffe://td/a', 'spiffe://te']],
  [
    'spiffe://td/*',
    ['spiffe://td/a', 'spiffe://td/x', 'spiffe://td/...'],
    ['spiffe://td', 'spiffe://td/a/b', 'spiffe://td.evil/a', 'spiffe://t/d/a'],
  ],
  [
    'spiffe://td/agents/*',
    ['spiffe://td/agents/a'],
    [
      'spiffe://td/agents',
      'spiffe://td/agents/a/b',
      'spiffe://td/agentsx/a',
      'spiffe://td/Agents/a',
    ],
  ],
  [
    'spiffe://td/ns/*/sa/*',
    ['spiffe://td/ns/prod/sa/web', 'spiffe://td/ns/sa/sa/sa'],
    ['spiffe://td/ns/prod/web', 'spiffe://td/ns/a/b/sa/web', 'spiffe://td/ns/prod/sb/web'],
  ],
  [
    'spiffe://td/*/admin',
    ['spiffe://td/x/admin'],
    ['spiffe://td/admin', 'spiffe://td/x/y/admin', 'spiffe://td/x/adminx', 'spiffe://te/x/admin'],
  ],
  // A literal x stands where a * is tried as one: they must not be confused.
  ['spiffe://td/x/*', ['spiffe://td/x/y'], ['spiffe://td/y/y', 'spiffe://td/x']],
  [
    'spiffe://td/**',
    ['spiffe://td/a', 'spiffe://td/a/b/c/d'],
    ['spiffe://td', 'spiffe://te/a', 'spiffe://td./a', 'spiffe://sub.td/a'],
  ],
  [
    'spiffe://td/a/**',
    ['spiffe://td/a/b', 'spiffe://td/a/b/c'],
    ['spiffe://td/a', 'spiffe://td/ab', 'spiffe://td/ab/c', 'spiffe://td/b/a/c'],
  ],
  [
    'spiffe://td/*/b/**',
    ['spiffe://td/a/b/c', 'spiffe://td/a/b/c/d'],
    ['spiffe://td/a/b', 'spiffe://td/a/c/c', 'spiffe://td/b/c'],
  ],
  [
    ['spiffe://td/a', SpiffeId.of('td', 'b'), 'spiffe://te/**'],
    ['spiffe://td/a', 'spiffe://td/b', 'spiffe://te/c/d'],
    ['spiffe://td/c', 'spiffe://te', 'spiffe://td/a/b'],
  ],
  [['spiffe://td/a'], ['spiffe://td/a'], ['spiffe://td/b']],
  [ANY_SPIFFE_ID, ['spiffe://td/a', 'spiffe://td', 'spiffe://__proto__/a'], []],
  [({ path }) => path.startsWith('/agents/'), ['spiffe://td/agents/a'], ['spiffe://td/tools/a']],
];

/** [requirement, rule, its twin that may be given]. */
const BAD: readonly (readonly [requirement: string, rule: unknown, twin: PeerRule])[] = [
  ['ID-01', '', 'spiffe://td'],
  ['ID-01', '*', ANY_SPIFFE_ID],
  ['ID-01', '**', ANY_SPIFFE_ID],
  ['ID-01', 'spiffe://', 'spiffe://td'],
  ['ID-26', 'spiffe://*', 'spiffe://td/*'],
  ['ID-26', 'spiffe://**', 'spiffe://td/**'],
  ['ID-26', 'spiffe://*/a', 'spiffe://td/a'],
  ['ID-26', 'spiffe://*/**', 'spiffe://td/**'],
  ['ID-26', 'spiffe://*.org/a', 'spiffe://x.org/a'],
  ['ID-26', 'spiffe:///**', 'spiffe://td/**'],
  ['ID-26', '/a/*', 'spiffe://td/a/*'],
  ['ID-26', '*//td/a', 'spiffe://td/a'],
  ['ID-26', 'spiffe:/*/td/a', 'spiffe://td/a'],
  ['ID-04', 'spiffe://TD/*', 'spiffe://td/*'],
  ['ID-12', 'spiffe://td/a*', 'spiffe://td/*'],
  ['ID-12', 'spiffe://td/*a', 'spiffe://td/*'],
  ['ID-12', 'spiffe://td/a**', 'spiffe://td/a/**'],
  ['ID-12', 'spiffe://td/***', 'spiffe://td/**'],
  ['ID-12', 'spiffe://td/**/a', 'spiffe://td/*/a'],
  ['ID-12', 'spiffe://td/**/**', 'spiffe://td/*/**'],
  ['ID-12', 'spiffe://td/**/*', 'spiffe://td/*/**'],
  ['ID-12', 'spiffe://td/[a-z]', 'spiffe://td/a-z'],
  ['ID-12', 'spiffe://td/a|spiffe://td/b', ['spiffe://td/a', 'spiffe://td/b']],
  ['ID-12', 'spiffe://td/a,spiffe://td/b', ['spiffe://td/a', 'spiffe://td/b']],
  ['ID-10', 'spiffe://td//**', 'spiffe://td/**'],
  ['ID-10', 'spiffe://td/a/../*', 'spiffe://td/*'],
  ['ID-11', 'spiffe://td/*/', 'spiffe://td/*'],
  ['ID-11', 'spiffe://td/**/', 'spiffe://td/**'],
  ['ID-02', 'spiffe://td/*?', 'spiffe://td/*'],
  ['ID-01', 'https://td/*', 'spiffe://td/*'],
  ['ID-15', `spiffe://td/*/${'a'.repeat(2048)}`, `spiffe://td/*/${'a'.repeat(2034)}`],
  ['ID-26', undefined, ANY_SPIFFE_ID],
  ['ID-26', null, ANY_SPIFFE_ID],
  ['ID-26', true, () => true],
  ['ID-26', 5, 'spiffe://td/5'],
  ['ID-26', {}, 'spiffe://td'],
  ['ID-26', /spiffe/, 'spiffe://td/*'],
  ['ID-26', Symbol('agent-spiffe: any SPIFFE ID'), ANY_SPIFFE_ID],
  ['ID-26', new Set(['spiffe://td/a']), ['spiffe://td/a']],
  ['ID-26', [], ['spiffe://td/a']],
  ['ID-26', [[]], ['spiffe://td/a']],
  ['ID-26', [['spiffe://td/a']], ['spiffe://td/a']],
  ['ID-26', [ANY_SPIFFE_ID], ANY_SPIFFE_ID],
  ['ID-26', [() => true], () => true],
  ['ID-26', WEB_PKI, ANY_SPIFFE_ID],
  ['ID-26', ['spiffe://td/a', WEB_PKI], ['spiffe://td/a']],
  ['ID-26', UNAUTHENTICATED_CLIENTS, ANY_SPIFFE_ID],
  ['ID-26', ['spiffe://td/a', UNAUTHENTICATED_CLIENTS], ['spiffe://td/a']],
  ['ID-26', ['spiffe://td/a', 'td/b'], ['spiffe://td/a', 'spiffe://td/b']],
  ['ID-26', ['spiffe://td/a', undefined], ['spiffe://td/a']],
  ['ID-26', Array.from({ length: 1 }), ['spiffe://td/a']],
  ['ID-26', Object.assign([], { length: 1 }), ['spiffe://td/a']],
];

/** What a pattern means, written a second time: one segment after another. */
function matches(pattern: readonly string[], path: readonly string[]): boolean {
  const [want, ...rest] = pattern;
  const [have, ...more] = path;
  if (want === undefined) return have === undefined;
  if (have === undefined) return false;
  if (want === '**') return rest.length === 0;
  return (want === '*' || want === have) && matches(rest, more);
}

describe('parsePeerRule', () => {
  for (const [rule, passes, refused] of RULES) {
    const shown = describePeerRule(rule);
    for (const id of passes) {
      it(`lets ${id} pass by ${shown}`, () => {
        expect(ask(rule, id)).to.equal(true);
      });
    }
    for (const id of refused) {
      it(`refuses ${id} by ${shown} (ID-18, ID-26, A-33)`, () => {
        expect(ask(rule, id)).to.equal(false);
      });
    }
  }

  for (const [requirement, rule, twin] of BAD) {
    it(`throws when it is given ${inspect(rule).slice(0, 50)}, and takes its twin (${requirement})`, () => {
      const error = refusal('ERR_SPIFFE_PEER_RULE_INVALID', 'cannot use this peer rule', () =>
        parsePeerRule(rule as PeerRule),
      );
      // A text that is no ID keeps the reason why.
      if (typeof rule === 'string') expect(error.cause).to.be.instanceOf(SpiffeError);
      expect(parsePeerRule(twin)).to.be.a('function');
    });
  }

  it('agrees with a matcher that goes segment by segment', () => {
    const letter = fc.constantFrom('a', 'b', 'x');
    const pattern = fc
      .tuple(fc.array(fc.oneof(letter, fc.constant('*')), { maxLength: 4 }), fc.boolean())
      .map(([segments, open]) => (open ? [...segments, '**'] : segments));
    const path = fc.array(letter, { maxLength: 5 });
    fc.assert(
      fc.property(pattern, path, (want, have) => {
        const rule = ['spiffe://td', ...want].join('/');
        expect(ask(rule, ['spiffe://td', ...have].join('/'))).to.equal(matches(want, have));
        expect(ask(rule, ['spiffe://te', ...have].join('/'))).to.equal(false);
      }),
      { numRuns: 1000 },
    );
  });

  it('is what it was when it was given: the list may change, the rule does not', () => {
    const list = ['spiffe://td/a'];
    const rule = parsePeerRule(list);
    list.push('spiffe://td/b');
    list[0] = 'spiffe://td/c';
    expect(rule(SpiffeId.parse('spiffe://td/a'))).to.equal(true);
    expect(rule(SpiffeId.parse('spiffe://td/b'))).to.equal(false);
    expect(rule(SpiffeId.parse('spiffe://td/c'))).to.equal(false);
  });

  describe('with a function', () => {
    const id = SpiffeId.parse('spiffe://td/a');

    it('hands it the verified ID', () => {
      const seen: SpiffeId[] = [];
      expect(parsePeerRule((given) => seen.push(given) === 1)(id)).to.equal(true);
      expect(seen).to.deep.equal([id]);
    });

    it('passes on what it throws', () => {
      const fault = new Error('the rule is broken');
      const rule = parsePeerRule(() => {
        throw fault;
      });
      expect(() => rule(id)).to.throw(fault);
    });

    for (const answer of [undefined, null, 1, 0, '', 'yes', {}, [], new Boolean(true)]) {
      it(`does not take ${inspect(answer)} for an answer`, () => {
        const rule = parsePeerRule((() => answer) as unknown as () => boolean);
        refusal('ERR_SPIFFE_PEER_RULE_FAILED', 'not true or false', () => rule(id));
      });
    }

    it('does not take a promise of true for an answer', () => {
      const later = (() => Promise.resolve(true)) as unknown as () => boolean;
      refusal('ERR_SPIFFE_PEER_RULE_FAILED', 'synchronous', () => parsePeerRule(later)(id));
    });

    it('outlives a promise that is rejected', async () => {
      const later = (() => Promise.reject(new Error('too late'))) as unknown as () => boolean;
      const unhandled: unknown[] = [];
      const note = (reason: unknown): void => void unhandled.push(reason);
      process.on('unhandledRejection', note);
      try {
        refusal('ERR_SPIFFE_PEER_RULE_FAILED', 'synchronous', () => parsePeerRule(later)(id));
        // Rejections that nobody handles are told when the microtasks of this turn are done.
        await new Promise(setImmediate);
      } finally {
        process.off('unhandledRejection', note);
      }
      expect(unhandled).to.deep.equal([]);
    });

    it('refuses an async function when it is given', () => {
      const later = (async () => true) as unknown as () => boolean;
      refusal('ERR_SPIFFE_PEER_RULE_INVALID', 'async function', () => parsePeerRule(later));
      expect(parsePeerRule(() => true)(id)).to.equal(true);
    });

    it('names the function that failed', () => {
      const noAnswer = (() => undefined) as unknown as () => boolean;
      const error = refusal('ERR_SPIFFE_PEER_RULE_FAILED', 'the function noAnswer', () =>
        parsePeerRule(noAnswer)(id),
      );
      expect(error.message).to.include('spiffe://td/a');
    });
  });
});

describe('describePeerRule', () => {
  const rules: readonly (readonly [rule: PeerRule, text: string])[] = [
    [ANY_SPIFFE_ID, 'any SPIFFE ID'],
    ['spiffe://td/**', 'spiffe://td/**'],
    [SpiffeId.of('td', 'a'), 'spiffe://td/a'],
    [['spiffe://td/a', SpiffeId.of('td', 'b')], 'spiffe://td/a, spiffe://td/b'],
    [
      ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => SpiffeId.of('td', name)),
      'spiffe://td/a, spiffe://td/b, spiffe://td/c, spiffe://td/d, spiffe://td/e and 2 more',
    ],
    [
      ['a', 'b', 'c', 'd', 'e'].map((name) => SpiffeId.of('td', name)),
      'spiffe://td/a, spiffe://td/b, spiffe://td/c, spiffe://td/d, spiffe://td/e',
    ],
    [Object.assign(() => true, {}), 'the function (anonymous)'],
  ];
  for (const [rule, text] of rules) {
    it(`says: ${text}`, () => {
      expect(describePeerRule(rule)).to.equal(text);
    });
  }
});
