import { canonicalJson } from '../../internal/canonical-json.js';
import type { JsonRecord } from '../../internal/json.js';
import {
  isRecord,
  memberOf,
  parseStrictJson,
  plainJson,
  StrictJsonError,
  type WrittenRecord,
} from '../../internal/strict-json.js';
import { ArgumentRules } from '../constraint/arguments.js';
import { Constraint } from '../constraint/constraint.js';
import type { ArgumentMap } from './capabilities.js';
import type { Chain } from './chain.js';
import { demand, GrantError } from './grant-error.js';
import { checkAlgorithm, isSigned, type Jws, readClaims, splitJws } from './jws.js';
import type { Limits } from './limits.js';
import { isWhole, type Token, textOf } from './token.js';

const TYPE = 'aat-pop+jwt';

/** What a receiver demands beyond what always holds. */
export interface Receiver {
  /** Its names, as `aud` and `aat_aud` give them, compared as text. */
  readonly audience: readonly string[];
  readonly requireProofAudience: boolean;
  readonly requireChainAudience: boolean;
  /** Whether a nonce is one that it gave out and still takes. Without it none is asked for. */
  readonly nonce?: (nonce: string) => boolean;
}

/** A proof whose signature holds. */
export interface Proof {
  readonly claims: WrittenRecord;
}

/** Steps 7a and 7b: before any constraint is looked at, so that a stranger makes nobody evaluate one. */
export function openProof(text: string, leaf: Token, limits: Limits): Proof {
  demand(
    text.length <= limits.tokenBytes,
    '7a',
    `its proof is longer than ${limits.tokenBytes} bytes`,
  );
  const jws: Jws = splitJws(text, '7a');
  checkAlgorithm(jws, TYPE, leaf.holder, '7a');
  demand(isSigned(jws, leaf.holder), '7b', 'its proof was not signed by the holder of its leaf');
  return { claims: readClaims(jws, '7b') };
}

/** Steps 6a and 6b: what the leaf allows, and the arguments as they were written. Gives the arguments. */
export function checkCall(leaf: Token, tool: string, argsJson: string): JsonRecord {
  demand(leaf.entries === 1, '6a', 'its leaf has no capability');
  const map = leaf.tools.get(tool);
  demand(map !== undefined, '6b', 'it has no such tool', tool);
  const args = readArguments(argsJson, '6b');
  const problem = rulesOf(tool, map).problem(args);
  demand(problem === undefined, '6b', `it allows no such call, ${problem ?? ''}`, tool);
  return args;
}

/** The same leaf comes with each call of a task. */
const knownRules = new WeakMap<ArgumentMap, ArgumentRules>();

function rulesOf(tool: string, map: ArgumentMap): ArgumentRules {
  const known = knownRules.get(map);
  if (known !== undefined) return known;
  const constraints = [...map].map(([name, each]) => [name, Constraint.parse(each)] as const);
  const rules = ArgumentRules.parse(tool, Object.fromEntries(constraints));
  knownRules.set(map, rules);
  return rules;
}

/** The arguments of a call, from the text that came: no member twice, no number that changes when it is read. */
export function readArguments(argsJson: string, step: string): JsonRecord {
  try {
    const written = parseStrictJson(argsJson);
    if (!isRecord(written)) throw new StrictJsonError('they are no JSON object');
    return plainJson(written) as JsonRecord;
  } catch (cause) {
    const why = `the arguments cannot be taken: ${(cause as Error).message}`;
    throw new GrantError(step, why, cause);
  }
}

/** Step 6c: every token that names receivers names this one. */
export function checkAudience(chain: Chain, receiver: Receiver): void {
  const named = chain.flatMap(({ audience }) => (audience === undefined ? [] : [audience]));
  const isHere = named.every((audience) =>
    audience.some((name) => receiver.audience.includes(name)),
  );
  demand(isHere, '6c', 'a token of its chain is for other receivers');
  demand(
    named.length > 0 || !receiver.requireChainAudience,
    '6c',
    'no token of its chain names a receiver',
  );
}

/** Steps 7c to 7h. Gives the proof's id, and when it was made. */
export function checkProof(
  { claims }: Proof,
  leaf: Token,
  call: { readonly tool: string; readonly args: JsonRecord; readonly now: number },
  receiver: Receiver,
  limits: Limits,
): { readonly jti: string; readonly iat: number } {
  const jti = textOf(claims, 'jti', '7c');
  const id = textOf(claims, 'aat_id', '7c');
  const hash = textOf(claims, 'aat_hash', '7c');
  const tool = textOf(claims, 'aat_tool', '7c');
  const iat = memberOf(claims, 'iat');
  demand(isWhole(iat), '7c', 'the iat of its proof is not a number of digits alone');
  const given = memberOf(claims, 'hta');
  demand(isRecord(given), '7c', 'its proof has no arguments');
  demand(id === leaf.jti && hash === leaf.hash, '7c', 'its proof is for another leaf');
  if (Object.hasOwn(claims, 'aat_aud')) {
    const isHere = receiver.audience.includes(claims['aat_aud'] as string);
    demand(isHere, '7d', 'its proof is for another receiver');
  } else demand(!receiver.requireProofAudience, '7d', 'its proof names no receiver');
  demand(tool === call.tool, '7e', 'its proof is for another tool', tool);
  demand(isSameCall(given, call.args), '7f', 'its proof is for other arguments');
  demand(
    Math.abs(iat - call.now) <= limits.proofWindow,
    '7g',
    'its proof is too old, or of the future',
  );
  if (receiver.nonce !== undefined) {
    const nonce = memberOf(claims, 'nonce');
    demand(
      typeof nonce === 'string' && receiver.nonce(nonce),
      '7h',
      'its proof has no nonce that is taken',
    );
  }
  return { jti, iat };
}

/** Numbers that change when they are read are never those of the call, which were looked at before. */
function isSameCall(given: WrittenRecord, args: JsonRecord): boolean {
  try {
    return canonicalJson(plainJson(given)) === canonicalJson(args);
  } catch {
    return false;
  }
}
