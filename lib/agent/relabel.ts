import { deadline } from '../internal/deadline.js';
import type { Denial } from './audit/events.js';
import { DeniedError } from './denied.js';
import { type Confidentiality, checkConfidentiality, type Labels, rankOf } from './flow/labels.js';
import { checkMembers, checkText, optionError } from './options.js';
import { decide } from './policy/decide.js';
import type { DecisionRequest } from './policy/request.js';
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
      context: contextOf(task, Object.freeze({}), before, ''),
    });
    const late = (): Error => new Error(`no answer in ${policyTimeoutMs} ms`);
    const verdict = await decide(policy, request, (answer) =>
      task.wait(deadline(clock, policyTimeoutMs, answer, late)),
    );
    throwIfEnded(task);
    const { record, problem, cause } = verdict;
    const message = `cannot ${what} what the task ${task.ref.id} holds: ${problem}`;
    const denial: Denial = { reason: 'policy', message, policies: record.reasons };
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

function throwIfEnded(task: TaskCore): void {
  const ended = task.ended();
  if (ended !== undefined) throw ended;
}
