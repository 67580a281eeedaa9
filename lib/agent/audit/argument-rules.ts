import { hash } from 'node:crypto';
import { SpiffeError } from '../../errors.js';
import { canonicalJson } from '../../internal/canonical-json.js';
import type { JsonValue } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';

/**
 * What a record holds of an argument: its value, the SHA-256 of its canonical JSON (RFC 8785), or that there was one.
 * A digest of something that can be guessed gives it away: redact that.
 */
export type ArgumentRule = 'keep' | 'digest' | 'redact';

/** Rules by tool and argument; `*` stands for every other one. Whatever has no rule is digested. */
export type ArgumentRules = Readonly<
  Record<string, ArgumentRule | Readonly<Record<string, ArgumentRule>>>
>;

/** An argument as it stands in a record; members in the order of canonical JSON. */
export type HeldArgument<Value extends JsonValue = JsonValue> =
  | { readonly value: Value }
  | { readonly sha256: string }
  | { readonly redacted: true };

const RULES: ReadonlySet<unknown> = new Set(['keep', 'digest', 'redact']);
const OTHERS = '*';
const REDACTED = Object.freeze({ redacted: true } as const);

/** Rules as a function of tool and argument. */
export type RuleOf = (tool: string, argument: string) => ArgumentRule;

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` for a rule that is none. */
export function parseArgumentRules(rules: ArgumentRules): RuleOf {
  const tools = new Map(
    Object.entries(rules).map(([tool, rule]) => [tool, parseToolRule(tool, rule)]),
  );
  const others = tools.get(OTHERS);
  return (tool, argument) => {
    const rule = tools.get(tool) ?? others;
    return rule?.get(argument) ?? rule?.get(OTHERS) ?? 'digest';
  };
}

function parseToolRule(
  tool: string,
  rule: ArgumentRules[string],
): ReadonlyMap<string, ArgumentRule> {
  const entries = Object.entries(typeof rule === 'object' ? rule : { [OTHERS]: rule });
  for (const [argument, each] of entries) {
    if (!RULES.has(each)) {
      throw new SpiffeError(
        'ERR_SPIFFE_OPTION_INVALID',
        `cannot take ${quote(each)} as the rule for argument ${quote(argument)} of tool ${quote(tool)}: give keep, digest or redact`,
      );
    }
  }
  return new Map(entries);
}

/** An argument as its rule has it. */
export function hold<Value extends JsonValue>(
  value: Value,
  rule: ArgumentRule,
): HeldArgument<Value> {
  if (rule === 'keep') return { value };
  return rule === 'redact' ? REDACTED : { sha256: hash('sha256', canonicalJson(value), 'hex') };
}

/** A message without what the record does not hold; `undefined` when that cannot be taken out of it. */
export function withhold(message: string, hidden: readonly JsonValue[]): string | undefined {
  const texts = hidden.flatMap(textsOf).filter((text) => text !== '');
  // What a message says of its input is quoted.
  const rest = texts.reduce((text, each) => text.replaceAll(quote(each), '(withheld)'), message);
  return texts.some((text) => holdsWord(rest, text)) ? undefined : rest;
}

/** Whether `text` stands in `message` other than within a longer word or number. */
function holdsWord(message: string, text: string): boolean {
  const edges = (at: number): string => message.charAt(at - 1) + message.charAt(at + text.length);
  for (let at = message.indexOf(text); at >= 0; at = message.indexOf(text, at + 1)) {
    if (!/[\p{L}\p{N}]/u.test(edges(at))) return true;
  }
  return false;
}

function textsOf(value: JsonValue): readonly string[] {
  if (typeof value === 'string' || typeof value === 'number') return [String(value)];
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return (value as readonly JsonValue[]).flatMap(textsOf);
  return Object.entries(value).flatMap(([name, each]) => [name, ...textsOf(each)]);
}
