import { randomUUID } from 'node:crypto';
import { quote } from '../internal/quote.js';
import type { CallRef, Denial } from './audit/events.js';
import type { GuardCore } from './core.js';
import { DeniedError } from './denied.js';
import type { Happening } from './recorder.js';
import type { Tool } from './tool.js';

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
