import { canonicalJson } from '../../internal/canonical-json.js';
import type { JsonRecord, JsonValue } from '../../internal/json.js';
import { clausesOf } from './foreign.js';
import { kindNamed } from './kinds.js';

type Subsumes = (parent: JsonRecord, child: JsonRecord) => boolean;

/**
 * The pairs of AAT 4.5, parent first; there are no others, however narrow a child is in truth. `wildcard` is above all
 * and stands apart.
 */
const PAIRS: ReadonlyMap<string, Subsumes> = new Map<string, Subsumes>([
  [
    'exact exact',
    (parent, child) => canonicalJson(valueOf(parent)) === canonicalJson(valueOf(child)),
  ],
  ['range range', isTighter],
  ['range exact', (parent, child) => accepts('range', parent, valueOf(child))],
  ['one_of one_of', (parent, child) => isWithin(child, parent, 'values')],
  ['one_of exact', (parent, child) => accepts('one_of', parent, valueOf(child))],
  ['not_one_of not_one_of', (parent, child) => isWithin(parent, child, 'excluded')],
  ['contains contains', (parent, child) => isWithin(parent, child, 'required')],
  ['subset subset', (parent, child) => isWithin(child, parent, 'allowed')],
  [
    'all all',
    (parent, child) =>
      clausesOf(parent).every((above) => clausesOf(child).some((below) => subsumes(above, below))),
  ],
  [
    'any any',
    (parent, child) =>
      clausesOf(child).every((below) => clausesOf(parent).some((above) => subsumes(above, below))),
  ],
]);

/** Whether a constraint is at least as narrow as its parent's, by AAT 4.5; both are well-formed, `optional` is not looked at. */
export function subsumes(parent: JsonRecord, child: JsonRecord): boolean {
  const above = parent['constraint_type'] as string;
  if (above === 'wildcard') return true;
  const pair = PAIRS.get(`${above} ${child['constraint_type'] as string}`);
  return pair?.(parent, child) ?? false;
}

function valueOf(exact: JsonRecord): JsonValue {
  return exact['value'] as JsonValue;
}

function accepts(type: string, constraint: JsonRecord, value: JsonValue): boolean {
  // Both kinds that this is asked of have no clauses.
  return kindNamed(type)?.compile(constraint, () => () => false)(value) ?? false;
}

function isWithin(narrow: JsonRecord, wide: JsonRecord, member: string): boolean {
  const all = new Set((wide[member] as readonly JsonValue[]).map(canonicalJson));
  return (narrow[member] as readonly JsonValue[]).every((value) => all.has(canonicalJson(value)));
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
