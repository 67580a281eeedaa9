import type { JsonRecord, JsonValue } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import { Constraint, check } from '../constraint/constraint.js';
import { isLocal } from '../constraint/foreign.js';
import type { Capabilities } from '../grant/capabilities.js';
import { optionError } from '../options.js';

/** Constraints by argument, in the JSON form of tokens. */
export type ArgumentJson = Readonly<Record<string, JsonRecord>>;

/** Whether a constraint of this map is known to this process alone. */
export function hasLocal(map: ArgumentJson): boolean {
  return Object.values(map).some(isLocal);
}

/**
 * The constraints on a tool as a token can carry them: in place of one that is of this process, what is asked for, given
 * that it names values, all of which that constraint accepts. An optional one that is not asked for is left out.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` that names tool and argument.
 */
export function portable(tool: string, own: ArgumentJson, asked: ArgumentJson): ArgumentJson {
  return Object.fromEntries(
    Object.entries(own).flatMap(([name, constraint]) => {
      if (!isLocal(constraint)) return [[name, constraint]];
      const wanted = Object.hasOwn(asked, name) ? asked[name] : undefined;
      const what = `the argument ${quote(name)} of ${quote(tool)} for a grant`;
      const type = constraint['constraint_type'] as string;
      const values = wanted && valuesOf(wanted);
      // What is not named is refused there; but where there is a `*` it would be anything.
      if (wanted === undefined && constraint['optional'] === true && !Object.hasOwn(own, '*'))
        return [];
      if (wanted === undefined || values === undefined)
        throw optionError(what, `no token carries ${type}: name its values, by exact() or oneOf()`);
      const rule = Constraint.parse(constraint);
      if (!values.every((value) => check(rule, value)))
        throw optionError(
          what,
          `the task does not allow each of these values: its ${type} refuses one`,
        );
      // Whether it may be left out is not for whoever asks to say.
      const { optional: _, ...named } = wanted;
      return [[name, constraint['optional'] === true ? { ...named, optional: true } : named]];
    }),
  );
}

/** The same, as two of them are held against each other. */
export function capabilitiesOf(tools: Readonly<Record<string, ArgumentJson>>): Capabilities {
  return new Map(Object.entries(tools).map(([name, map]) => [name, new Map(Object.entries(map))]));
}

function valuesOf(constraint: JsonRecord): readonly JsonValue[] | undefined {
  if (constraint['constraint_type'] === 'exact') return [constraint['value'] as JsonValue];
  if (constraint['constraint_type'] === 'one_of')
    return constraint['values'] as readonly JsonValue[];
  return undefined;
}
