import { hash } from 'node:crypto';
import { freezeJson } from '../internal/frozen-json.js';
import type { JsonValue } from '../internal/json.js';

/** How much a result is, and which. */
export interface Measure {
  readonly resultBytes?: number;
  readonly resultDigest?: string;
}

/** Measures what a tool returned: text and bytes as they are, plain values as JSON; a response or a stream is not read. */
export function measure(result: unknown): Measure {
  const content = contentOf(result);
  if (content === undefined) return {};
  return {
    resultBytes: typeof content === 'string' ? Buffer.byteLength(content) : content.byteLength,
    resultDigest: hash('sha256', content),
  };
}

/**
 * A copy of a result without what the pointers (RFC 6901, well-formed) point at. A pointer to nothing changes nothing.
 *
 * @throws TypeError for a result that is not JSON: what cannot be looked into cannot be redacted.
 */
export function redact(result: unknown, pointers: readonly string[]): unknown {
  let redacted: JsonValue | undefined = freezeJson(result);
  for (const pointer of pointers) {
    const steps = pointer.split('/').slice(1).map(unescape);
    if (redacted !== undefined) redacted = without(redacted, steps);
  }
  return redacted;
}

function without(value: JsonValue, steps: readonly string[]): JsonValue | undefined {
  const [step, ...rest] = steps;
  if (step === undefined) return undefined;
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return value;
  if (isArray(value)) {
    const index = Number(step);
    if (!Number.isInteger(index)) return value;
    const item = without(value[index] as JsonValue, rest);
    // The others keep their places.
    return value.with(index, item === undefined ? null : item);
  }
  const { [step]: member, ...others } = value;
  const kept = without(member as JsonValue, rest);
  return kept === undefined ? others : { ...others, [step]: kept };
}

/** RFC 6901 4: `~1` first, or `~01` would become a slash. */
function unescape(step: string): string {
  return step.replaceAll('~1', '/').replaceAll('~0', '~');
}

function contentOf(result: unknown): string | Uint8Array | undefined {
  if (typeof result === 'string' || result instanceof Uint8Array) return result;
  if (typeof result === 'object' && result !== null && !isPlain(result)) return undefined;
  try {
    // `undefined` for what has no JSON, whatever the types say.
    return JSON.stringify(result);
  } catch {
    return undefined;
  }
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || Array.isArray(value);
}

function isArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
