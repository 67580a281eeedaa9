import type { JsonRecord, JsonValue } from './json.js';
import { quote } from './quote.js';

/** Deeper than any honest value, shallower than any stack. */
const DEEPEST = 100;

/**
 * A copy of a value that is JSON and cannot change any more, whatever happens to the original; each member is read
 * once. A member that is `undefined` is left out, as JSON has it.
 *
 * @throws TypeError for what JSON cannot say, such as a function, a Date, a class instance, a cycle, a lone surrogate;
 * and for a member called `__proto__`, which is another's prototype as soon as someone copies it carelessly.
 */
export function freezeJson(value: unknown): JsonValue {
  return copy(value, '', 0);
}

/** The same for a value that must be an object. */
export function freezeJsonObject(value: unknown): JsonRecord {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError(`it is ${kindOf(value)} and no object`);
  return copyObject(value, '', 0);
}

function copy(value: unknown, name: string, depth: number): JsonValue {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new TypeError(`${at(name)} holds a lone surrogate`);
    return value;
  }
  if (typeof value === 'boolean' || value === null) return value;
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`${at(name)} is the number ${value}`);
    return value;
  }
  if (typeof value !== 'object') throw new TypeError(`${at(name)} is ${kindOf(value)}`);
  if (depth > DEEPEST) throw new TypeError(`${at(name)} lies deeper than ${DEEPEST} levels`);
  if (Array.isArray(value)) {
    const items: JsonValue[] = [];
    const { length } = value;
    for (let i = 0; i < length; i++) items.push(copy(value[i], name, depth + 1));
    return Object.freeze(items);
  }
  return copyObject(value, name, depth);
}

function copyObject(value: object, name: string, depth: number): JsonRecord {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null)
    throw new TypeError(`${at(name)} is an instance of a class`);
  const members: Record<string, JsonValue> = {};
  for (const key of Object.keys(value)) {
    if (key === '__proto__') throw new TypeError(`${at(name)} has a member called __proto__`);
    if (!key.isWellFormed()) throw new TypeError(`${at(name)} has a name with a lone surrogate`);
    const member = (value as Record<string, unknown>)[key];
    if (member !== undefined) members[key] = copy(member, key, depth + 1);
  }
  return Object.freeze(members);
}

function at(name: string): string {
  return name === '' ? 'it' : `its member ${quote(name)}`;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (value === undefined) return 'undefined';
  if (Array.isArray(value)) return 'an array';
  return `a value of type ${typeof value}`;
}
