import type { X509BundleSet } from '../../identity/source.js';
import type { SpiffeId } from '../../identity/spiffe-id.js';
import type { JsonRecord } from '../../internal/json.js';
import { joinLabels, type Labels } from '../flow/labels.js';
import { optionError } from '../options.js';
import { leafOf } from './aat.js';
import { demand } from './grant-error.js';
import type { GrantUsage } from './grant-usage.js';
import { readChain } from './known-chains.js';
import { DEFAULT_LIMITS, type Limits } from './limits.js';
import type { GrantLink } from './link.js';
import type { GrantPresentation } from './presentation.js';
import { saidLabels } from './profile.js';
import { checkAudience, checkCall, checkProof, openProof, type Receiver } from './proof.js';
import type { ReplayCache } from './replay-cache.js';

/** What is known of a grant. Only `active` lets a call pass. */
export type GrantStatus = 'active' | 'revoked' | 'unknown';

/** How a receiver judges one call. */
export interface VerifyGrantOptions {
  readonly tool: string;
  /** The arguments of the call, as they were written. */
  readonly argsJson: string;
  /** By which the issuer's X.509-SVID must verify now. */
  readonly bundles: X509BundleSet;
  /** Who made the call, as mTLS has shown. */
  readonly peer: SpiffeId;
  /** The names of this receiver, its own SPIFFE ID among them. */
  readonly audience: string | readonly string[];
  /** Whether a proof must name this receiver, so that none can be passed on to it. Default: `true`. */
  readonly requireAudience?: boolean;
  /** Whether a token of the chain must name this receiver. Default: `false`. */
  readonly requireChainAudience?: boolean;
  /** Whether a nonce is one that was given out and is still taken. Without it none is asked for. */
  readonly nonce?: (nonce: string) => boolean;
  /** What is wrong with the arguments by rules of the receiver's own; `undefined` when nothing is. Default: it has none. */
  readonly problem?: (args: JsonRecord) => string | undefined;
  /** What was accepted before. */
  readonly replay: ReplayCache;
  /** How often tokens with a budget were used. Without it a chain with a budget is refused. */
  readonly usage?: GrantUsage;
  /** Asked for each token, root first. Without it none is revoked. */
  readonly isRevoked?: (jti: string, link: GrantLink) => GrantStatus;
  /** Default: the wall clock. */
  readonly now?: Date;
  readonly limits?: Limits;
}

/** A call that a grant allows. */
export interface VerifiedGrant {
  /** Root first. */
  readonly chain: readonly GrantLink[];
  readonly leaf: GrantLink;
  /** Whose X.509-SVID signed the root. */
  readonly issuer: SpiffeId;
  readonly tool: string;
  /** The arguments, as they were judged. */
  readonly args: JsonRecord;
  /** What is held by whoever calls, at least. */
  readonly labels: Labels;
  /** What its holder says, in the proof, to have read by now; absent when it says nothing that is understood. */
  readonly said?: Labels;
  /** The id of the proof. */
  readonly proofId: string;
}

/**
 * Judges one call by the grant that was shown for it: section 8 of the draft, then what docs/grant.md adds to it. The
 * proof and the budgets are used up only when the call may pass.
 *
 * @throws GrantError `ERR_SPIFFE_GRANT_INVALID` with the step that failed.
 */
export function verifyGrant(
  presentation: GrantPresentation,
  options: VerifyGrantOptions,
): VerifiedGrant {
  const { tool, argsJson, peer, isRevoked, replay, limits = DEFAULT_LIMITS } = options;
  const at = options.now ?? new Date();
  const now = secondsOf(at);
  const receiver = receiverOf(options);
  const { chain, links, issuer } = readChain(presentation, options.bundles, at, limits);
  const leaf = leafOf(chain);
  const last = links.at(-1) as GrantLink;
  demand(last.sub.equals(peer), 'peer', `it was given to ${last.sub}, and ${peer} shows it`);
  for (const link of links) {
    const status = isRevoked?.(link.jti, link) ?? 'active';
    demand(
      status === 'active',
      'revoked',
      `a token of its chain is ${status === 'revoked' ? 'revoked' : 'not known to be active'}`,
    );
  }
  const opened = openProof(presentation.proof, leaf, limits);
  const args = checkCall(leaf, tool, argsJson);
  checkAudience(chain, receiver);
  const proof = checkProof(opened, leaf, { tool, args, now }, receiver, limits);
  const own = options.problem?.(args);
  demand(own === undefined, 'receiver', `what holds here does not allow it: ${own}`);
  const said = saidLabels(opened.claims);
  const used = `${leaf.holder.thumbprint} ${proof.jti}`;
  const until = proof.iat + limits.proofWindow;
  const by7i = replay.problem(used, peer.toString(), until, now);
  demand(by7i === undefined, '7i', by7i ?? '');
  spend(links, issuer.id, options, now);
  replay.record(used, peer.toString(), until);
  return Object.freeze({
    chain: links,
    leaf: last,
    issuer: issuer.id,
    tool,
    args,
    ...(said !== undefined && { said }),
    labels: links.map(({ labels }) => labels).reduce(joinLabels),
    proofId: proof.jti,
  });
}

function spend(
  links: readonly GrantLink[],
  issuer: SpiffeId,
  { usage, tool }: VerifyGrantOptions,
  now: number,
): void {
  // Whoever renews a token, after a rotation of its SVID say, does not give the budget a second time.
  const counted = links.flatMap(({ thumbprint, expiresAt, budget }, at) => {
    const name = `${links[at - 1]?.thumbprint ?? issuer} ${thumbprint}`;
    return budget === undefined ? [] : [{ name, exp: secondsOf(expiresAt), budget }];
  });
  if (counted.length === 0) return;
  const problem =
    usage === undefined ? 'its budget cannot be counted here' : usage.take(counted, tool, now);
  demand(problem === undefined, 'budget', problem ?? '');
}

function receiverOf({
  audience,
  requireAudience = true,
  requireChainAudience = false,
  nonce,
}: VerifyGrantOptions): Receiver {
  return {
    audience: typeof audience === 'string' ? [audience] : audience,
    requireProofAudience: requireAudience,
    requireChainAudience,
    ...(nonce !== undefined && { nonce }),
  };
}

/** Whole seconds, as all times of the draft are. */
export function secondsOf(at: Date): number {
  const seconds = Math.floor(at.getTime() / 1000);
  if (Number.isNaN(seconds)) throw optionError('the time of a grant', 'it is an invalid Date');
  return seconds;
}
