import { type Clock, SYSTEM_CLOCK } from '../../internal/clock.js';
import type { JsonRecord } from '../../internal/json.js';
import { type Logger, SILENT } from '../../log.js';
import { checkCount, checkJson, checkMembers, optionError } from '../options.js';
import { CedarEngine } from './cedar-engine.js';
import { type PolicyTexts, readPolicies } from './cedar-files.js';
import type { PolicyEngine } from './engine.js';

/** Options of {@link cedarPolicy}. */
export interface CedarPolicyOptions {
  /** JSON Schema of what the tasks say about the business at hand. Default: policies cannot read it. */
  readonly business?: JsonRecord;
  /** How often a directory is looked at for other policies, in ms, or `false` for never. Default: 5,000. */
  readonly reloadMs?: number | false;
  /** Told when policies were exchanged, or could not be, and of those that can never apply. Default: nobody. */
  readonly logger?: Logger;
}

/** A policy engine that asks Cedar. */
export interface CedarPolicy extends PolicyEngine {
  /**
   * Reads the directory now. Calls are decided by the old set until the new one is known to be good.
   *
   * @throws SpiffeError `ERR_SPIFFE_POLICY_INVALID` when the new set cannot be used; the old one stays in force.
   */
  reload(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Decides by Cedar policies: the `*.cedar` files of a directory, or texts by name. Needs `@cedar-policy/cedar-wasm`,
 * which is loaded with the first task. Each tool is an action in `Action::"tools/call"`.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` for options that cannot be taken.
 */
export function cedarPolicy(
  source: string | { readonly policies: Readonly<Record<string, string>> },
  options: CedarPolicyOptions = {},
): CedarPolicy {
  return cedarPolicyWith(source, options);
}

/** {@link cedarPolicy} by another clock; and as the engine that it is. */
export function cedarPolicyWith(
  source: string | { readonly policies: Readonly<Record<string, string>> },
  options: CedarPolicyOptions,
  clock: Clock = SYSTEM_CLOCK,
): CedarEngine {
  const what = 'the options of the Cedar policies';
  checkMembers(what, options, ['business', 'reloadMs', 'logger']);
  const { business, reloadMs = 5_000, logger = SILENT } = options;
  const policies = checkSource(source);
  return new CedarEngine(
    typeof policies === 'string' ? () => readPolicies(policies) : () => Promise.resolve(policies),
    {
      business: business === undefined ? undefined : checkJson(`${what}, business`, business),
      reloadMs:
        reloadMs === false || typeof policies !== 'string'
          ? undefined
          : checkCount(`${what}, reloadMs`, reloadMs, 1),
      logger,
      clock,
    },
  );
}

function checkSource(
  source: string | { readonly policies: Readonly<Record<string, string>> },
): string | PolicyTexts {
  if (typeof source === 'string' && source !== '') return source;
  const what = 'the source of the Cedar policies';
  if (typeof source === 'string') throw optionError(what, 'it names no directory');
  checkMembers(what, source, ['policies']);
  const texts = checkJson(what, source.policies);
  if (Object.values(texts).every((text) => typeof text === 'string')) return texts as PolicyTexts;
  throw optionError(what, 'each of the policies is text');
}
