import { quote } from '../../internal/quote.js';
import type { ApprovalEvent } from '../audit/events.js';
import type { GuardCore } from '../core.js';
import type { ApprovalObligation, DecisionRequest } from '../policy/request.js';
import { type Asking, askApproval } from './ask.js';

/** What is to be agreed to, and how its record names it. */
export interface Wanted {
  readonly names: Pick<ApprovalEvent, 'task' | 'call' | 'change' | 'trace'>;
  readonly request: DecisionRequest;
  /** The ids of the policies that oblige. */
  readonly reasons: readonly string[];
  readonly wait: Asking['wait'];
}

/** Has someone asked, and their answer put on record; tells why it may not go on, unless it may. */
export async function obtainApproval(
  guard: GuardCore,
  { by, timeoutMs, ...obligation }: ApprovalObligation,
  { names, request, reasons, wait }: Wanted,
): Promise<{ readonly problem?: string; readonly cause?: unknown }> {
  const { approver, approvalTimeoutMs, clock, evaluateOnly, recorder } = guard;
  if (approver === undefined || evaluateOnly)
    return { problem: `it needs the approval of ${quote(by)}, who is not asked` };
  const asking = { approver, timeoutMs: timeoutMs ?? approvalTimeoutMs, clock, wait };
  const answer = await askApproval(asking, { ...obligation, by }, request, reasons);
  const { outcome, argumentsDigest, approver: who, problem, cause } = answer;
  const answered = who === undefined ? {} : { approver: who };
  await recorder.append({
    kind: 'approval',
    ...names,
    argumentsDigest,
    argumentNames: Object.keys(request.context.arguments),
    by,
    outcome,
    ...answered,
  });
  return problem === undefined ? {} : { problem, cause };
}
