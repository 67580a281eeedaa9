import { carriedPeer, NOBODY } from '../../identity/peer.js';
import { type PeerPredicate, type PeerRule, parsePeerRule } from '../../identity/peer-rule.js';
import type { SpiffeId } from '../../identity/spiffe-id.js';
import type { JsonRecord } from '../../internal/json.js';
import { ArgumentRules } from '../constraint/arguments.js';
import type { GuardCore } from '../core.js';
import { type Confidentiality, checkLabels, joinLabels, type Labels } from '../flow/labels.js';
import { demand, GrantError } from '../grant/grant-error.js';
import { GrantUsage } from '../grant/grant-usage.js';
import { readChain } from '../grant/known-chains.js';
import { DEFAULT_LIMITS } from '../grant/limits.js';
import {
  GRANT_HEADER,
  GRANT_PROOF_HEADER,
  type GrantPresentation,
  presentationFromHeaders,
  presentationFromJson,
} from '../grant/presentation.js';
import { ReplayCache } from '../grant/replay-cache.js';
import { type VerifiedGrant, verifyGrant } from '../grant/verify.js';
import { checkMembers, checkText } from '../options.js';
import type { TaskOptions } from '../task-options.js';
import { WORST } from './labels.js';
import { recordGrantRefusal } from './refusal.js';

/** One call as it came to a server. */
export interface AcceptOptions {
  /** The tool that is to be called; it must be one of the guard's. */
  readonly tool: string;
  /** Its arguments, as they were written. */
  readonly argsJson: string;
  /**
   * Whose grants are taken: who may have signed the root. There is no default: whoever was given a part of a task could
   * sign a root of its own about all of it.
   */
  readonly issuers: PeerRule;
  /** What was shown for it, in JSON, where it did not come in the headers: a member of the body, or of `_meta`. */
  readonly grant?: unknown;
  /**
   * Other tools that carrying it out needs, in the same task; and for the tool itself, what its arguments must meet here
   * beside what the grant says. Default: none.
   */
  readonly tools?: TaskOptions['tools'];
  /** Default: one call, and of each of `tools` as many as it needs. */
  readonly budget?: TaskOptions['budget'];
  /** Default: `serve` and the tool. */
  readonly purpose?: string;
  /** How long it may take. Default: 60,000; never longer than the grant. */
  readonly ttlMs?: number;
  /** Default: `confidential`. */
  readonly clearance?: Confidentiality;
  /** What the task holds from the start beside what its caller has read. Default: nothing. */
  readonly labels?: Partial<Labels>;
  /** What policies are to know beside `caller`, and `grant` with the issuer, the task and the ids of its tokens. */
  readonly business?: JsonRecord;
  /** Ends the task when it aborts: when the request is over, say. */
  readonly signal?: AbortSignal;
}

/** What a request carries a grant in. */
export interface GrantCarrier {
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

const MEMBERS = [
  'tool',
  'argsJson',
  'issuers',
  'grant',
  'tools',
  'budget',
  'purpose',
  'ttlMs',
  'clearance',
  'labels',
  'business',
  'signal',
];
const SERVED_MS = 60_000;

/** Where a guard judges the grants that come with requests. */
export class GrantReceiver {
  readonly #guard: GuardCore;
  readonly #replay = new ReplayCache();
  readonly #usage = new GrantUsage();

  constructor(guard: GuardCore) {
    this.#guard = guard;
  }

  /**
   * Judges one call. A refusal is on record before it is thrown.
   *
   * @throws GrantError; SpiffeError `ERR_SPIFFE_OPTION_INVALID`
   */
  async judge(carrier: GrantCarrier, options: AcceptOptions): Promise<VerifiedGrant> {
    const what = 'the options of a call to accept';
    checkMembers(what, options, MEMBERS);
    checkText(`${what}: tool`, options.tool);
    const isIssuer = parsePeerRule(options.issuers);
    const { peer } = carriedPeer(carrier);
    const caller = peer === NOBODY ? undefined : peer?.id;
    let presentation: GrantPresentation | undefined;
    try {
      presentation = presentationOf(carrier, options.grant);
      return this.#verify(presentation, caller, options, isIssuer);
    } catch (error) {
      if (error instanceof GrantError)
        await recordGrantRefusal(this.#guard, error, {
          tool: options.tool,
          peer: caller?.toString(),
          chain: presentation?.chain,
        });
      throw error;
    }
  }

  #verify(
    presentation: GrantPresentation,
    caller: SpiffeId | undefined,
    { tool, argsJson, tools = {} }: AcceptOptions,
    isIssuer: PeerPredicate,
  ): VerifiedGrant {
    const { agent, identity, clock, revocation } = this.#guard;
    demand(caller !== undefined, 'peer', 'mutual TLS has shown nobody');
    const now = new Date(clock.now());
    const { bundles } = identity.x509;
    const { id } = readChain(presentation, bundles, now, DEFAULT_LIMITS).issuer;
    demand(isIssuer(id), 'issuer', `its root was signed by ${id}`);
    const here = Object.hasOwn(tools, tool) ? tools[tool] : undefined;
    const rules = here && ArgumentRules.parse(tool, here);
    return verifyGrant(presentation, {
      tool,
      argsJson,
      bundles,
      peer: caller,
      audience: agent,
      replay: this.#replay,
      usage: this.#usage,
      ...(rules && { problem: (args) => rules.problem(args) }),
      isRevoked: (_, link) => revocation.status(link),
      now,
    });
  }
}

/** The task that a call is carried out in: this one call, with these arguments, by what its grant says. */
export function taskFor(grant: VerifiedGrant, options: AcceptOptions, now: number): TaskOptions {
  const { tool, tools = {}, purpose = `serve ${tool}`, ttlMs = SERVED_MS, signal } = options;
  const { leaf, chain, issuer } = grant;
  const caller = leaf.sub.toString();
  const others = Object.keys(tools).filter((name) => name !== tool);
  const budget = options.budget ?? {
    calls: others.length === 0 ? 1 : Number.MAX_SAFE_INTEGER,
    tools: { [tool]: 1 },
  };
  return {
    purpose,
    tools: { ...tools, [tool]: leaf.constraintsOf(tool) ?? {} },
    budget,
    ttlMs: Math.min(ttlMs, leaf.expiresAt.getTime() - now),
    labels: joinLabels(
      joinLabels(grant.labels, grant.said ?? WORST),
      checkLabels('the labels of a call to accept', options.labels ?? {}, grant.labels),
    ),
    endUser: caller,
    business: {
      ...options.business,
      caller,
      grant: {
        issuer: issuer.toString(),
        task: chain[0]?.taskId ?? '',
        ids: chain.map(({ jti }) => jti),
      },
    },
    ...(options.clearance !== undefined && { clearance: options.clearance }),
    ...(signal !== undefined && { signal }),
  };
}

function presentationOf({ headers }: GrantCarrier, shown: unknown): GrantPresentation {
  if (shown !== undefined) return presentationFromJson(shown);
  return presentationFromHeaders(headers[GRANT_HEADER], headers[GRANT_PROOF_HEADER]);
}
