import { quote } from '../../internal/quote.js';
import { isJsonPointer } from './obligations.js';
import type { Obligation } from './request.js';

type Annotations = Readonly<Record<string, string | null>>;

const KNOWN: ReadonlySet<string> = new Set([
  'id',
  'description',
  'require_approval',
  'approval_timeout_ms',
  'shorten_life_ms',
  'redact_arguments',
  'redact_result',
]);

/**
 * The obligations that the annotations of a policy ask for.
 *
 * @throws TypeError for an annotation that nobody here knows, since it may be an obligation misspelt, and for one on a
 * `forbid`, where nothing is left to oblige.
 */
export function obligationsOf(
  effect: 'permit' | 'forbid',
  annotations: Annotations,
): readonly Obligation[] {
  for (const name of Object.keys(annotations)) {
    if (!KNOWN.has(name)) throw new TypeError(`nobody here knows the annotation @${name}`);
  }
  const text = (name: string): string | undefined => {
    if (!Object.hasOwn(annotations, name)) return undefined;
    const value = annotations[name];
    if (typeof value === 'string' && value.trim() !== '') return value;
    throw new TypeError(`the annotation @${name} says nothing`);
  };
  const millis = (name: string): number | undefined => {
    const value = text(name);
    if (value === undefined || /^[1-9][0-9]{0,14}$/.test(value))
      return value === undefined ? undefined : Number(value);
    throw new TypeError(`the annotation @${name} is ${quote(value)} and no whole milliseconds`);
  };
  const words = (name: string): readonly string[] | undefined => text(name)?.trim().split(/\s+/);

  const by = text('require_approval');
  const timeoutMs = millis('approval_timeout_ms');
  const ttlMs = millis('shorten_life_ms');
  const args = words('redact_arguments');
  const result = words('redact_result');
  const wrong = result?.find((each) => !isJsonPointer(each));
  if (wrong !== undefined)
    throw new TypeError(
      `the annotation @redact_result holds ${quote(wrong)}, which is no JSON Pointer, such as "/card"`,
    );
  if (timeoutMs !== undefined && by === undefined)
    throw new TypeError('the annotation @approval_timeout_ms needs @require_approval');
  const obligations: readonly Obligation[] = [
    ...(by === undefined
      ? []
      : [{ type: 'require-approval' as const, by, ...(timeoutMs !== undefined && { timeoutMs }) }]),
    ...(ttlMs === undefined ? [] : [{ type: 'shorten-life' as const, ttlMs }]),
    ...(args === undefined && result === undefined
      ? []
      : [{ type: 'redact' as const, ...(args && { arguments: args }), ...(result && { result }) }]),
  ];
  if (effect === 'forbid' && obligations.length > 0)
    throw new TypeError('a forbid carries an obligation; only a permit can');
  return Object.freeze(obligations);
}
