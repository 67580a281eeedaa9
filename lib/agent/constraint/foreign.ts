import type { JsonRecord, JsonValue } from '../../internal/json.js';
import { kindNamed, WELL_FORMED } from './kinds.js';

/** AAT 9: MAX_CONSTRAINT_DEPTH. */
const MAX_DEPTH = 32;
/** A limit of ours: two constraints are compared clause by clause, which is as many steps as the product of both. */
const MAX_CLAUSES = 64;

/**
 * What is wrong with a constraint that a token carries, by AAT 3.4; `undefined` when nothing is. `optional` is for the
 * one that stands on its own alone.
 */
export function foreignProblem(constraint: JsonRecord): string | undefined {
  const { optional, ...rest } = constraint;
  if (optional !== undefined && typeof optional !== 'boolean')
    return 'its optional is neither true nor false';
  return new Clauses().problem(rest, 1);
}

class Clauses {
  #count = 0;

  problem(json: JsonRecord, depth: number): string | undefined {
    this.#count += 1;
    if (depth > MAX_DEPTH) return `it has more than ${MAX_DEPTH} levels`;
    if (this.#count > MAX_CLAUSES) return `it has more than ${MAX_CLAUSES} clauses`;
    const { constraint_type: type, ...members } = json;
    const kind = typeof type === 'string' ? kindNamed(type) : undefined;
    // AAT 3.4: an unknown type refuses the token wherever it stands; and those of ours are known to nobody else.
    if (kind === undefined) return 'its constraint_type is not known';
    if (kind.local === true) return `no token carries ${type as string}, which is of one process`;
    for (const name of Object.keys(members)) {
      if (!kind.members.includes(name)) return 'it has a member that its type does not define';
    }
    const problem = kind.problem(members);
    if (problem !== WELL_FORMED) return problem;
    if (type !== 'all' && type !== 'any') return undefined;
    for (const clause of clausesOf(members)) {
      const inner = this.problem(clause, depth + 1);
      if (inner !== undefined) return inner;
    }
    return undefined;
  }
}

/** The clauses of a well-formed `all` or `any`. */
export function clausesOf(json: JsonRecord): readonly JsonRecord[] {
  return json['constraints'] as JsonValue as readonly JsonRecord[];
}

/** Whether a well-formed constraint, or one within it, is of a type that no token carries. */
export function isLocal(constraint: JsonRecord): boolean {
  const type = constraint['constraint_type'] as string;
  if (kindNamed(type)?.local === true) return true;
  return (type === 'all' || type === 'any') && clausesOf(constraint).some(isLocal);
}
