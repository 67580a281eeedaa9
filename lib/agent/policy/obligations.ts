import { isJsonObject } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
const isTexts = (value: unknown): boolean =>
  Array.isArray(value) && value.every((each) => typeof each === 'string');
const arePointers = (value: unknown): boolean =>
  isTexts(value) && (value as readonly string[]).every(isJsonPointer);

/** RFC 6901 3: nothing, or names that each follow a slash, in which a tilde is written `~0` and a slash `~1`. */
export function isJsonPointer(text: string): boolean {
  return /^(?:\/(?:[^~/]|~[01])*)*$/.test(text);
}

/** Members of each type of obligation, and what they must be where they are there; the first ones are required. */
const TYPES: Readonly<Record<string, Readonly<Record<string, (value: unknown) => boolean>>>> = {
  redact: { arguments: isTexts, result: arePointers },
  'require-approval': {
    by: (value) => typeof value === 'string' && value !== '',
    timeoutMs: isCount,
  },
  'shorten-life': { ttlMs: isCount },
};
const REQUIRED: Readonly<Record<string, string>> = {
  'require-approval': 'by',
  'shorten-life': 'ttlMs',
};

/** Why an obligation cannot be met, for want of understanding it; `undefined` when it is understood. */
export function obligationProblem(obligation: unknown): string | undefined {
  if (!isJsonObject(obligation)) return 'an obligation is no object';
  const { type, ...members } = obligation;
  const known = typeof type === 'string' && Object.hasOwn(TYPES, type) ? TYPES[type] : undefined;
  if (known === undefined) return `nobody here knows the obligation ${quote(type)}`;
  const required = REQUIRED[type as string];
  if (required !== undefined && members[required] === undefined)
    return `the obligation ${quote(type)} lacks ${required}`;
  for (const [name, value] of Object.entries(members)) {
    const fits = Object.hasOwn(known, name) ? known[name]?.(value) === true : false;
    if (value !== undefined && !fits)
      return `nobody here knows ${quote(name)} of the obligation ${quote(type)}, as it is given`;
  }
  return undefined;
}
