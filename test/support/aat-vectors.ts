import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type AatInput, verifyAat } from '#lib/agent/grant/aat.js';
import { GrantError } from '#lib/agent/grant/grant-error.js';
import { readHolderKey } from '#lib/agent/grant/keys.js';
import { parseLimits } from '#lib/agent/grant/limits.js';
import type { JsonRecord } from '#lib/internal/json.js';

/** A presentation, and what is to be said of it. */
export interface AatVector {
  readonly id: string;
  readonly title: string;
  readonly now: number;
  readonly tool: string;
  readonly args: JsonRecord;
  /** The arguments as they were written, where that differs from `args`. */
  readonly args_json?: string;
  readonly policy: {
    readonly require_pop_aud?: boolean;
    readonly require_chain_aud?: boolean;
    readonly nonce?: string;
  };
  readonly chain: readonly string[];
  readonly pop: string;
  readonly expected: { readonly verdict: 'PERMIT' | 'DENY'; readonly step: string | null };
}

interface Published {
  readonly params: { readonly audience: string };
  readonly trust_anchors: readonly { readonly iss: string; readonly jwk: JsonRecord }[];
  readonly vectors: readonly AatVector[];
}

/** The vectors that the draft's author published. */
export const PUBLISHED = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../test/vectors/aat-02.json', import.meta.url)), 'utf8'),
) as Published;

/** Judges a published vector by the draft's own algorithm; gives the step that refused, or `null`. */
export function judgePublished(vector: AatVector): string | null {
  const { policy, tool, now, chain, pop } = vector;
  const anchors = PUBLISHED.trust_anchors.map(({ iss, jwk }) => {
    const key = readHolderKey(jwk);
    if (key === undefined) throw new Error(`the anchor ${iss} has no key`);
    return { algorithm: key.algorithm, key: key.key, issuer: iss };
  });
  const input: AatInput = {
    chain,
    proof: pop,
    tool,
    argsJson: vector.args_json ?? JSON.stringify(vector.args),
    anchors,
    now,
    audience: [PUBLISHED.params.audience],
    requireProofAudience: policy.require_pop_aud === true,
    requireChainAudience: policy.require_chain_aud === true,
    ...(policy.nonce !== undefined && { nonce: (nonce) => nonce === policy.nonce }),
    limits: parseLimits(),
  };
  try {
    verifyAat(input);
    return null;
  } catch (error) {
    if (error instanceof GrantError) return error.step;
    throw error;
  }
}
