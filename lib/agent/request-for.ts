import type { JsonRecord } from '../internal/json.js';
import type { DataFlow } from './flow/annotations.js';
import type { Labels } from './flow/labels.js';
import type { DecisionContext, DecisionRequest, ToolProperties } from './policy/request.js';
import type { ChainLink, TaskCore } from './task-core.js';
import type { Tool } from './tool.js';

/** What the policy engine is asked about a call. Frozen, since it goes on record after the engine has had it. */
export function requestFor(
  task: TaskCore,
  tool: Tool,
  {
    args,
    flow,
    labels,
    without,
  }: {
    readonly args: JsonRecord;
    readonly flow: DataFlow;
    readonly labels: Labels;
    /** A call that is no part of what came before. */
    readonly without?: ChainLink;
  },
): DecisionRequest {
  const properties = propertiesOf(tool, args, flow);
  return Object.freeze<DecisionRequest>({
    subject: Object.freeze({ type: 'workload', id: task.guard.agent }),
    action: Object.freeze({ name: 'tools/call' }),
    resource: Object.freeze({ type: 'tool', id: tool.name, properties }),
    context: contextOf(task, tool.shown(args), labels, { tool: tool.name, without }),
  });
}

/** The part of a request that says how the task stands. */
export function contextOf(
  task: TaskCore,
  args: JsonRecord,
  labels: Labels,
  call: { readonly tool: string; readonly without?: ChainLink | undefined },
): DecisionContext {
  const { id, purpose, endUser } = task.ref;
  return Object.freeze({
    task: Object.freeze({
      id,
      purpose,
      startedAt: task.startedText,
      expiresAt: task.expiresText,
      ...(endUser !== undefined && { endUser }),
      clearance: task.plan.clearance,
    }),
    arguments: args,
    chain: Object.freeze(task.chain(call.without)),
    labels,
    budget: Object.freeze(task.budget.left(call.tool)),
    time: new Date(task.guard.clock.now()).toISOString(),
    business: task.plan.business,
  });
}

function propertiesOf(tool: Tool, args: JsonRecord, { returns, sink }: DataFlow): ToolProperties {
  const target = textAt(args, tool.resource);
  const destination = textAt(args, tool.destination);
  return Object.freeze({
    effect: tool.effect,
    ...(target !== undefined && { target }),
    ...(destination !== undefined && { destination }),
    returns,
    ...(sink && { sink }),
  });
}

function textAt(args: JsonRecord, name: string | undefined): string | undefined {
  const value = name !== undefined && Object.hasOwn(args, name) ? args[name] : undefined;
  return typeof value === 'string' ? value : undefined;
}
