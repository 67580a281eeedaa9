import { SpiffeError } from '../errors.js';
import { canonicalJson } from '../internal/canonical-json.js';
import type { JsonRecord } from '../internal/json.js';
import { checkOptions } from '../internal/options.js';
import { quote } from '../internal/quote.js';
import type { AuditLog } from './audit/log.js';
import { guardedCall, type ToolFunction } from './call.js';
import { current, type GuardCore } from './core.js';
import type { TaskCredentials } from './credential/credentials.js';
import { TaskCredential } from './credential/task-credential.js';
import { type DelegatedTaskOptions, delegatedTask } from './delegation/delegated-task.js';
import { type HeldGrant, readHeldGrant, refOf, tokensOf } from './delegation/held-grant.js';
import { WORST } from './delegation/labels.js';
import { type GrantOffer, Offers } from './delegation/offer.js';
import {
  type AcceptOptions,
  type GrantCarrier,
  GrantReceiver,
  taskFor,
} from './delegation/receiver.js';
import { recordGrantRefusal } from './delegation/refusal.js';
import type { Labels } from './flow/labels.js';
import { GrantError } from './grant/grant-error.js';
import { uuidV7 } from './grant/sign.js';
import type { VerifiedGrant } from './grant/verify.js';
import type { Guard, GuardedTool } from './guard.js';
import { watchIdentity } from './identity-watch.js';
import { checkFunction, optionError } from './options.js';
import type { PolicyEngine } from './policy/engine.js';
import { refusedOutside } from './refusal.js';
import {
  type RevocationHandler,
  type RevocationHandlerOptions,
  RevocationPublisher,
} from './revocation/publisher.js';
import { joinRevocationSources, type RevocationSource } from './revocation/source.js';
import { refuseNested, Task } from './task.js';
import { TaskCore } from './task-core.js';
import { FETCH, taskFetch } from './task-fetch.js';
import { TaskKey } from './task-key.js';
import { parseTask, type TaskOptions, type TaskPlan } from './task-options.js';
import { type Defined, Tool } from './tool.js';
import type { ToolDescription } from './tool-description.js';
import type { ToolSpec } from './tool-spec.js';

