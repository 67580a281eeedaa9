import type { JsonObject } from '../../internal/json.js';
import type { Struct, StructValue } from './struct.js';

/** The members as an object of JSON; one named `__proto__` is a member like any other. */
export function fromStruct(struct: Struct): JsonObject {
  return Object.fromEntries(Array.from(struct, ([name, value]) => [name, fromValue(value)]));
}

/** The members of an object of JSON. */
export function toStruct(object: JsonObject): Struct {
  return new Map(Object.entries(object).map(([name, value]) => [name, toValue(value)]));
}

function fromValue(value: StructValue): unknown {
  if (value instanceof Map) return fromStruct(value);
  return Array.isArray(value) ? value.map(fromValue) : value;
}

function toValue(value: unknown): StructValue {
  if (Array.isArray(value)) return value.map(toValue);
  if (typeof value === 'object' && value !== null) return toStruct(value as JsonObject);
  return value as StructValue;
}
