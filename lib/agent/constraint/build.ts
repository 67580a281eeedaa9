import type { JsonValue } from '../../internal/json.js';
import { Constraint } from './constraint.js';

/** A value that {@link exact} takes. */
export type JsonScalar = string | number | boolean | null;

/** The bounds of {@link range}. */
export interface RangeOptions {
  readonly min?: number;
  readonly max?: number;
  /** Whether `min` itself is allowed. Default: `true`. */
  readonly minInclusive?: boolean;
  /** Whether `max` itself is allowed. Default: `true`. */
  readonly maxInclusive?: boolean;
}

/** This value and no other. */
export function exact(value: JsonScalar): Constraint {
  return Constraint.parse({ constraint_type: 'exact', value });
}

/** A number within bounds. */
export function range(options: RangeOptions): Constraint {
  const { min, max, minInclusive, maxInclusive, ...rest } = options;
  return Constraint.parse({
    constraint_type: 'range',
    min,
    max,
    min_inclusive: minInclusive,
    max_inclusive: maxInclusive,
    ...rest,
  });
}

/** One of these values; at least one. */
export function oneOf(...values: readonly JsonValue[]): Constraint {
  return Constraint.parse({ constraint_type: 'one_of', values });
}

/** Anything but these values. */
export function notOneOf(...excluded: readonly JsonValue[]): Constraint {
  return Constraint.parse({ constraint_type: 'not_one_of', excluded });
}

/** An array that holds each of these. */
export function contains(...required: readonly JsonValue[]): Constraint {
  return Constraint.parse({ constraint_type: 'contains', required });
}

/** An array of nothing but these; the empty one passes. */
export function subset(...allowed: readonly JsonValue[]): Constraint {
  return Constraint.parse({ constraint_type: 'subset', allowed });
}

/** Anything. */
export function wildcard(): Constraint {
  return Constraint.parse({ constraint_type: 'wildcard' });
}

/** What meets every one of these; at least one. */
export function all(...constraints: readonly Constraint[]): Constraint {
  return Constraint.parse({ constraint_type: 'all', constraints: constraints.map(jsonOf) });
}

/** What meets at least one of these. */
export function any(...constraints: readonly Constraint[]): Constraint {
  return Constraint.parse({ constraint_type: 'any', constraints: constraints.map(jsonOf) });
}

/** The same constraint, for an argument that may be left out. */
export function optional(constraint: Constraint): Constraint {
  return Constraint.parse({ ...constraint.toJSON(), optional: true });
}

/**
 * A URL at the scheme, host and port of `base` whose path begins, segment by segment, with that of `base`. Written as a
 * URL parser writes it, or refused: no user info, no short or octal form of an address, no backslash, no dot segment
 * or slash behind percent signs. Query and fragment may be anything. Local to this process: no token carries it.
 */
export function urlUnder(base: string): Constraint {
  return Constraint.parse({ constraint_type: 'url_under', base });
}

/**
 * An absolute POSIX path that is `base` or lies below it, with links resolved at the time of the call. Local to this
 * process: no token carries it.
 */
export function pathUnder(base: string): Constraint {
  return Constraint.parse({ constraint_type: 'path_under', base });
}

function jsonOf(constraint: Constraint): unknown {
  return constraint instanceof Constraint ? constraint.toJSON() : constraint;
}
