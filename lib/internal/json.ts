const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A value that JSON can say. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonRecord;

/** A JSON object, all of whose members JSON can say. */
export interface JsonRecord {
  readonly [name: string]: JsonValue;
}

/** A JSON object whose members are still to be looked at. */
export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Parses a JSON object from bytes that are UTF-8 and nothing else.
 *
 * @returns `undefined` when the bytes are not UTF-8, not JSON, or JSON of another kind.
 */
export function parseJsonObject(bytes: Uint8Array): JsonObject | undefined {
  let value: unknown;
  try {
    value = JSON.parse(UTF8.decode(bytes));
  } catch {
    return undefined;
  }
  return isJsonObject(value) ? value : undefined;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An own member; `__proto__` and what objects inherit are none. */
export function member(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}
