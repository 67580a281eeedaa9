import type { JsonRecord } from '../../internal/json.js';
import { type Anchor, type Chain, splitChain, verifyChain } from './chain.js';
import { demand } from './grant-error.js';
import { DEFAULT_LIMITS, type Limits } from './limits.js';
import { checkAudience, checkCall, checkProof, openProof, type Receiver } from './proof.js';

/** A call as a receiver got it, with what was shown for it. */
export interface AatInput extends Receiver {
  readonly chain: readonly string[];
  readonly proof: string;
  readonly tool: string;
  /** The arguments, as they were written. */
  readonly argsJson: string;
  readonly anchors: readonly Anchor[];
  /** Seconds since 1970. */
  readonly now: number;
  readonly limits?: Limits;
  /** Whether the proof with this id, by the holder of this thumbprint, was accepted before. Without it none is tracked. */
  readonly isUsed?: (jti: string, thumbprint: string) => boolean;
}

/** What a call rests on. */
export interface AatPermit {
  readonly chain: Chain;
  readonly args: JsonRecord;
  readonly proof: { readonly jti: string; readonly iat: number };
}

/**
 * Section 8 of the draft and nothing else, with 7a and 7b before 6, as it advises.
 *
 * @throws GrantError `ERR_SPIFFE_GRANT_INVALID`
 */
export function verifyAat(input: AatInput): AatPermit {
  const { tool, argsJson, now, limits = DEFAULT_LIMITS } = input;
  const chain = verifyChain(splitChain(input.chain, limits), input.anchors, now, limits);
  const leaf = leafOf(chain);
  const opened = openProof(input.proof, leaf, limits);
  const args = checkCall(leaf, tool, argsJson);
  checkAudience(chain, input);
  const proof = checkProof(opened, leaf, { tool, args, now }, input, limits);
  demand(
    input.isUsed?.(proof.jti, leaf.holder.thumbprint) !== true,
    '7i',
    'its proof was used before',
  );
  return { chain, args, proof };
}

export function leafOf(chain: Chain): Chain[number] {
  return chain.at(-1) ?? chain[0];
}
