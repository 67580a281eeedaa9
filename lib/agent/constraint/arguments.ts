import { SpiffeError } from '../../errors.js';
import type { JsonRecord, JsonValue } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import { wildcard } from './build.js';
import { Constraint, check } from './constraint.js';

/**
 * What the arguments of a tool may be, by name. Closed: an argument that is not named is refused, and one that is
 * named must be there unless its constraint is `optional`. The name `*` stands for all that are not named; its
 * constraint is `wildcard()`.
 */
export type ArgumentConstraints = Readonly<Record<string, Constraint>>;

const ALL: ArgumentConstraints = Object.freeze({ '*': wildcard() });

/** Any arguments at all, none included. */
export function allArguments(): ArgumentConstraints {
  return ALL;
}

/** The constraints on one tool's arguments, ready to judge a call. */
export class ArgumentRules {
  readonly #named: ReadonlyMap<string, Constraint>;
  readonly #others: boolean;

  private constructor(named: ReadonlyMap<string, Constraint>, others: boolean) {
    this.#named = named;
    this.#others = others;
  }

  /** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` when the map is empty or holds anything but constraints. */
  static parse(tool: string, map: ArgumentConstraints): ArgumentRules {
    if (typeof map !== 'object' || map === null || Array.isArray(map))
      throw invalid(tool, `${quote(map)} is no object of constraints`);
    const entries = Object.entries(map);
    if (entries.length === 0)
      throw invalid(tool, 'there are none; say allArguments() if any argument may be given');
    for (const [name, constraint] of entries) {
      if (!(constraint instanceof Constraint))
        throw invalid(
          tool,
          `${quote(name)} has no constraint; say wildcard() if it may be anything`,
        );
      // AAT 3.3: the value of `*` is a wildcard without `optional`, nothing else.
      if (name === '*' && !constraint.isWildcard)
        throw invalid(tool, '* is given wildcard() alone');
    }
    const named = new Map(entries);
    const others = named.delete('*');
    return new ArgumentRules(named, others);
  }

  /**
   * What is wrong with a call's arguments; `undefined` when nothing is. Names arguments, never their values, which may
   * be what must not be written down.
   */
  problem(given: JsonRecord): string | undefined {
    for (const name of Object.keys(given)) {
      // AAT 3.3: an argument that is called `*` is one that is not named.
      const constraint = this.#named.get(name);
      if (constraint === undefined) {
        if (!this.#others) return `the task names no argument ${quote(name)} for it`;
      } else if (!check(constraint, given[name] as JsonValue)) {
        return `its argument ${quote(name)} is not ${quote(JSON.stringify(constraint))}`;
      }
    }
    for (const [name, constraint] of this.#named) {
      if (!constraint.optional && !Object.hasOwn(given, name))
        return `its argument ${quote(name)} is missing`;
    }
    return undefined;
  }

  toJSON(): JsonRecord {
    const named = Object.fromEntries([...this.#named].map(([name, each]) => [name, each.toJSON()]));
    return this.#others ? { ...named, '*': wildcard().toJSON() } : named;
  }
}

function invalid(tool: string, why: string): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take these constraints on the arguments of ${quote(tool)}: ${why}`,
  );
}
