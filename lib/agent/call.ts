import { randomUUID } from 'node:crypto';
import { canonicalJson } from '../internal/canonical-json.js';
import { deadline } from '../internal/deadline.js';
import type { JsonRecord } from '../internal/json.js';
import { type Admitted, admit, checkPinned, checkSink } from './admit.js';
import { obtainApproval } from './approval/obtain.js';
import type { CallRef, DecisionRecord, EventBase } from './audit/events.js';
import { current, type GuardCore, type Running } from './core.js';
import { CallGrant, type ShowGrantOptions } from './delegation/call-grant.js';
import { WORST } from './delegation/labels.js';
import { DeniedError } from './denied.js';
import { checkLabels, type Labels, rankOf } from './flow/labels.js';
import { Grounds } from './grounds.js';
import { decide, type Verdict } from './policy/decide.js';
import type { ApprovalObligation, DecisionRequest, Obligation } from './policy/request.js';
import { recordDenial } from './refusal.js';
import { measure, redact } from './result.js';
import type { TaskCore } from './task-core.js';
import { errorType, type Span } from './telemetry.js';
import type { Tool } from './tool.js';

/** What a tool's function is told beside its arguments. */
export interface CallContext {
  /** Aborts when the task ends, or when the caller no longer wants the result. */
  readonly signal: AbortSignal;
  /** Names the call in the record. */
  readonly callId: string;
  readonly taskId: string;
  /**
   * For a tool that is a call of a service: the task's grant, and its proof for this one call. The first one signs and
   * records the root of a task that was started without a grant.
   *
   * @throws SpiffeError `ERR_SPIFFE_GRANT_INVALID`, `ERR_SPIFFE_TASK_ENDED`, `ERR_SPIFFE_AUDIT_UNAVAILABLE`, and
   * `ERR_SPIFFE_OPTION_INVALID` where no token can carry the task's constraint on an argument that is no scalar.
   */
  showGrant(options: ShowGrantOptions): Promise<CallGrant>;
  /**
   * What the call brings has these labels, too: from now on the task has read such data. Where it is not cleared for that,
   * the result of the call is withheld.
   */
  taint(labels: Labels): void;
}

/** The function of a tool. */
export type ToolFunction = (args: JsonRecord, context: CallContext) => unknown;

/**
 * One guarded call. Everything up to the budget and the labels happens in the call itself, before anything is waited
 * for; then decision, obligations, the durable intent, a second look at the labels, the function, the durable outcome.
 */
export async function guardedCall(
  running: Running,
  tool: Tool,
  run: ToolFunction,
  input: unknown,
  outer?: AbortSignal,
): Promise<unknown> {
  outer?.throwIfAborted();
  const call = new Call(running, tool, outer);
  running.task.enter();
  let failure: { readonly error: unknown } | undefined;
  try {
    return await call.perform(run, input);
  } catch (error) {
    failure = { error };
    throw error;
  } finally {
    call.span.end(failure);
    running.task.leave();
  }
}

class Call {
  readonly span: Span;
  readonly #guard: GuardCore;
  readonly #task: TaskCore;
  readonly #tool: Tool;
  readonly #names: { readonly task: TaskCore['ref']; readonly call: CallRef } & Pick<
    EventBase,
    'trace'
  >;
  readonly #depth: number;
  readonly #outer: AbortSignal | undefined;
  readonly #grounds: Grounds;
  #admitted: Admitted | undefined;
  #decision: DecisionRecord | undefined;
  #intended = false;
  /** What it brought that the task is not cleared for. */
  #above: Labels | undefined;
  /** How many of the grounds the intent tells. */
  #told = 0;

  constructor({ task, call: parent, depth }: Running, tool: Tool, outer: AbortSignal | undefined) {
    this.#task = task;
    this.#guard = task.guard;
    this.#tool = tool;
    this.#outer = outer;
    this.#depth = depth + 1;
    this.#grounds = new Grounds(tool.name, task.guard.evaluateOnly);
    const id = randomUUID();
    const { agent, startSpan } = task.guard;
    this.span = startSpan({ agent, taskId: task.ref.id, tool: tool.name, callId: id });
    const { trace } = this.span;
    const call = { id, tool: tool.name, effect: tool.effect, ...(parent && { parent: parent.id }) };
    this.#names = { task: task.ref, call: Object.freeze(call), ...(trace && { trace }) };
  }

