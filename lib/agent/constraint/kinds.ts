import { canonicalJson } from '../../internal/canonical-json.js';
import type { JsonRecord, JsonValue } from '../../internal/json.js';
import { pathBaseProblem, underPath } from './path-under.js';
import { underUrl, urlBaseProblem } from './url-under.js';

/** Whether a value meets a constraint. */
export type Accept = (value: JsonValue) => boolean;

/** What {@link Kind.problem} says of members that are well-formed. */
export const WELL_FORMED = '';

/** One type of constraint. */
export interface Kind {
  /** The members it defines. */
  readonly members: readonly string[];
  /** Whether it is one of ours that no token carries. */
  readonly local?: true;
  /** What is wrong with its members, or {@link WELL_FORMED}. */
  readonly problem: (members: JsonRecord) => string;
  /** Makes the check, once; the members are well-formed. `clause` compiles a constraint within. */
  readonly compile: (members: JsonRecord, clause: (json: JsonRecord) => Accept) => Accept;
}

/** AAT 3.4, and two of ours that are local: `url_under` and `path_under`. */
const KINDS: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  [
    'exact',
    {
      members: ['value'],
      problem: ({ value }) =>
        value === undefined || (typeof value === 'object' && value !== null)
          ? 'its value is text, a number, a boolean or null'
          : WELL_FORMED,
      compile: ({ value }) => {
        const wanted = canonicalJson(value as JsonValue);
        return (given) => canonicalJson(given) === wanted;
      },
    },
  ],
  [
    'range',
    {
      members: ['min', 'max', 'min_inclusive', 'max_inclusive'],
      problem: rangeProblem,
      compile: range,
    },
  ],
  ['one_of', list('values', 1, (listed) => (given) => listed.has(canonicalJson(given)))],
  ['not_one_of', list('excluded', 0, (listed) => (given) => !listed.has(canonicalJson(given)))],
  [
    'contains',
    list('required', 0, (listed) => (given) => {
      if (!isArray(given)) return false;
      const held = canonicalSet(given);
      return [...listed].every((wanted) => held.has(wanted));
    }),
  ],
  [
    'subset',
    list(
      'allowed',
      0,
      (listed) => (given) =>
        isArray(given) && given.every((item) => listed.has(canonicalJson(item))),
    ),
  ],
  ['wildcard', { members: [], problem: () => WELL_FORMED, compile: () => () => true }],
  ['all', combination((clauses) => (given) => clauses.every((accept) => accept(given)))],
  ['any', combination((clauses) => (given) => clauses.some((accept) => accept(given)))],
  ['url_under', textual(urlBaseProblem, underUrl)],
  ['path_under', textual(pathBaseProblem, underPath)],
]);

export function kindNamed(type: string): Kind | undefined {
  return KINDS.get(type);
}

function rangeProblem(members: JsonRecord): string {
  const { min, max } = members;
  for (const bound of ['min', 'max'] as const) {
    const limit = members[bound];
    const inclusive = members[`${bound}_inclusive`];
    if (limit !== undefined && typeof limit !== 'number') return `its ${bound} is a number`;
    if (inclusive !== undefined && typeof inclusive !== 'boolean')
      return `its ${bound}_inclusive is true or false`;
    if (inclusive !== undefined && limit === undefined)
      return `it has a ${bound}_inclusive without a ${bound}`;
  }
  const empty = typeof min === 'number' && typeof max === 'number' && min > max;
  return empty ? 'its min is above its max' : WELL_FORMED;
}

function range(members: JsonRecord): Accept {
  const min = (members['min'] ?? Number.NEGATIVE_INFINITY) as number;
  const max = (members['max'] ?? Number.POSITIVE_INFINITY) as number;
  const withMin = members['min_inclusive'] !== false;
  const withMax = members['max_inclusive'] !== false;
  return (given) =>
    typeof given === 'number' &&
    (withMin ? given >= min : given > min) &&
    (withMax ? given <= max : given < max);
}

/** A kind whose one member is a list, looked up by canonical JSON. */
function list(member: string, least: number, make: (listed: ReadonlySet<string>) => Accept): Kind {
  return {
    members: [member],
    problem: (members) => {
      const values = members[member];
      if (values === undefined || !isArray(values)) return `its ${member} is an array`;
      return values.length < least ? `its ${member} is empty` : WELL_FORMED;
    },
    compile: (members) => make(canonicalSet(members[member] as readonly JsonValue[])),
  };
}

function combination(make: (clauses: readonly Accept[]) => Accept): Kind {
  return {
    members: ['constraints'],
    problem: ({ constraints }) => {
      if (constraints === undefined || !isArray(constraints) || constraints.length === 0)
        return 'its constraints are an array that is not empty';
      // AAT 3.3: `optional` belongs to an argument, not to a clause; the clause's own type refuses the member.
      return constraints.every(isObject) ? WELL_FORMED : 'each of its constraints is an object';
    },
    compile: ({ constraints }, clause) =>
      make((constraints as readonly JsonRecord[]).map((json) => clause(json))),
  };
}

/** A kind that judges text by a base. */
function textual(
  problem: (base: string) => string,
  under: (base: string) => (text: string) => boolean,
): Kind {
  return {
    members: ['base'],
    local: true,
    problem: ({ base }) => (typeof base === 'string' ? problem(base) : 'its base is text'),
    compile: ({ base }) => {
      const isUnder = under(base as string);
      return (given) => typeof given === 'string' && isUnder(given);
    },
  };
}

function canonicalSet(values: readonly JsonValue[]): ReadonlySet<string> {
  return new Set(values.map((value) => canonicalJson(value)));
}

function isArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function isObject(value: JsonValue): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
