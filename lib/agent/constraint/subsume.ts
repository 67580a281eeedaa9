import { canonicalJson } from '../../internal/canonical-json.js';
import type { JsonRecord, JsonValue } from '../../internal/json.js';
import { clausesOf } from './foreign.js';
import { kindNamed } from './kinds.js';

type Subsumes = (parent: JsonRecord, child: JsonRecord) => boolean;

/**
 * The pairs of AAT 4.5, parent first; there are no others, however narrow a child is in truth. `wildcard` is above all
 * and stands apart.
 */
const PAIRS: ReadonlyMap<string, Readonly<Record<string, Subsumes>>> = new Map([
  ['exact', { exact: (parent, child) => textOf(parent) === textOf(child) }],
  [
    'range',
    {
      range: isTighter,
      exact: (parent, child) =>
        kindNamed('range')?.compile(parent, NO_CLAUSE)(child['value'] as JsonValue) ?? false,
    },
  ],
  [
    'one_of',
    {
      one_of: (parent, child) => isWithin(child, parent, 'values'),
      exact: (parent, child) => textsOf(parent, 'values').has(textOf(child)),
    },
  ],
  ['not_one_of', { not_one_of: (parent, child) => isWithin(parent, child, 'excluded') }],
  ['contains', { contains: (parent, child) => isWithin(parent, child, 'required') }],
  ['subset', { subset: (parent, child) => isWithin(child, parent, 'allowed') }],
  [
    'all',
    {
      all: (parent, child) =>
        clausesOf(parent).every((above) =>
          clausesOf(child).some((below) => subsumes(above, below)),
        ),
    },
  ],
  [
    'any',
    {
      any: (parent, child) =>
        clausesOf(child).every((below) =>
          clausesOf(parent).some((above) => subsumes(above, below)),
        ),
    },
  ],
] satisfies [string, Record<string, Subsumes>][]);
const NO_CLAUSE = (): (() => boolean) => () => false;

/** Whether a constraint is at least as narrow as its parent's, by AAT 4.5; both are well-formed, `optional` is not looked at. */
export function subsumes(parent: JsonRecord, child: JsonRecord): boolean {
  const above = parent['constraint_type'] as string;
  if (above === 'wildcard') return true;
  const below = child['constraint_type'] as string;
  return PAIRS.get(above)?.[below]?.(parent, child) ?? false;
}

/**
 * The canonical texts of what a constraint lists, made once: clauses are compared each with each, and a stranger chooses
 * how many there are.
 */
const knownTexts = new WeakMap<JsonRecord, ReadonlySet<string>>();

function textsOf(constraint: JsonRecord, member: string): ReadonlySet<string> {
  let texts = knownTexts.get(constraint);
  if (texts === undefined) {
    texts = new Set((constraint[member] as readonly JsonValue[]).map(canonicalJson));
    knownTexts.set(constraint, texts);
  }
  return texts;
}

const knownValues = new WeakMap<JsonRecord, string>();

function textOf(exact: JsonRecord): string {
  let text = knownValues.get(exact);
  if (text === undefined) {
    text = canonicalJson(exact['value'] as JsonValue);
    knownValues.set(exact, text);
  }
  return text;
}

function isWithin(narrow: JsonRecord, wide: JsonRecord, member: string): boolean {
  const all = textsOf(wide, member);
  for (const text of textsOf(narrow, member)) if (!all.has(text)) return false;
  return true;
}

function isTighter(parent: JsonRecord, child: JsonRecord): boolean {
  return (
    isBounded(parent, child, 'min', (below, above) => below > above) &&
    isBounded(parent, child, 'max', (below, above) => below < above)
  );
}

function isBounded(
  parent: JsonRecord,
  child: JsonRecord,
  bound: 'min' | 'max',
  isInside: (below: number, above: number) => boolean,
): boolean {
  const above = parent[bound] as number | undefined;
  const below = child[bound] as number | undefined;
  if (above === undefined) return true;
  if (below === undefined) return false;
  if (below !== above) return isInside(below, above);
  // AAT 4.5: at the same value what was excluded stays so.
  return parent[`${bound}_inclusive`] !== false || child[`${bound}_inclusive`] === false;
}
