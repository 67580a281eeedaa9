import { SpiffeError } from '../../errors.js';
import { freezeJsonObject } from '../../internal/frozen-json.js';
import { type JsonRecord, type JsonValue, member } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import { type Accept, kindNamed, WELL_FORMED } from './kinds.js';

/** AAT 9: MAX_CONSTRAINT_DEPTH. */
const MAX_DEPTH = 32;

/**
 * What an argument of a tool may be. Immutable; its JSON is that of Attenuating Agent Tokens
 * (draft-niyikiza-oauth-attenuating-agent-tokens-02, 3.4).
 */
export class Constraint {
  /** Whether the argument may be left out. */
  readonly optional: boolean;
  readonly #json: JsonRecord;
  readonly #accept: Accept;

  private constructor(json: JsonRecord, accept: Accept) {
    this.#json = json;
    this.#accept = accept;
    this.optional = member(json, 'optional') === true;
    Object.freeze(this);
  }

  /**
   * Reads the JSON form.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` for a type that is not known, a member that its type does not
   * define, a member that is missing or ill-formed, and for more than 32 levels.
   */
  static parse(json: unknown): Constraint {
    const frozen = frozenObject(json);
    const { optional, ...rest } = frozen;
    if (optional !== undefined && typeof optional !== 'boolean')
      throw invalid(frozen, 'optional is true or false');
    return new Constraint(frozen, compile(rest, 1));
  }

  /** Whether it is the constraint that everything meets, and is not optional: what `*` may be given. */
  get isWildcard(): boolean {
    return this.#json['constraint_type'] === 'wildcard' && !this.optional;
  }

  /** Whether a value meets the constraint. */
  static check(constraint: Constraint, value: JsonValue): boolean {
    return constraint.#accept(value);
  }

  toJSON(): JsonRecord {
    return this.#json;
  }
}

/** Whether a JSON value meets a constraint. Values are equal when their canonical JSON is: `1` and `1.0` are. */
export function check(constraint: Constraint, value: JsonValue): boolean {
  return Constraint.check(constraint, value);
}

/** AAT 3.4: an unknown type, and a member that the type does not define, refuse the whole. */
function compile(json: JsonRecord, depth: number): Accept {
  if (depth > MAX_DEPTH) throw invalid(json, `there are more than ${MAX_DEPTH} levels`);
  const { constraint_type: type, ...members } = json;
  const kind = typeof type === 'string' ? kindNamed(type) : undefined;
  if (kind === undefined) throw invalid(json, `there is no constraint_type ${quote(type)}`);
  for (const name of Object.keys(members)) {
    if (!kind.members.includes(name))
      throw invalid(json, `${quote(type)} has no member ${quote(name)}`);
  }
  const problem = kind.problem(members);
  if (problem !== WELL_FORMED) throw invalid(json, problem);
  return kind.compile(members, (clause) => compile(clause, depth + 1));
}

function frozenObject(json: unknown): JsonRecord {
  try {
    return freezeJsonObject(json instanceof Constraint ? json.toJSON() : json);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SpiffeError('ERR_SPIFFE_OPTION_INVALID', `cannot take this as a constraint: ${why}`, {
      cause,
    });
  }
}

function invalid(json: JsonRecord, why: string): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take the constraint ${quote(JSON.stringify(json))}: ${why}`,
  );
}
