import { SpiffeError, type SpiffeErrorCode } from '../errors.js';
import type { Denial, DenialReason } from './audit/events.js';

/**
 * A guarded call that was refused. Its code is `ERR_SPIFFE_DENIED`; `ERR_SPIFFE_NO_TASK` outside any task and
 * `ERR_SPIFFE_TASK_ENDED` after the end of its task.
 */
export class DeniedError extends SpiffeError {
  /** What the refusal rests on; stable across releases. */
  readonly reason: DenialReason;
  /** The ids of the policies that refused; empty when it was not a policy. */
  readonly policies: readonly string[];

  constructor(denial: Denial, cause?: unknown) {
    super(codeOf(denial.reason), denial.message, { cause });
    this.reason = denial.reason;
    this.policies = denial.policies;
  }
}

function codeOf(reason: DenialReason): SpiffeErrorCode {
  if (reason === 'no-task') return 'ERR_SPIFFE_NO_TASK';
  return reason === 'task-ended' ? 'ERR_SPIFFE_TASK_ENDED' : 'ERR_SPIFFE_DENIED';
}
