import { randomUUID } from 'node:crypto';
import { quote } from '../internal/quote.js';
import type { CallRef, Denial } from './audit/events.js';
import type { GuardCore, Running } from './core.js';
import { DeniedError } from './denied.js';
import type { Happening } from './recorder.js';
import type { Tool } from './tool.js';

/** Of a name that nobody here chose. */
const LONGEST_NAME = 200;

/** Puts a call outside any task on record, and gives what to throw. */
export async function refusedOutside(guard: GuardCore, tool: Tool): Promise<DeniedError> {
  const denial: Denial = {
    reason: 'no-task',
    message: `cannot call ${quote(tool.name)} outside any task: call it within guard.task() or task.run()`,
    policies: [],
  };
  const call: CallRef = { id: randomUUID(), tool: tool.name, effect: tool.effect };
  await recordDenial(guard, { kind: 'call.denied', call, denial });
  return new DeniedError(denial);
}

/**
 * Puts a call within a task on record, of a tool that the guard does not have, and gives what to throw. Whoever
 * tries names out shows up there.
 */
export async function refusedUnknown({ task }: Running, name: string): Promise<DeniedError> {
  const tool = name.slice(0, LONGEST_NAME);
  const message = `cannot call ${quote(tool)}: there is no such tool`;
  const denial: Denial = { reason: 'tool-not-in-task', message, policies: [] };
  task.denied += 1;
  const call: CallRef = { id: randomUUID(), tool };
  await recordDenial(task.guard, { kind: 'call.denied', task: task.ref, call, denial });
  return new DeniedError(denial);
}

/** Where the record fails, the refusal stands all the same. */
export async function recordDenial(
  guard: GuardCore,
  denied: Extract<Happening, { readonly kind: 'call.denied' }>,
): Promise<void> {
  try {
    await guard.recorder.append(denied);
  } catch (error) {
    guard.logger.error({ err: error, call: denied.call.id }, 'a refusal was not put on record');
  }
}
