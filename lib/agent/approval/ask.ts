import { hash, randomUUID } from 'node:crypto';
import { canonicalJson } from '../../internal/canonical-json.js';
import type { Clock } from '../../internal/clock.js';
import { deadline } from '../../internal/deadline.js';
import { isJsonObject, member } from '../../internal/json.js';
import type { ApprovalEvent } from '../audit/events.js';
import type { ApprovalObligation, DecisionRequest } from '../policy/request.js';
import type { Approval, ApprovalRequest, Approver } from './approver.js';

/** Whom to ask, and how long to wait. */
export interface Asking {
  readonly approver: Approver;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Cuts the wait short as well. */
  readonly wait: (answer: Promise<Approval>) => Promise<Approval>;
}

/** What came of asking; `problem` is absent when the call may go on. */
export interface Answer {
  readonly outcome: ApprovalEvent['outcome'];
  readonly argumentsDigest: string;
  readonly approver?: string;
  readonly problem?: string;
  readonly cause?: unknown;
}

/**
 * Asks for an agreement to one call. It is bound to the tool and its exact arguments by a digest that the answer must
 * repeat, and to this one asking by a fresh id in it, so that no answer serves twice.
 */
export async function askApproval(
  { approver, timeoutMs, clock, wait }: Asking,
  { by }: ApprovalObligation,
  { subject, resource, context }: DecisionRequest,
  reasons: readonly string[],
): Promise<Answer> {
  const id = randomUUID();
  const { arguments: given, task } = context;
  const argumentsDigest = digestOf(canonicalJson(given));
  const request: ApprovalRequest = Object.freeze({
    id,
    agent: subject.id,
    task: {
      id: task.id,
      purpose: task.purpose,
      ...(task.endUser !== undefined && { endUser: task.endUser }),
    },
    tool: resource.id,
    arguments: given,
    digest: digestOf(canonicalJson({ arguments: given, id, tool: resource.id })),
    by,
    reasons,
    expiresAt: clock.now() + timeoutMs,
  });
  const controller = new AbortController();
  let late = false;
  try {
    const answer = await wait(
      deadline(clock, timeoutMs, ask(approver, request, controller.signal), () => {
        late = true;
        return new Error(`nobody answered in ${timeoutMs} ms`);
      }),
    );
    return { argumentsDigest, ...judge(request, answer) };
  } catch (cause) {
    const outcome = late ? 'timed-out' : 'failed';
    const problem = late ? `${by} did not answer in time` : `${by} could not be asked`;
    return { argumentsDigest, outcome, problem, cause };
  } finally {
    controller.abort();
  }
}

/** An approver that throws before it gives a promise fails like any other. */
async function ask(
  approver: Approver,
  request: ApprovalRequest,
  signal: AbortSignal,
): Promise<Approval> {
  return await approver.ask(request, { signal });
}

/** The answer comes from code that others write: nothing of its shape is taken for granted. */
function judge(request: ApprovalRequest, given: unknown): Omit<Answer, 'argumentsDigest'> {
  const answer = isJsonObject(given) ? given : {};
  const granted = member(answer, 'granted');
  const approver = member(answer, 'approver');
  const digest = member(answer, 'digest');
  const named = typeof approver === 'string' && approver !== '' ? { approver } : undefined;
  if (granted === false)
    return { ...named, outcome: 'refused', problem: `${request.by} refuses it` };
  if (granted === true && approver === request.agent)
    return { ...named, outcome: 'failed', problem: 'whoever asks cannot agree to it' };
  if (granted === true && digest === request.digest && named !== undefined)
    return { ...named, outcome: 'granted' };
  return {
    ...named,
    outcome: 'failed',
    problem: `the answer of ${request.by} is to something else`,
  };
}

function digestOf(text: string): string {
  return hash('sha256', text);
}
