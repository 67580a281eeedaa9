import { SpiffeError } from '../errors.js';
import { freezeJsonObject } from '../internal/frozen-json.js';
import type { JsonRecord } from '../internal/json.js';
import { quote } from '../internal/quote.js';

/** The error for an option that cannot be taken. */
export function optionError(what: string, why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_OPTION_INVALID', `cannot take ${what}: ${why}`, { cause });
}

/** Refuses what is no object, members that nothing would look at, and such as nobody gave. */
export function checkMembers(what: string, value: object, known: readonly string[]): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw optionError(what, `${quote(value)} is no object`);
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) throw optionError(what, `it has no ${quote(name)}`);
  }
  for (const name of known) {
    // Careless code that merges JSON can give it to all: `evaluateOnly` would let everything pass.
    if (isInherited(name))
      throw optionError(
        what,
        `every object has ${quote(name)} here: Object.prototype was polluted`,
      );
  }
}

/** Whether every object has a member of this name that somebody added; those of the language cannot be enumerated. */
function isInherited(name: string): boolean {
  return Object.prototype.propertyIsEnumerable(name);
}

/** Text that says something. */
export function checkText(what: string, value: unknown): string {
  if (typeof value === 'string' && value.trim() !== '' && value.isWellFormed()) return value;
  throw optionError(what, `${quote(value)} is no text, or says nothing`);
}

/** A whole number from `least` on. */
export function checkCount(what: string, value: unknown, least: number): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value;
  const shown = typeof value === 'number' ? String(value) : quote(value);
  throw optionError(what, `${shown} is no whole number from ${least} on`);
}

/** A function. */
export function checkFunction<F extends object>(what: string, value: F): F {
  if (typeof value === 'function') return value;
  throw optionError(what, `${quote(value)} is no function`);
}

/** A JSON object, frozen. */
export function checkJson(what: string, value: object): JsonRecord {
  try {
    return freezeJsonObject(value);
  } catch (cause) {
    throw optionError(what, cause instanceof Error ? cause.message : String(cause), cause);
  }
}
