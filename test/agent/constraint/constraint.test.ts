import {
  all,
  any,
  Constraint,
  check,
  contains,
  exact,
  type JsonValue,
  notOneOf,
  oneOf,
  optional,
  range,
  subset,
  wildcard,
} from 'agent-spiffe/agent';
import { expect } from 'chai';
import { refusal } from '../../support/refusal.js';

/** Constraint, what meets it, what does not. */
const TABLE: readonly (readonly [
  string,
  Constraint,
  readonly JsonValue[],
  readonly JsonValue[],
])[] = [
  ['exact text', exact('a'), ['a'], ['A', 'a ', '', 1, null, ['a'], { value: 'a' }]],
  ['exact number', exact(1), [1], ['1', 2, true, [1]]],
  ['exact zero', exact(0), [0, -0], [false, '', null]],
  ['exact true', exact(true), [true], [1, 'true', false]],
  ['exact null', exact(null), [null], [0, '', false, {}]],
  [
    'range with both ends',
    range({ min: 1, max: 3 }),
    [1, 2, 3, 1.5],
    [0.999, 3.001, '2', true, null, [2]],
  ],
  [
    'range without its ends',
    range({ min: 1, max: 3, minInclusive: false, maxInclusive: false }),
    [2, 1.001],
    [1, 3],
  ],
  ['range from below', range({ min: 0 }), [0, 1e308], [-1e-9, '5']],
  ['range up to above', range({ max: 0 }), [0, -1e308], [1e-9]],
  ['range of any number', range({}), [0, -5, 1e20], ['0', true, null, {}]],
  [
    'one of',
    oneOf('a', 1, { b: [1, 2] }),
    ['a', 1, { b: [1, 2] }],
    ['b', '1', { b: [2, 1] }, { b: [1, 2], c: 1 }],
  ],
  ['not one of', notOneOf('a', 1), ['b', '1', true, null, ['a']], ['a', 1]],
  ['not one of nothing', notOneOf(), ['a', null], []],
  [
    'contains',
    contains('a', 1),
    [
      ['a', 1],
      [1, 'b', 'a'],
    ],
    [['a'], [], 'a1', { 0: 'a', 1: 1 }, ['a', '1']],
  ],
  ['contains nothing', contains(), [[], ['x']], ['x', {}, null]],
  ['subset', subset('a', 'b'), [[], ['a'], ['b', 'a', 'a']], [['c'], ['a', 'c'], 'a', {}, null]],
  ['subset of nothing', subset(), [[]], [['a']]],
  ['wildcard', wildcard(), [null, 0, '', [], {}, 'x'], []],
  ['all', all(range({ min: 1 }), notOneOf(5)), [1, 6], [0, 5, 'x']],
  ['any', any(exact('a'), range({ min: 10 })), ['a', 10], ['b', 9]],
  [
    'all within any',
    any(all(range({ min: 1 }), range({ max: 2 })), exact('x')),
    [1, 2, 'x'],
    [0, 3],
  ],
  [
    'an object whose members are in another order',
    oneOf({ a: 1, b: 2 }),
    [{ b: 2, a: 1 }],
    [{ a: 1 }],
  ],
];

function nest(levels: number): unknown {
  let json: unknown = { constraint_type: 'wildcard' };
  for (let i = 1; i < levels; i++) json = { constraint_type: 'all', constraints: [json] };
  return json;
}