/** A guard in this process. */
export class LocalGuard implements Guard {
  readonly #core: GuardCore;
  readonly #audit: AuditLog;
  readonly #tools = new Map<string, Tool>();
  readonly #fetchTool: Tool | undefined;
  readonly #tasks = new Map<TaskCore, Task>();
  /** Definitions on record, and those that go there with the next task; by digest. */
  readonly #told = new Set<string>();
  readonly #untold = new Map<string, JsonRecord>();
  readonly #closing = new AbortController();
  readonly #watching: Promise<void>;
  readonly #unwatch: (() => void) | undefined;
  readonly #offers: Offers;
  readonly #receiver: GrantReceiver;
  #sealed = false;
  #prepared: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(core: GuardCore, audit: AuditLog, tool: Tool | undefined) {
    this.#core = core;
    this.#audit = audit;
    this.#offers = new Offers(core.clock);
    this.#receiver = new GrantReceiver(core);
    this.#fetchTool = tool;
    if (tool !== undefined) this.#tools.set(FETCH, tool);
    this.#watching = watchIdentity(core, this.#closing.signal, (why, cause) => {
      for (const task of this.#tasks.keys()) task.endInBackground('revoked', why, cause);
    });
    this.#unwatch = core.revocation.watch?.(() => {
      // Looking is what ends those that work by what was revoked.
      for (const task of this.#tasks.keys()) task.ended();
    });
  }

  /** Typed by {@link Guard.tool}; what it does is the same for every type. */
  readonly tool: Guard['tool'] = (name: string, spec: ToolSpec, run: ToolFunction) => {
    if (this.#sealed) {
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

  get revocations(): RevocationSource {
    return joinRevocationSources(this.#core.grants);
  }

  revocationHandler(options: RevocationHandlerOptions = {}): RevocationHandler {
    const { identity, grants, clock } = this.#core;
    return new RevocationPublisher(identity.x509, grants, clock, options).handle;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  offer(): GrantOffer {
    return this.#offers.make(this.#core.agent);
  }

  async startDelegated(grant: unknown, options: DelegatedTaskOptions): Promise<Task> {
    refuseNested();
    const { agent, identity, clock } = this.#core;
    const now = new Date(clock.now());
    let may: TaskOptions;
    let received: HeldGrant;
    let key: TaskKey;
    try {
      received = readHeldGrant(grant, { agent, bundles: identity.x509.bundles, now });
      may = delegatedTask(received, options, new Set(this.#tools.keys()));
      key = this.#offers.take(received.leaf.thumbprint);
    } catch (error) {
      if (error instanceof GrantError)
        await recordGrantRefusal(this.#core, error, { chain: tokensOf(grant) });
      throw error;
    }
    const { task } = await this.#start(may, { key, received });
    return task;
  }

  async accept(request: GrantCarrier, options: AcceptOptions): Promise<Task> {
    refuseNested();
    checkOptions(options, "{ tool: 'send_email', argsJson: body, issuers: ANY_SPIFFE_ID }");
    if (!this.#tools.has(options.tool))
      throw optionError('a call to accept', `the guard has no tool ${quote(options.tool)}`);
    const verified = await this.#receiver.judge(request, options);
    const { task } = await this.#start(taskFor(verified, options, this.#core.clock.now()), {
      verified,
    });
    return task;
  }

  async #start(
    options: TaskOptions,
    by: StartedBy = {},
  ): Promise<{ readonly core: TaskCore; readonly task: Task }> {
    refuseNested();
    this.#refuseClosed();
    const plan = parseTask(options, this.#tools);
    const { credentials } = this.#core;
    if (plan.credential !== undefined && credentials === undefined)
      throw optionError('the options of a task: credential', 'the guard was given no credentials');
    plan.signal?.throwIfAborted();
    await this.#seal();
    this.#refuseClosed();
    // It may have aborted meanwhile, and does not tell anyone who listens from now on.
    plan.signal?.throwIfAborted();
    this.#core.identity.x509.svid();
    const core = this.#createTask(plan, by);
    const task = new Task(core, taskFetch(core, this.#fetchTool));
    this.#tasks.set(core, task);
    try {
      await this.#recordStart(core);
      await recordGrant(core, by);
      if (plan.credential !== undefined && credentials !== undefined)
        await certify(core, credentials);
      const ended = core.ended();
      if (ended !== undefined) throw ended;
    } catch (error) {
      core.endInBackground('ended', 'it could not be started');
      throw error;
    }
    return { core, task };
  }

  #createTask(plan: TaskPlan, { key, received, verified }: StartedBy): TaskCore {
    const { agent, startSpan } = this.#core;
    // It tells when: whoever judges an SVID of the task must know which process of the agent it is of.
    const id = uuidV7(this.#core.clock.now());
    const pins = new Map<string, string>();
    for (const name of plan.rules.keys()) {
      const defined = this.#tools.get(name)?.define();
      pins.set(name, defined?.digest ?? '');
      if (defined !== undefined) this.#note(defined);
    }
    const made = {
      id,
      key: key ?? new TaskKey(),
      span: startSpan({ agent, taskId: id }),
      pins,
      returnsOf: (name: string): Labels => this.#tools.get(name)?.describe().returns ?? WORST,
      received,
      shown: verified?.chain,
      only: verified && { tool: verified.tool, args: canonicalJson(verified.args) },
    };
    const core: TaskCore = new TaskCore(this.#core, plan, made, () => this.#tasks.delete(core));
    return core;
  }

  /** From here on the engine decides about these tools, or about nothing. */
  async #seal(): Promise<void> {
    this.#sealed = true;
    const preparing = (this.#prepared ??= this.#prepare());
    try {
      await preparing;
    } catch (error) {
      // What kept it from them, such as a directory that is not there yet, may be gone when the next task starts.
      if (this.#prepared === preparing) this.#prepared = undefined;
      throw error;
    }
  }

  #prepare(): Promise<void> {
    for (const tool of this.#tools.values()) this.#note(tool.define());
    return prepare(this.#core.policy, this.tools);
  }

  #refuseClosed(): void {
    if (this.#closed !== undefined)
      throw new SpiffeError('ERR_SPIFFE_TASK_ENDED', 'cannot start a task: the guard is closed');
  }

  #note({ digest, named }: Defined): void {
    if (!this.#told.has(digest)) this.#untold.set(digest, named);
  }

  async #recordStart(task: TaskCore): Promise<void> {
    const definitions = new Map(this.#untold);
    await recordStart(task, definitions);
    // Not before they are durable: the start of another task may have failed.
    for (const digest of definitions.keys()) {
      this.#told.add(digest);
      this.#untold.delete(digest);
    }
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    this.#unwatch?.();
    const results = await Promise.allSettled(
      [...this.#tasks.keys()].map((task) => task.end('ended')),
    );
    await this.#watching;
    await this.#core.policy.close?.();
    await this.#audit.close();
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}

/** What a task was started by, beside what its owner says. */
interface StartedBy {
  /** The key that was offered for it. */
  readonly key?: TaskKey;
  /** The grant that it holds. */
  readonly received?: HeldGrant;
  /** The call of another that it carries out. */
  readonly verified?: VerifiedGrant;
}

async function recordGrant(task: TaskCore, { received, verified }: StartedBy): Promise<void> {
  const { recorder } = task.guard;
  const event = { kind: 'grant.accept', task: task.ref } as const;
  if (received !== undefined) {
    const { ids, leaf, rootIssuer: issuer } = received;
    await recorder.append({ ...event, grant: refOf(ids, leaf), issuer });
  } else if (verified !== undefined) {
    const { chain, leaf, issuer, tool, proofId: proof } = verified;
    const grant = refOf(
      chain.map(({ jti }) => jti),
      leaf,
    );
    await recorder.append({ ...event, grant, issuer: issuer.toString(), tool, proof });
  }
}

/** Gets the task its credential; the record of the task is not closed before that of the credential is written. */
async function certify(core: TaskCore, credentials: TaskCredentials): Promise<void> {
  core.enter();
  try {
    core.credential = await TaskCredential.open(core, credentials);
  } finally {
    core.leave();
  }
}

async function recordStart(
  task: TaskCore,
  definitions: ReadonlyMap<string, JsonRecord>,
): Promise<void> {
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
    ...(definitions.size > 0 && { toolDefinitions: Object.fromEntries(definitions) }),
    budget: budget.toJSON(),
    business,
    keyThumbprint: task.key.thumbprint,
  });
}

async function prepare(policy: PolicyEngine, tools: readonly ToolDescription[]): Promise<void> {
  try {
    await policy.prepare(tools);
  } catch (error) {
    if (error instanceof SpiffeError) throw error;
    throw new SpiffeError(
      'ERR_SPIFFE_POLICY_INVALID',
      'cannot start a task: the policy engine could not prepare for the tools of the guard',
      { cause: error },
    );
  }
}
