import { SpiffeId } from '../../identity/spiffe-id.js';
import { checkDuration } from '../../internal/options.js';
import { type ArgumentConstraints, ArgumentRules } from '../constraint/arguments.js';
import type { GrantBudget } from '../grant/profile.js';
import { checkCount, checkMembers, checkText, optionError } from '../options.js';
import type { TaskPublicJwk } from '../task-key.js';
import { type GrantOffer, parseHolder, parseOffer } from './offer.js';
import type { ArgumentJson } from './portable.js';

/** What a task passes on, and to whom. */
export interface DelegateOptions {
  /** The SPIFFE ID of whoever is to hold it: what mutual TLS must show wherever it is used. */
  readonly to: string | SpiffeId;
  /** What `guard.offer()` gave there, as it was sent here. Its key is the only one that the grant is good for. */
  readonly offer: GrantOffer;
  /**
   * The tools, each with constraints that are no wider than the task's own. Where the task's are `urlUnder` or
   * `pathUnder`, which no token carries, values are named by `exact` or `oneOf`.
   */
  readonly tools: Readonly<Record<string, ArgumentConstraints>>;
  /** How often it may be used, by its holder and all below together, at any one service. Default: what the task has left. */
  readonly budget?: GrantBudget;
  /** How long it is good. Default: as long as the task lives. */
  readonly ttlMs?: number;
  /** How often it may be passed on from there, from hand to hand. Default: 0, not at all. */
  readonly maxDepth?: number;
  /** The SPIFFE IDs of the services at which it, and all below it, may be shown. Default: no bound. */
  readonly audience?: string | readonly string[];
}

/** The same, parsed. */
export interface DelegatePlan {
  readonly to: SpiffeId;
  readonly key: TaskPublicJwk;
  readonly tools: Readonly<Record<string, ArgumentJson>>;
  readonly budget: GrantBudget;
  readonly ttlMs: number | undefined;
  readonly maxDepth: number;
  readonly audience: string | readonly string[] | undefined;
}

const MEMBERS = ['to', 'offer', 'tools', 'budget', 'ttlMs', 'maxDepth', 'audience'];

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, `ERR_SPIFFE_ID_INVALID` */
export function parseDelegate(options: DelegateOptions): DelegatePlan {
  const what = 'the options of a delegation';
  checkMembers(what, options, MEMBERS);
  const { tools, budget = {}, ttlMs, maxDepth = 0, audience } = options;
  const to = parseHolder(`${what}: to`, options.to);
  checkMembers(`${what}: tools`, tools, Object.keys(tools ?? {}));
  if (Object.keys(tools).length === 0) throw optionError(what, 'it passes on no tool');
  checkMembers(`${what}: budget`, budget, ['calls', 'callsPerTool']);
  const { calls, callsPerTool = {} } = budget;
  if (calls !== undefined) checkCount(`${what}: calls`, calls, 0);
  for (const [name, most] of Object.entries(callsPerTool)) checkCount(`${what}: ${name}`, most, 0);
  if (audience !== undefined) checkAudience(`${what}: audience`, audience);
  return {
    to,
    key: parseOffer(`${what}: offer`, options.offer, to),
    tools: Object.fromEntries(
      Object.entries(tools).map(([name, map]) => [
        name,
        ArgumentRules.parse(name, map).toJSON() as ArgumentJson,
      ]),
    ),
    budget,
    ttlMs: ttlMs === undefined ? undefined : checkDuration('ttlMs', ttlMs),
    maxDepth: checkCount(`${what}: maxDepth`, maxDepth, 0),
    audience,
  };
}

/** What names nobody would kill the grant, and all below it. */
function checkAudience(what: string, audience: string | readonly string[]): void {
  const names: unknown = typeof audience === 'string' ? [audience] : audience;
  if (!Array.isArray(names) || names.length === 0) throw optionError(what, 'it names no service');
  for (const name of names) SpiffeId.parse(checkText(what, name as string));
}
