import type { ToolDescription } from '../tool-description.js';
import type { Decision, DecisionRequest } from './request.js';

/** Where decisions come from. The guard takes an error, a late answer, and anything but a plain `true`, for a denial. */
export interface PolicyEngine {
  /**
   * Called when the guard is sealed by its first task, with the tools that will be decided about; and with the next one
   * where it failed.
   *
   * @throws SpiffeError `ERR_SPIFFE_POLICY_INVALID` when the policies cannot be used with these tools.
   */
  prepare(tools: readonly ToolDescription[]): Promise<void>;
  /** Answers at once where it can: a promise costs each call a turn. */
  decide(
    request: DecisionRequest,
    options: { readonly signal: AbortSignal },
  ): Decision | Promise<Decision>;
  close?(): Promise<void>;
  /** Names the set of policies in force, by digest where there is one; it stands in each record of a decision. */
  readonly revision: string;
}
