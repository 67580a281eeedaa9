import { deadline } from '../internal/deadline.js';
import { freezeJsonObject } from '../internal/frozen-json.js';
import { obtainApproval } from './approval/obtain.js';
import type { ApprovalEvent, Denial, DenialReason } from './audit/events.js';
import { DeniedError } from './denied.js';
import { type Confidentiality, checkConfidentiality, type Labels, rankOf } from './flow/labels.js';
import { checkMembers, checkText, optionError } from './options.js';
import { decide, type Verdict } from './policy/decide.js';
import type { DecisionRequest, LabelChange } from './policy/request.js';
import { contextOf } from './request-for.js';
import type { TaskCore } from './task-core.js';

/** How far down, and why. */
export interface DeclassifyOptions {
  readonly to: Confidentiality;
  /** Why what was read may be treated so; policies and the record see it. */
  readonly justification: string;
}

/** Why what was read may steer the task. */
export interface EndorseOptions {
  readonly justification: string;
}

/** Asks the policy whether what the task has read counts as no more than `to`. */
export async function declassify(task: TaskCore, options: DeclassifyOptions): Promise<void> {
  checkMembers('the options of declassify', options, ['to', 'justification']);
  const confidentiality = checkConfidentiality('the options of declassify', options.to);
  const { labels } = task.flow;
  if (rankOf(confidentiality) >= rankOf(labels.confidentiality))
    throw optionError('the options of declassify', `the task holds ${labels.confidentiality} data`);
  await relabel(task, 'declassify', { ...labels, confidentiality }, options.justification);
}

/** Asks the policy whether what the task has read counts as trusted. */
export async function endorse(task: TaskCore, options: EndorseOptions): Promise<void> {
  checkMembers('the options of endorse', options, ['justification']);
  await relabel(
    task,
    'endorse',
    { ...task.flow.labels, integrity: 'trusted' },
    options.justification,
  );
}

async function relabel(
  task: TaskCore,
  what: 'declassify' | 'endorse',
  to: Labels,
  justification: string,
): Promise<void> {
  checkText(`the options of ${what}: justification`, justification);
  throwIfEnded(task);
  const { policy, policyTimeoutMs, clock, recorder, evaluateOnly } = task.guard;
  const before = task.flow.labels;
  // From here on: what is read while the policy is asked is not part of the question.
  const mark = task.flow.mark();
  task.enter();
  try {
    const request = Object.freeze<DecisionRequest>({
      subject: Object.freeze({ type: 'workload', id: task.guard.agent }),
      action: Object.freeze({ name: `labels/${what}` }),
      resource: Object.freeze({
        type: 'task',
        id: task.ref.id,
        properties: Object.freeze({ to: Object.freeze(to), justification }),
      }),
      context: contextOf(task, Object.freeze({}), before, { tool: '' }),
    });
    const late = (): Error => new Error(`no answer in ${policyTimeoutMs} ms`);
    const verdict = await decide(policy, request, (answer) =>
      task.wait(deadline(clock, policyTimeoutMs, answer, late)),
    );
    throwIfEnded(task);
    const { record } = verdict;
    const { reason, problem, cause } = await heed(task, verdict, request, before);
    throwIfEnded(task);
    const message = `cannot ${what} what the task ${task.ref.id} holds: ${problem}`;
    const denial: Denial = { reason, message, policies: record.reasons };
    const refused = problem !== undefined && !evaluateOnly;
    await recorder.append({
      kind: `label.${what}`,
      task: task.ref,
      before,
      after: refused ? before : to,
      justification,
      request,
      decision: record,
      ...(problem !== undefined && (refused ? { denial } : { wouldDeny: [denial] })),
    });
    if (refused) throw new DeniedError(denial, cause);
    throwIfEnded(task);
    task.flow.lower(to, mark);
  } finally {
    task.flow.forget(mark);
    task.leave();
  }
}

interface Heeded {
  readonly reason: DenialReason;
  /** Why it may not be; absent when it may. */
  readonly problem?: string;
  readonly cause?: unknown;
}

/** Does what the permit obliges to; there is nothing in a change of labels to redact. */
async function heed(
  task: TaskCore,
  { record, problem, cause }: Verdict,
  request: DecisionRequest,
  from: Labels,
): Promise<Heeded> {
  if (problem !== undefined) return { reason: 'policy', problem, cause };
  const { reasons, obligations } = record;
  const { guard, ref } = task;
  for (const obligation of obligations) {
    if (obligation.type === 'shorten-life' && !guard.evaluateOnly) task.shorten(obligation.ttlMs);
    if (obligation.type !== 'require-approval') continue;
    const change = request.action.name as NonNullable<ApprovalEvent['change']>;
    const answer = await obtainApproval(guard, obligation, {
      names: { task: ref, change },
      request: changeAsCall(request, from),
      reasons,
      wait: (asked) => task.wait(asked),
    });
    if (answer.problem !== undefined) return { reason: 'approval', ...answer };
  }
  return { reason: 'policy' };
}

/** What someone agrees to is a tool and its arguments; the change, put so. */
function changeAsCall(request: DecisionRequest, from: Labels): DecisionRequest {
  const { action, resource, context } = request;
  const { to, justification } = resource.properties as LabelChange;
  const asked = freezeJsonObject({ from, justification, to });
  return {
    ...request,
    resource: { ...resource, id: action.name },
    context: { ...context, arguments: asked },
  };
}

function throwIfEnded(task: TaskCore): void {
  const ended = task.ended();
  if (ended !== undefined) throw ended;
}
