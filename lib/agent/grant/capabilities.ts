import type { JsonRecord } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import {
  isArray,
  isRecord,
  memberOf,
  plainJson,
  type WrittenJson,
  type WrittenRecord,
} from '../../internal/strict-json.js';
import { foreignProblem } from '../constraint/foreign.js';
import { subsumes } from '../constraint/subsume.js';
import { demand, GrantError } from './grant-error.js';

/** AAT 3.3: the type of the one entry that is a capability. */
export const ENTRY_TYPE = 'attenuating_agent_token';

/** Constraints by argument, well-formed; `*` stands for those not named. */
export type ArgumentMap = ReadonlyMap<string, JsonRecord>;
/** Constraint maps by tool. */
export type Capabilities = ReadonlyMap<string, ArgumentMap>;

const WILDCARD: JsonRecord = Object.freeze({ constraint_type: 'wildcard' });
const OTHERS = '*';

/** How many capability entries there are, and what their tools may do, normalised. */
export interface ReadCapabilities {
  readonly entries: number;
  readonly tools: Capabilities;
}

/**
 * Reads `authorization_details` by AAT 3.3 and 3.4.
 *
 * @param shape - the step that a wrong shape fails, as `form` is the one that an ill-formed constraint fails.
 * @param least - how many entries there must be; never more than one.
 */
export function readCapabilities(
  details: WrittenJson | undefined,
  shape: string,
  form: string,
  least: 0 | 1,
): ReadCapabilities {
  demand(isArray(details), shape, 'authorization_details is no array');
  const entries = details.filter(
    (entry): entry is WrittenRecord => isRecord(entry) && memberOf(entry, 'type') === ENTRY_TYPE,
  );
  const count = entries.length;
  demand(count >= least && count <= 1, shape, `it has ${count} entries of type ${ENTRY_TYPE}`);
  const [entry] = entries;
  if (entry === undefined) return { entries: 0, tools: new Map() };
  const tools = memberOf(entry, 'tools');
  demand(isRecord(tools), shape, 'its tools are no object');
  const maps = Object.keys(tools).map((tool) => {
    const map = tools[tool];
    demand(isRecord(map), shape, 'a tool has no constraint map', tool);
    return [tool, map] as const;
  });
  return {
    entries: 1,
    tools: new Map(maps.map(([tool, map]) => [tool, readArguments(tool, map, form)])),
  };
}

function readArguments(tool: string, map: WrittenRecord, step: string): ArgumentMap {
  const names = Object.keys(map);
  // AAT 3.3: an empty map is the same as a lone `*`.
  if (names.length === 0) return new Map([[OTHERS, WILDCARD]]);
  return new Map(
    names.map((name) => [name, readConstraint(tool, name, map[name] as WrittenJson, step)]),
  );
}

function readConstraint(
  tool: string,
  name: string,
  written: WrittenJson,
  step: string,
): JsonRecord {
  demand(isRecord(written), step, 'a constraint is no object', name, tool);
  let constraint: JsonRecord;
  try {
    constraint = plainJson(written) as JsonRecord;
  } catch (cause) {
    const why = `the constraint on ${quote(name)} of ${quote(tool)} cannot be taken`;
    throw new GrantError(step, `${why}: ${(cause as Error).message}`, cause);
  }
  const problem = foreignProblem(constraint);
  if (problem !== undefined)
    demand(false, step, `a constraint is not well-formed, ${problem}`, name, tool);
  const isPlain =
    constraint['constraint_type'] === 'wildcard' && !Object.hasOwn(constraint, 'optional');
  demand(name !== OTHERS || isPlain, step, '* is given a plain wildcard alone', tool);
  return constraint;
}

/** AAT 4.5 (I4), step 4p: whether a child can do no more than its parent. */
export function checkNarrower(parent: Capabilities, child: Capabilities): void {
  const pairs = [...child].map(([tool, below]) => {
    const above = parent.get(tool);
    demand(above !== undefined, '4p1', 'its parent has no such tool', tool);
    return { tool, above, below };
  });
  for (const { tool, above, below } of pairs) checkNames(tool, above, below);
  for (const { tool, above, below } of pairs) {
    for (const [name, constraint] of below) {
      const isLoosened =
        constraint['optional'] === true &&
        above.has(name) &&
        above.get(name)?.['optional'] !== true;
      demand(!isLoosened, '4p3', 'its parent requires the argument', name, tool);
    }
  }
  for (const { tool, above, below } of pairs) {
    for (const [name, constraint] of below) {
      const limit = (above.get(name) ?? above.get(OTHERS)) as JsonRecord;
      demand(subsumes(limit, constraint), '4p4', 'its parent allows less', name, tool);
    }
  }
}

function checkNames(tool: string, above: ArgumentMap, below: ArgumentMap): void {
  const isOpen = above.has(OTHERS);
  for (const name of below.keys()) {
    demand(above.has(name) || isOpen, '4p2', 'its parent names no such argument', name, tool);
  }
  demand(isOpen || !below.has(OTHERS), '4p2', 'its parent has no *', tool);
  for (const [name, constraint] of above) {
    if (name === OTHERS || below.has(name)) continue;
    const mayGo = constraint['optional'] === true && !below.has(OTHERS);
    demand(mayGo, '4p2', 'it leaves out an argument', name, tool);
  }
}
