import { checkCount, checkMembers } from '../options.js';

/** What a verifier bounds (AAT 9). A constraint tree is at most 32 levels deep and has at most 64 clauses. */
export interface GrantLimits {
  /** Bytes of one token. Default: 65,536. */
  readonly tokenBytes?: number;
  /** Bytes of all tokens of a chain. Default: 262,144. */
  readonly chainBytes?: number;
  /** How deep a chain may be, the root not counted; at least 8. Default: 8. */
  readonly depth?: number;
  /** How far in the future a token may have been issued, cut to whole seconds. Default: 30,000. */
  readonly skewMs?: number;
  /** The longest life of a token. Default: 90 days. */
  readonly lifetimeMs?: number;
  /** How old, and how far in the future, a proof may be, cut to whole seconds. Default: 30,000. */
  readonly proofWindowMs?: number;
}

/** The same, times in seconds. */
export interface Limits {
  readonly tokenBytes: number;
  readonly chainBytes: number;
  readonly depth: number;
  readonly skew: number;
  readonly lifetime: number;
  readonly proofWindow: number;
}

const MEMBERS = ['tokenBytes', 'chainBytes', 'depth', 'skewMs', 'lifetimeMs', 'proofWindowMs'];
/** AAT 4.3: chains that are honest must verify everywhere. */
const LEAST_DEPTH = 8;

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` */
export function parseLimits(given: GrantLimits = {}): Limits {
  const what = 'the limits of grants';
  checkMembers(what, given, MEMBERS);
  const { tokenBytes = 65_536, chainBytes = 262_144, depth = LEAST_DEPTH } = given;
  const { skewMs = 30_000, lifetimeMs = 7_776_000_000, proofWindowMs = 30_000 } = given;
  return {
    tokenBytes: checkCount(`${what}: tokenBytes`, tokenBytes, 1),
    chainBytes: checkCount(`${what}: chainBytes`, chainBytes, 1),
    depth: checkCount(`${what}: depth`, depth, LEAST_DEPTH),
    skew: seconds('skewMs', skewMs),
    lifetime: seconds('lifetimeMs', lifetimeMs),
    proofWindow: seconds('proofWindowMs', proofWindowMs),
  };
}

export const DEFAULT_LIMITS: Limits = parseLimits();

function seconds(name: string, ms: number): number {
  return Math.floor(checkCount(`the limits of grants: ${name}`, ms, 1) / 1000);
}
