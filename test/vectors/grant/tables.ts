import type { Json, JsonMap } from './craft.js';

/** A pair of constraints, and whether the first is above the second by section 4.5 of the draft. */
export interface Pair {
  readonly parent: JsonMap;
  readonly child: JsonMap;
  readonly subsumes: boolean;
}

const exact = (value: Json): JsonMap => ({ constraint_type: 'exact', value });
const range = (members: JsonMap): JsonMap => ({ constraint_type: 'range', ...members });
const oneOf = (...values: readonly Json[]): JsonMap => ({ constraint_type: 'one_of', values });
const notOneOf = (...excluded: readonly Json[]): JsonMap => ({
  constraint_type: 'not_one_of',
  excluded,
});
const contains = (...required: readonly Json[]): JsonMap => ({
  constraint_type: 'contains',
  required,
});
const subset = (...allowed: readonly Json[]): JsonMap => ({ constraint_type: 'subset', allowed });
const wildcard: JsonMap = { constraint_type: 'wildcard' };
const all = (...constraints: readonly JsonMap[]): JsonMap => ({
  constraint_type: 'all',
  constraints,
});
const any = (...constraints: readonly JsonMap[]): JsonMap => ({
  constraint_type: 'any',
  constraints,
});

/** One of each type; each accepts 5 but the two of arrays. */
const EACH: Readonly<Record<string, JsonMap>> = {
  exact: exact(5),
  range: range({ min: 5, max: 5 }),
  one_of: oneOf(5),
  not_one_of: notOneOf(6),
  contains: contains(5),
  subset: subset(5),
  wildcard,
  all: all(exact(5)),
  any: any(exact(5)),
};

/** The pairs that 4.5 lists, by type; with one of each they all hold. */
const LISTED = new Set([
  'exact exact',
  'range range',
  'range exact',
  'one_of one_of',
  'one_of exact',
  'not_one_of not_one_of',
  'contains contains',
  'subset subset',
  'all all',
  'any any',
]);

const everyPair: readonly Pair[] = Object.entries(EACH).flatMap(([above, parent]) =>
  Object.entries(EACH).map(([below, child]) => ({
    parent,
    child,
    subsumes: above === 'wildcard' || LISTED.has(`${above} ${below}`),
  })),
);

const yes = (parent: JsonMap, child: JsonMap): Pair => ({ parent, child, subsumes: true });
const no = (parent: JsonMap, child: JsonMap): Pair => ({ parent, child, subsumes: false });

/** Every ordered pair of types, then what the listed pairs depend on. */
export const PAIRS: readonly Pair[] = [
  ...everyPair,
  no(exact(5), exact(6)),
  no(exact(1), exact(true)),
  no(exact('1'), exact(1)),
  yes(exact(null), exact(null)),
  no(exact('\u00e9'), exact('e\u0301')),
  yes(range({}), range({ min: 1 })),
  no(range({ min: 1 }), range({})),
  no(range({ min: 1 }), range({ max: 5 })),
  yes(range({ min: 1, max: 9 }), range({ min: 2, max: 8 })),
  no(range({ min: 1, max: 9 }), range({ min: 0, max: 8 })),
  no(range({ min: 1, max: 9 }), range({ min: 2, max: 10 })),
  yes(range({ min: 1 }), range({ min: 1, min_inclusive: false })),
  no(range({ min: 1, min_inclusive: false }), range({ min: 1 })),
  yes(range({ min: 1, min_inclusive: false }), range({ min: 1, min_inclusive: false })),
  yes(range({ min: 1, min_inclusive: false }), range({ min: 1.5 })),
  yes(range({ max: 1 }), range({ max: 1, max_inclusive: false })),
  no(range({ max: 1, max_inclusive: false }), range({ max: 1, max_inclusive: true })),
  no(range({ max: 9 }), exact(10)),
  no(range({ max: 9, max_inclusive: false }), exact(9)),
  no(range({ max: 9 }), exact('5')),
  no(range({}), exact(true)),
  yes(oneOf('a', 'b'), oneOf('b')),
  yes(oneOf('a', 'b'), oneOf('b', 'b', 'a')),
  no(oneOf('a', 'b'), oneOf('a', 'c')),
  no(oneOf('a'), exact('b')),
  yes(oneOf({ a: 1, b: 2 }), oneOf({ b: 2, a: 1 })),
  no(oneOf([1, 2]), oneOf([2, 1])),
  yes(notOneOf('a'), notOneOf('a', 'b')),
  yes(notOneOf(), notOneOf('a')),
  no(notOneOf('a', 'b'), notOneOf('a')),
  no(notOneOf('a'), exact('b')),
  yes(contains('a'), contains('a', 'b')),
  no(contains('a', 'b'), contains('a')),
  yes(contains(), contains('a')),
  yes(subset('a', 'b'), subset('a')),
  yes(subset('a'), subset()),
  no(subset('a'), subset('a', 'b')),
  yes(all(range({ min: 1 }), range({ max: 9 })), all(exact(5))),
  yes(all(wildcard, wildcard), all(exact(5))),
  yes(all(exact(5)), all(exact(5), oneOf('x'))),
  no(all(exact(5), oneOf('x')), all(exact(5))),
  no(all(range({ max: 9 })), all(range({ max: 10 }))),
  yes(any(oneOf('pdf', 'csv')), any(exact('pdf'))),
  yes(any(exact('a'), exact('b')), any(exact('b'))),
  no(any(exact('a')), any(exact('a'), exact('b'))),
  no(any(exact('a')), all(exact('a'))),
  yes(all(any(exact('a'), exact('b'))), all(any(exact('b')))),
  no(all(any(exact('a'))), all(any(exact('a'), exact('b')))),
  yes(any(wildcard), any(all(exact('a')))),
  no(any(exact('a')), any(wildcard)),
];

/** Numbers as they may be written that are admissible by 3.4 of the draft. */
const ADMISSIBLE = `0 -0 0.0 -0.0e5 1 1.0 10 1e1 1E+1 100e-1 0.1 1e20 1e21 -1.5 4.50e1 0.000001 1e-7
  9007199254740991 9007199254740992 9007199254740994 18014398509481984 123456789012345680000
  5e-324 1.7976931348623157e308 0e999999999999 0.00000000000000000000000000000000000000000001e44`;
const INADMISSIBLE = `9007199254740993 1.00000000000000001 0.10000000000000001 1e400 -1e400 1e-400
  123456789012345678 18014398509481985 4.9e-324 2.4e-324 1e99999999999999999999`;

/** Both, each with whether it is. */
export const NUMBERS: readonly { readonly text: string; readonly admissible: boolean }[] = [
  ...ADMISSIBLE.split(/\s+/).map((text) => ({ text, admissible: true })),
  ...INADMISSIBLE.split(/\s+/).map((text) => ({ text, admissible: false })),
];
