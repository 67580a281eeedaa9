import { canonicalJson } from '../internal/canonical-json.js';
import { freezeJsonObject } from '../internal/frozen-json.js';
import type { JsonRecord } from '../internal/json.js';
import type { DataFlow } from './flow/annotations.js';
import { type Labels, rankOf } from './flow/labels.js';
import { sinkProblem } from './flow/sink.js';
import type { Grounds } from './grounds.js';
import type { DecisionRequest } from './policy/request.js';
import { requestFor } from './request-for.js';
import type { TaskCore } from './task-core.js';
import type { Defined, Tool } from './tool.js';

/** A call that may be decided about: it has been counted, and has raised the labels of its task. */
export interface Admitted {
  /** As they are judged, and as the function will get them. */
  readonly args: JsonRecord;
  readonly flow: DataFlow;
  readonly request: DecisionRequest;
  readonly bytesOut: number;
  /** What the policy engine is asked about the call at a later moment; the call itself is no part of what came before. */
  readonly again: () => DecisionRequest;
  /** Takes back what the call took and raised, should it be refused after all. */
  readonly undo: () => void;
}

/**
 * All of a call that is judged in the call itself. Synchronous, so that of parallel calls each finds what the one
 * before it took and raised.
 *
 * @throws DeniedError
 */
export function admit(
  task: TaskCore,
  tool: Tool,
  depth: number,
  input: unknown,
  grounds: Grounds,
): Admitted {
  const rules = task.rules(tool.name);
  if (rules === undefined) grounds.deny('tool-not-in-task', 'the task does not have it');
  const defined = checkPinned(task, tool, grounds);
  const args = takeArguments(task, tool, input, grounds);
  const { labels } = task.flow;
  grounds.ask = () => requestFor(task, tool, { args, flow: tool.flow(args, defined), labels });
  const problem = rules?.problem(args);
  if (problem !== undefined) grounds.deny('argument', problem);
  const flow = grounds.attempt('label', 'what it reads and where it sends could not be told', () =>
    tool.flow(args, defined),
  );
  checkClearance(flow, task, grounds);
  checkSink(flow, labels, grounds);
  const bytesOut = flow.sink?.outside === true ? Buffer.byteLength(JSON.stringify(args)) : 0;
  const overdrawn = task.budget.take(tool.name, bytesOut, depth);
  if (overdrawn !== undefined) grounds.deny('budget', overdrawn);
  const request = requestFor(task, tool, { args, flow, labels });
  task.flow.raise(flow.returns);
  const link = task.link(tool.name);
  const undo = (): void => {
    if (overdrawn === undefined) task.budget.giveBack(tool.name, bytesOut);
    task.flow.release(flow.returns);
    task.unlink(link);
  };
  const again = (): DecisionRequest => {
    const since = task.flow.labelsBeside(flow.returns);
    return requestFor(task, tool, { args, flow, labels: since, without: link });
  };
  return { args, flow, request, again, bytesOut, undo };
}

/** Refuses a tool that is no longer the one that the task started with; gives its definition of this moment. */
export function checkPinned(task: TaskCore, tool: Tool, grounds: Grounds): Defined {
  const defined = grounds.attempt('tool-changed', 'its definition could not be had', () =>
    tool.define(),
  );
  const pinned = task.pins.get(tool.name);
  if (pinned !== undefined && pinned !== defined.digest)
    grounds.deny('tool-changed', 'its definition is not the one that the task started with');
  return defined;
}

/** Refuses a call whose sink may not have what the task holds by these labels. */
export function checkSink({ sink }: DataFlow, labels: Labels, grounds: Grounds): void {
  const problem = sink && sinkProblem(sink, labels);
  if (problem !== undefined) grounds.deny('label', problem);
}

function checkClearance({ returns }: DataFlow, task: TaskCore, grounds: Grounds): void {
  const { confidentiality } = returns;
  const { clearance } = task.plan;
  if (rankOf(confidentiality) <= rankOf(clearance)) return;
  grounds.deny(
    'clearance',
    `it returns ${confidentiality} data, and the task is cleared for ${clearance}`,
  );
}

function takeArguments(task: TaskCore, tool: Tool, input: unknown, grounds: Grounds): JsonRecord {
  let captured: JsonRecord;
  try {
    captured = freezeJsonObject(input);
  } catch (error) {
    throw grounds.error('argument', untakeable(error), [], error);
  }
  if (task.only?.tool === tool.name && canonicalJson(captured) !== task.only.args)
    grounds.deny('argument', 'its arguments are not those that the task was started for');
  try {
    return tool.validate(captured);
  } catch (error) {
    grounds.deny('argument', untakeable(error), [], error);
    return captured;
  }
}

function untakeable(error: unknown): string {
  return `its arguments cannot be taken: ${error instanceof Error ? error.message : String(error)}`;
}