describe('a constraint', () => {
  for (const [name, constraint, good, bad] of TABLE) {
    it(`${name}: is met by what it says and by nothing else (AAT 3.4)`, () => {
      for (const value of good)
        expect(check(constraint, value), JSON.stringify(value)).to.equal(true);
      for (const value of bad)
        expect(check(constraint, value), JSON.stringify(value)).to.equal(false);
      const again = Constraint.parse(JSON.parse(JSON.stringify(constraint)));
      expect(again.toJSON()).to.deep.equal(constraint.toJSON());
      for (const value of good) expect(check(again, value)).to.equal(true);
      for (const value of bad) expect(check(again, value)).to.equal(false);
    });
  }

  it('writes the JSON of the tokens', () => {
    expect(
      JSON.parse(JSON.stringify(optional(range({ min: 1, minInclusive: false })))),
    ).to.deep.equal({
      constraint_type: 'range',
      min: 1,
      min_inclusive: false,
      optional: true,
    });
    expect(JSON.parse(JSON.stringify(all(exact('a'), oneOf(1))))).to.deep.equal({
      constraint_type: 'all',
      constraints: [
        { constraint_type: 'exact', value: 'a' },
        { constraint_type: 'one_of', values: [1] },
      ],
    });
  });

  it('does not follow what it was made from', () => {
    const values = [['a']];
    const constraint = oneOf(...values);
    values[0]?.push('b');
    expect(check(constraint, ['a'])).to.equal(true);
    expect(check(constraint, ['a', 'b'])).to.equal(false);
    expect(Object.isFrozen(constraint)).to.equal(true);
  });

  for (const [name, json] of [
    ['an unknown type', { constraint_type: 'regex', pattern: '.*' }],
    ['no type', { value: 1 }],
    ['a type that objects inherit', { constraint_type: 'constructor' }],
    ['a member that its type does not define', { constraint_type: 'range', maximum: 5 }],
    ['a member of another type', { constraint_type: 'exact', value: 1, values: [1] }],
    ['an exact object', { constraint_type: 'exact', value: {} }],
    ['an exact array', { constraint_type: 'exact', value: [] }],
    ['exact nothing', { constraint_type: 'exact' }],
    ['a range that is text', { constraint_type: 'range', min: '1' }],
    ['a range upside down', { constraint_type: 'range', min: 2, max: 1 }],
    ['an end without its bound', { constraint_type: 'range', min: 1, max_inclusive: true }],
    ['an end that is no boolean', { constraint_type: 'range', min: 1, min_inclusive: 1 }],
    ['one of none', { constraint_type: 'one_of', values: [] }],
    ['one of text', { constraint_type: 'one_of', values: 'abc' }],
    ['not one of null', { constraint_type: 'not_one_of', excluded: null }],
    ['contains without a list', { constraint_type: 'contains' }],
    ['a subset of an object', { constraint_type: 'subset', allowed: { 0: 'a' } }],
    ['a wildcard with a member', { constraint_type: 'wildcard', value: 1 }],
    ['all of none', { constraint_type: 'all', constraints: [] }],
    ['any of an object', { constraint_type: 'any', constraints: {} }],
    ['any of text', { constraint_type: 'any', constraints: ['wildcard'] }],
    ['an unknown type within', { constraint_type: 'any', constraints: [{ constraint_type: 'x' }] }],
    [
      'optional within all',
      { constraint_type: 'all', constraints: [{ constraint_type: 'wildcard', optional: true }] },
    ],
    ['optional that is no boolean', { constraint_type: 'wildcard', optional: 'yes' }],
    ['an array', []],
    ['null', null],
    ['text', 'wildcard'],
    ['a number that JSON has not', { constraint_type: 'exact', value: Number.NaN }],
  ] as const) {
    it(`refuses ${name}`, () => {
      refusal('ERR_SPIFFE_OPTION_INVALID', 'constraint', () => Constraint.parse(json));
    });
  }

  it('takes 32 levels, and not 33 (AAT 9)', () => {
    expect(check(Constraint.parse(nest(32)), 'x')).to.equal(true);
    refusal('ERR_SPIFFE_OPTION_INVALID', '32 levels', () => Constraint.parse(nest(33)));
  });

  it('is no constraint that merely looks like one', () => {
    refusal('ERR_SPIFFE_OPTION_INVALID', '', () =>
      all({ toJSON: () => ({}) } as unknown as Constraint),
    );
    refusal('ERR_SPIFFE_OPTION_INVALID', 'minimum', () => range({ minimum: 1 } as object));
  });
});
