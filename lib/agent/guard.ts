import { randomUUID } from 'node:crypto';
import { SpiffeError } from '../errors.js';
import type { BoundFetch, Identity } from '../identity/source.js';
import { type Clock, SYSTEM_CLOCK } from '../internal/clock.js';
import { checkDuration } from '../internal/options.js';
import { quote } from '../internal/quote.js';
import { type Logger, SILENT } from '../log.js';
import type { Approver } from './approval/approver.js';
import type { AuditLog } from './audit/log.js';
import { type CallContext, guardedCall, refusedOutside, type ToolFunction } from './call.js';
import { current, type GuardCore } from './core.js';
import { watchIdentity } from './identity-watch.js';
import { checkFunction, checkMembers, optionError } from './options.js';
import type { PolicyEngine } from './policy/engine.js';
import { Recorder } from './recorder.js';
import type { SchemaInput, SchemaOutput, StandardSchema } from './standard-schema.js';
import { refuseNested, Task } from './task.js';
import { TaskCore } from './task-core.js';
import { FETCH, fetchTool, type Origins, taskFetch } from './task-fetch.js';
import { TaskKey } from './task-key.js';
import { parseTask, type TaskOptions, type TaskPlan } from './task-options.js';
import { loadTelemetry } from './telemetry.js';
import { Tool } from './tool.js';
import type { ToolDescription } from './tool-description.js';
import type { ToolSpec } from './tool-spec.js';

/** Options of {@link createGuard}. */
export interface GuardOptions {
  /** Who acts. Its loss revokes every task. */
  readonly identity: Identity;
  /** Decides each call; closed with the guard. */
  readonly policy: PolicyEngine;
  /** Keeps the record; closed with the guard. */
  readonly audit: AuditLog;
  /** What `task.fetch` sends requests with. Default: there is no `task.fetch`. */
  readonly fetch?: BoundFetch;
  /**
   * What requests by `task.fetch` do with data, by origin. One that is not named takes public data alone, lies outside,
   * and answers with internal data that is not trusted.
   */
  readonly origins?: Origins;
  /** Whom to ask where a policy wants an approval. Default: no one, so that such calls are refused. */
  readonly approver?: Approver;
  /**
   * Lets pass what it would refuse, and says so in each record. What cannot be put on record is refused all the same,
   * and so is a call outside any task or after its end. Default: `false`.
   */
  readonly evaluateOnly?: boolean;
  /** How long a policy engine may take; no answer is a denial. Default: 1,000. */
  readonly policyTimeoutMs?: number;
  /** How long to wait for an approval whose obligation does not say. Default: 300,000. */
  readonly approvalTimeoutMs?: number;
  readonly logger?: Logger;
}

/** A tool as agents call it. Rejects with a `DeniedError` when the call is refused. */
export type GuardedTool<Args, Result> = (
  args: Args,
  options?: { readonly signal?: AbortSignal },
) => Promise<Result>;