  async perform(run: ToolFunction, input: unknown): Promise<unknown> {
    let admitted: Admitted;
    try {
      this.#checkOpen();
      admitted = admit(this.#task, this.#tool, this.#depth, input, this.#grounds);
      this.#admitted = admitted;
      const asked = this.#decide(admitted);
      admitted = await this.#heed(asked instanceof Promise ? await asked : asked, admitted);
      if (this.#tool.confirm !== undefined) await this.#confirm(this.#tool.confirm);
      await this.#intend(admitted);
      this.#checkAgain(admitted);
    } catch (error) {
      throw await this.#refused(error);
    }
    return await this.#run(run, admitted);
  }

  #checkOpen(): void {
    const ended = this.#task.ended();
    if (ended !== undefined) throw ended;
    this.#outer?.throwIfAborted();
  }

  #decide({ request }: Admitted): Verdict | Promise<Verdict> {
    const { policy, policyTimeoutMs, clock } = this.#guard;
    const late = (): Error => new Error(`no answer in ${policyTimeoutMs} ms`);
    return decide(policy, request, (answer) =>
      this.#wait(deadline(clock, policyTimeoutMs, answer, late)),
    );
  }

  /**
   * Does what the permit obliges to. Someone who is asked takes their time, in which the task reads and the policies are
   * replaced: the engine is asked again after that, until it wants nobody's agreement that is not there. Gives the call
   * as it was decided last.
   */
  async #heed(first: Verdict, admitted: Admitted): Promise<Admitted> {
    const agreed = new Set<string>();
    let verdict = first;
    let decided = admitted;
    for (;;) {
      const { record, problem, cause } = verdict;
      this.#decision = record;
      this.#checkOpen();
      if (problem !== undefined) {
        this.#grounds.deny('policy', problem, record.reasons, cause);
        return decided;
      }
      const wanted: ApprovalObligation[] = [];
      for (const obligation of record.obligations) {
        // A guard that only evaluates must not end tasks that would have gone on.
        if (obligation.type === 'shorten-life' && !this.#guard.evaluateOnly)
          this.#task.shorten(obligation.ttlMs);
        if (obligation.type === 'require-approval' && !agreed.has(obligation.by))
          wanted.push(obligation);
      }
      if (wanted.length === 0) return decided;
      for (const obligation of wanted) {
        agreed.add(obligation.by);
        await this.#approve(obligation, decided, record.reasons);
      }
      if (this.#guard.evaluateOnly) return decided;
      decided = { ...decided, request: decided.again() };
      this.#admitted = decided;
      verdict = await this.#decide(decided);
    }
  }

  async #approve(
    obligation: ApprovalObligation,
    { request }: Admitted,
    reasons: readonly string[],
  ): Promise<void> {
    const { problem, cause } = await obtainApproval(this.#guard, obligation, {
      names: this.#names,
      request,
      reasons,
      wait: (answer) => this.#wait(answer),
    });
    this.#checkOpen();
    if (problem !== undefined) this.#grounds.deny('approval', problem, reasons, cause);
  }

  /** Whoever offers the tool may have changed it; with what is known here alone that could not be noticed. */
  async #confirm(confirm: NonNullable<Tool['confirm']>): Promise<void> {
    const signal = this.#signal();
    try {
      await this.#wait(confirm({ signal }));
    } catch (error) {
      this.#checkOpen();
      this.#grounds.deny('tool-changed', 'it could not be confirmed to be as it was', [], error);
    }
  }

  async #intend({ request }: Admitted): Promise<void> {
    const { wouldDeny } = this.#grounds;
    this.#told = wouldDeny.length;
    await this.#guard.recorder.append({
      kind: 'call.intent',
      ...this.#names,
      request,
      decision: this.#decision as DecisionRecord,
      ...(wouldDeny.length > 0 && { wouldDeny: [...wouldDeny] }),
    });
    this.#intended = true;
  }

  /** While the call waited others have read, and the tool may have changed: look again, right before the function. */
  #checkAgain({ flow }: Admitted): void {
    this.#checkOpen();
    checkPinned(this.#task, this.#tool, this.#grounds);
    // What this very call will read is not in its arguments.
    checkSink(flow, this.#task.flow.labelsBeside(flow.returns), this.#grounds);
  }

  async #run(run: ToolFunction, { args, flow, bytesOut }: Admitted): Promise<unknown> {
    const task = this.#task;
    const { clock, recorder } = this.#guard;
    const running = { task, call: this.#names.call, depth: this.#depth };
    const started = clock.now();
    let result: unknown;
    let failure: { readonly error: unknown } | undefined;
    task.calls += 1;
    task.bytesOut += bytesOut;
    task.busy();
    try {
      result = this.span.within(() => current.run(running, run, args, this.#contextOf(args, flow)));
      if (isThenable(result)) result = await this.#wait(Promise.resolve(result));
      // A function that waits for nothing can outlive its task too.
      const ended = task.ended();
      if (ended !== undefined) throw ended;
      this.#checkBrought();
      result = this.#redacted(result);
    } catch (error) {
      failure = { error };
    } finally {
      task.unbusy();
      task.flow.settle(flow.returns);
    }
    const cut = task.state !== 'open' || this.#outer?.aborted === true;
    const late = this.#grounds.wouldDeny.slice(this.#told);
    await recorder.append({
      kind: 'call.outcome',
      ...this.#names,
      status: failure === undefined ? 'success' : cut ? 'aborted' : 'failure',
      durationMs: clock.now() - started,
      ...(failure === undefined ? measure(result) : { error: errorType(failure.error) }),
      ...(late.length > 0 && { wouldDeny: late }),
    });
    if (failure !== undefined) throw failure.error;
    return result;
  }

  /** What an answer says to hold is known only now; the task does not get what it is not cleared for. */
  #checkBrought(): void {
    if (this.#above === undefined) return;
    const { confidentiality } = this.#above;
    const { clearance } = this.#task.plan;
    this.#grounds.deny(
      'clearance',
      `its answer holds ${confidentiality} data, and the task is cleared for ${clearance}`,
    );
  }

  #signal(): AbortSignal {
    const { signal } = this.#task;
    return this.#outer === undefined ? signal : AbortSignal.any([signal, this.#outer]);
  }

  #contextOf(args: JsonRecord, { returns }: Admitted['flow']): CallContext {
    const task = this.#task;
    const tool = this.#tool.name;
    return {
      signal: this.#signal(),
      callId: this.#names.call.id,
      taskId: task.ref.id,
      showGrant: async ({ audience, nonce }) => {
        const argsJson = canonicalJson(args);
        // What this very call will read is not in what it sends.
        const labels = task.flow.labelsBeside(returns);
        const call = { tool, args, argsJson, audience, nonce, labels };
        return new CallGrant(argsJson, await task.grants.present(call));
      },
      taint: (labels) => {
        const told = checkLabels('what a call brings', labels, WORST);
        task.flow.take(told);
        if (rankOf(told.confidentiality) > rankOf(task.plan.clearance)) this.#above = told;
      },
    };
  }

  #redacted(result: unknown): unknown {
    const obligations: readonly Obligation[] = this.#decision?.obligations ?? [];
    const pointers = obligations.flatMap((each) =>
      each.type === 'redact' ? (each.result ?? []) : [],
    );
    if (pointers.length === 0 || this.#guard.evaluateOnly) return result;
    try {
      return redact(result, pointers);
    } catch (error) {
      const why = 'its result must be redacted, which it cannot be, so that it is withheld';
      throw this.#grounds.error('policy', why, this.#decision?.reasons, error);
    }
  }

  /** Takes back what the call took, and puts the refusal on record; gives what to throw. */
  async #refused(error: unknown): Promise<unknown> {
    this.#admitted?.undo();
    if (!(error instanceof DeniedError)) {
      if (this.#intended) await this.#abandoned();
      return error;
    }
    this.#task.denied += 1;
    const { reason, message, policies } = error;
    await recordDenial(this.#guard, {
      kind: 'call.denied',
      ...this.#names,
      denial: { reason, message, policies },
      ...this.#asked(),
      ...(this.#decision && { decision: this.#decision }),
    });
    return error;
  }

  /** What the policy engine was asked, or would have been; nothing where that cannot be told. */
  #asked(): { readonly request?: DecisionRequest } {
    if (this.#admitted !== undefined) return { request: this.#admitted.request };
    try {
      const request = this.#grounds.ask?.();
      return request === undefined ? {} : { request };
    } catch {
      // What the call reads and where it sends is told by code of others, for arguments that were refused.
      return {};
    }
  }

  /** The caller no longer wanted it, when its intent was already on record. */
  async #abandoned(): Promise<void> {
    const { recorder } = this.#guard;
    await recorder.append({
      kind: 'call.outcome',
      ...this.#names,
      status: 'aborted',
      durationMs: 0,
    });
  }

  #wait<T>(promise: Promise<T>): Promise<T> {
    return this.#task.wait(promise, this.#outer);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { readonly then?: unknown } | null | undefined)?.then === 'function';
}