/** Makes every action of a task a fresh decision. */
export interface Guard {
  /**
   * Wraps a tool, at start-up. Its schema, when it has one, types the arguments.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, and `ERR_SPIFFE_GUARD_SEALED` after the first task.
   */
  tool<S extends StandardSchema, Result>(
    name: string,
    spec: ToolSpec & { readonly schema: S },
    run: (args: SchemaOutput<S>, context: CallContext) => Result | Promise<Result>,
  ): GuardedTool<SchemaInput<S>, Result>;
  tool<Args extends object, Result>(
    name: string,
    spec: ToolSpec,
    run: (args: Args, context: CallContext) => Result | Promise<Result>,
  ): GuardedTool<Args, Result>;
  /**
   * Runs a function in a task of its own, which is over when this resolves or rejects, with its record closed.
   *
   * @throws SpiffeError as {@link Guard.startTask} does; `ERR_SPIFFE_TASK_ENDED` when the task ends before the function; and
   * what the function throws.
   */
  task<T>(options: TaskOptions, run: (task: Task) => T | Promise<T>): Promise<T>;
  /**
   * Starts a task that goes on until it is ended, by its owner or by its time. The first task of a guard seals it.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, `ERR_SPIFFE_TASK_NESTED`, `ERR_SPIFFE_POLICY_INVALID` when the
   * policies do not fit the tools, `ERR_SPIFFE_AUDIT_UNAVAILABLE`, and what `identity.x509.svid()` throws.
   */
  startTask(options: TaskOptions): Promise<Task>;
  /** The tools, as they are described at this moment. */
  readonly tools: readonly ToolDescription[];
  /** The tasks that are open. */
  readonly tasks: readonly Task[];
  /** Ends every task, and closes the policy engine and the audit log. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const MEMBERS = [
  'identity',
  'policy',
  'audit',
  'fetch',
  'origins',
  'approver',
  'evaluateOnly',
  'policyTimeoutMs',
  'approvalTimeoutMs',
  'logger',
];

/**
 * Creates a guard, which speaks for the identity that it is given.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, `ERR_SPIFFE_AUDIT_UNAVAILABLE`, and what `identity.x509.svid()` throws.
 */
export function createGuard(options: GuardOptions): Promise<Guard> {
  return createGuardWith(options, SYSTEM_CLOCK);
}

/** The same, with the clock in the caller's hand. */
export async function createGuardWith(options: GuardOptions, clock: Clock): Promise<Guard> {
  checkMembers('the options of a guard', options, MEMBERS);
  const { identity, policy, audit, fetch, approver, evaluateOnly = false } = options;
  for (const [name, part] of Object.entries({ identity, policy, audit })) {
    if (typeof part !== 'object' || part === null)
      throw optionError('the options of a guard', `${name} is missing`);
  }
  if (typeof evaluateOnly !== 'boolean')
    throw optionError(
      'evaluateOnly of a guard',
      `${quote(evaluateOnly)} is neither true nor false`,
    );
  const tool = fetch && fetchTool(options.origins ?? {});
  const agent = identity.x509.svid().id.toString();
  await audit.open(identity);
  const core: GuardCore = Object.freeze({
    identity,
    agent,
    fetch,
    policy,
    policyTimeoutMs: checkDuration('policyTimeoutMs', options.policyTimeoutMs ?? 1_000),
    approver,
    approvalTimeoutMs: checkDuration('approvalTimeoutMs', options.approvalTimeoutMs ?? 300_000),
    recorder: new Recorder(audit, clock, agent, evaluateOnly),
    startSpan: await loadTelemetry(),
    evaluateOnly,
    clock,
    logger: options.logger ?? SILENT,
  });
  return new LocalGuard(core, audit, tool);
}

class LocalGuard implements Guard {
  readonly #core: GuardCore;
  readonly #audit: AuditLog;
  readonly #tools = new Map<string, Tool>();
  readonly #fetchTool: Tool | undefined;
  readonly #tasks = new Map<TaskCore, Task>();
  readonly #closing = new AbortController();
  readonly #watching: Promise<void>;
  #prepared: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(core: GuardCore, audit: AuditLog, tool: Tool | undefined) {
    this.#core = core;
    this.#audit = audit;
    this.#fetchTool = tool;
    if (tool !== undefined) this.#tools.set(FETCH, tool);
    this.#watching = watchIdentity(core, this.#closing.signal, (why, cause) => {
      for (const task of this.#tasks.keys()) task.endInBackground('revoked', why, cause);
    });
  }

  /** Typed by {@link Guard.tool}; what it does is the same for every type. */
  readonly tool: Guard['tool'] = (name: string, spec: ToolSpec, run: ToolFunction) => {
    if (this.#prepared !== undefined) {
      throw new SpiffeError(
        'ERR_SPIFFE_GUARD_SEALED',
        `cannot add the tool ${quote(name)}: the first task has sealed the guard; wrap every tool before it`,
      );
    }
    const tool = new Tool(name, spec);
    checkFunction(`the function of the tool ${quote(name)}`, run);
    if (this.#tools.has(name))
      throw optionError(`the tool ${quote(name)}`, 'the guard has one of this name');
    this.#tools.set(name, tool);
    const core = this.#core;
    const guarded: GuardedTool<unknown, unknown> = async (args, options = {}) => {
      const running = current.getStore();
      if (running?.task.guard !== core) throw await refusedOutside(core, tool);
      return await guardedCall(running, tool, run, args, options.signal);
    };
    return guarded;
  };

  async task<T>(options: TaskOptions, run: (task: Task) => T | Promise<T>): Promise<T> {
    checkFunction('a task', run);
    const { core, task } = await this.#start(options);
    let result: T;
    try {
      result = await task.run(run);
    } catch (error) {
      await core.end('threw').catch((failure: unknown) => {
        // What the function threw says more.
        core.guard.logger.error(
          { err: failure, task: task.id },
          'the record of a task was not closed',
        );
      });
      throw error;
    }
    await core.end('returned');
    return result;
  }

  async startTask(options: TaskOptions): Promise<Task> {
    const { task } = await this.#start(options);
    return task;
  }

  get tools(): readonly ToolDescription[] {
    return [...this.#tools.values()].map((tool) => tool.describe());
  }

  get tasks(): readonly Task[] {
    return [...this.#tasks.values()];
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(options: TaskOptions): Promise<{ readonly core: TaskCore; readonly task: Task }> {
    refuseNested();
    if (this.#closed !== undefined)
      throw new SpiffeError('ERR_SPIFFE_TASK_ENDED', 'cannot start a task: the guard is closed');
    const plan = parseTask(options, this.#tools);
    plan.signal?.throwIfAborted();
    this.#prepared ??= this.#core.policy.prepare(this.tools);
    await this.#prepared;
    this.#core.identity.x509.svid();
    const core = this.#createTask(plan);
    const task = new Task(core, taskFetch(core, this.#fetchTool));
    this.#tasks.set(core, task);
    try {
      await recordStart(core);
      const ended = core.ended();
      if (ended !== undefined) throw ended;
    } catch (error) {
      core.endInBackground('ended', 'it could not be started');
      throw error;
    }
    return { core, task };
  }

  #createTask(plan: TaskPlan): TaskCore {
    const { agent, startSpan } = this.#core;
    const id = randomUUID();
    const pins = new Map<string, string>();
    for (const name of plan.rules.keys())
      pins.set(name, this.#tools.get(name)?.define().digest ?? '');
    const made = { id, key: new TaskKey(), span: startSpan({ agent, taskId: id }), pins };
    const core: TaskCore = new TaskCore(this.#core, plan, made, () => this.#tasks.delete(core));
    return core;
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    const results = await Promise.allSettled(
      [...this.#tasks.keys()].map((task) => task.end('ended')),
    );
    await this.#watching;
    await this.#core.policy.close?.();
    await this.#audit.close();
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}

async function recordStart(task: TaskCore): Promise<void> {
  const { recorder } = task.guard;
  const { rules, clearance, budget, business } = task.plan;
  const { trace } = task.span;
  await recorder.append({
    kind: 'task.start',
    task: task.ref,
    ...(trace && { trace }),
    expiresAt: task.expiresAt.getTime(),
    clearance,
    tools: Object.fromEntries([...rules].map(([name, each]) => [name, each.toJSON()])),
    toolDigests: Object.fromEntries(task.pins),
    budget: budget.toJSON(),
    business,
    keyThumbprint: task.key.thumbprint,
  });
}
