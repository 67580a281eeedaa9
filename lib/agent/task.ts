import { SpiffeError } from '../errors.js';
import type { JwtSvid } from '../identity/jwt/svid.js';
import type { BoundFetch, Identity, JwtFetchOptions } from '../identity/source.js';
import { current } from './core.js';
import type { DelegateOptions } from './delegation/delegate-options.js';
import type { Delegation } from './delegation/delegation.js';
import type { Confidentiality, Labels } from './flow/labels.js';
import { checkText, optionError } from './options.js';
import { type DeclassifyOptions, declassify, type EndorseOptions, endorse } from './relabel.js';
import type { TaskCore, TaskState } from './task-core.js';
import type { TaskKey } from './task-key.js';

/** A task as its owner holds it: to act in, to ask about, to end. */
export class Task {
  readonly id: string;
  readonly purpose: string;
  readonly startedAt: Date;
  readonly clearance: Confidentiality;
  /** The names of the tools that it may call. */
  readonly tools: readonly string[];
  /** Aborts when the task ends, however it ends. */
  readonly signal: AbortSignal;
  /** Its own key, which never leaves the process and is gone with it. */
  readonly key: TaskKey;
  /**
   * The guard's `fetch` as a guarded call: a tool called `fetch`, with arguments `url`, `method`, `headers` and `body`
   * (or `bodyBase64`, for bytes), that the task must be given like any other. Policies and the record are shown the names
   * of headers, and digests under a secret key in place of their values. Its labels and its sink are those that the
   * guard's `origins` say.
   */
  readonly fetch: BoundFetch;
  readonly #core: TaskCore;

  /** @internal */
  constructor(core: TaskCore, fetch: BoundFetch) {
    this.#core = core;
    this.id = core.ref.id;
    this.purpose = core.ref.purpose;
    this.startedAt = core.startedAt;
    this.clearance = core.plan.clearance;
    this.tools = Object.freeze([...core.plan.rules.keys()]);
    this.signal = core.signal;
    this.key = core.key;
    this.fetch = fetch;
    Object.freeze(this);
  }

  get state(): TaskState {
    return this.#core.state;
  }

  /**
   * Who the task is, where it was started with `credential: 'svid'`: an identity like any other, for `createFetch`,
   * `createServer` and all that takes one. It is closed at the end of the task, and its connections close with it.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` when the task has no credential of its own.
   */
  get identity(): Identity {
    const { credential } = this.#core;
    if (credential !== undefined) return credential.identity;
    throw optionError('the identity of a task', "it was started without credential: 'svid'");
  }

  /** When it ends by itself; an obligation of a policy may have brought that nearer. */
  get expiresAt(): Date {
    return this.#core.expiresAt;
  }

  /** What it has read so far, and is reading. */
  get labels(): Labels {
    return this.#core.flow.labels;
  }

  /** How many calls it may still make. */
  get callsLeft(): number {
    return this.#core.budget.left('').callsLeft;
  }

  /**
   * Runs a function within the task, which goes on afterwards. Guarded tools called there, however deep, belong to it.
   * Rejects when the task ends before the function does.
   *
   * @throws SpiffeError `ERR_SPIFFE_TASK_NESTED` within a task, `ERR_SPIFFE_TASK_ENDED`; and what the function throws.
   */
  async run<T>(run: (task: Task) => T | Promise<T>): Promise<T> {
    refuseNested();
    const core = this.#core;
    const ended = core.ended();
    if (ended !== undefined) throw ended;
    const running = { task: core, depth: 0 };
    return await core.wait(
      core.span.within(() => current.run(running, async () => await run(this))),
    );
  }

  /**
   * Asks the policy (`labels/declassify`) to count what has been read so far as less confidential, and lowers the label
   * once that is on record. What is being read meanwhile keeps its own.
   *
   * @throws SpiffeError `ERR_SPIFFE_DENIED`, `ERR_SPIFFE_TASK_ENDED`, `ERR_SPIFFE_AUDIT_UNAVAILABLE`, and
   * `ERR_SPIFFE_OPTION_INVALID` when nothing would be lowered.
   */
  declassify(options: DeclassifyOptions): Promise<void> {
    return declassify(this.#core, options);
  }

  /** Asks the policy (`labels/endorse`) to count what has been read so far as trusted; otherwise as {@link Task.declassify}. */
  endorse(options: EndorseOptions): Promise<void> {
    return endorse(this.#core, options);
  }

  /** The ids of the tokens that it was started by, root first; none when it was started here. */
  get grantIds(): readonly string[] {
    return this.#core.grants.received?.ids ?? [];
  }

  /**
   * Passes a part of what the task may do on to another agent. The first time a task that was started without a grant
   * passes something on, its root is signed by the SVID of the agent, and again after a rotation of that. All of it is
   * over with the task.
   *
   * @throws SpiffeError `ERR_SPIFFE_GRANT_INVALID` when it would be wider than the task in a tool, an argument, its life,
   * its budget or its depth, naming which; `ERR_SPIFFE_OPTION_INVALID`, `ERR_SPIFFE_TASK_ENDED`,
   * `ERR_SPIFFE_AUDIT_UNAVAILABLE`, and what `identity.x509.svid()` throws.
   */
  delegate(options: DelegateOptions): Promise<Delegation> {
    return this.#core.grants.delegate(options);
  }

  /**
   * Puts a grant that its giver has made anew, by `delegation.renew()`, in the place of the one that the task was started
   * with, so that it goes on.
   *
   * @throws SpiffeError `ERR_SPIFFE_GRANT_INVALID`, `ERR_SPIFFE_OPTION_INVALID`, `ERR_SPIFFE_TASK_ENDED`,
   * `ERR_SPIFFE_AUDIT_UNAVAILABLE`
   */
  renewGrant(grant: unknown): Promise<void> {
    return this.#core.grants.renew(grant);
  }

  /**
   * A JWT-SVID for use in this task, on record. It is kept for this task alone, and dropped when that ends; whoever was
   * sent it may take it until it expires.
   *
   * @throws SpiffeError as the identity's own source does, `ERR_SPIFFE_TASK_ENDED`, and `ERR_SPIFFE_OPTION_INVALID`
   * when the identity has no such source.
   */
  async fetchJwtSvid(options: JwtFetchOptions): Promise<JwtSvid> {
    const core = this.#core;
    const { identity, recorder } = core.guard;
    const ended = core.ended();
    if (ended !== undefined) throw ended;
    if (identity.jwt === undefined)
      throw optionError(
        'a request for a JWT-SVID',
        'the identity of the guard has no source of them',
      );
    core.enter();
    try {
      const svid = await core.wait(
        identity.jwt.fetch({ ...options, during: core.signal }),
        options.signal,
      );
      const reference = svid.audience.join(' ');
      const credential = { operation: 'issued', credential: 'jwt-svid', reference } as const;
      await recorder.append({ kind: 'credential', task: core.ref, ...credential });
      const endedMeanwhile = core.ended();
      if (endedMeanwhile !== undefined) throw endedMeanwhile;
      core.tokens.set(reference, svid);
      return svid;
    } finally {
      core.leave();
    }
  }

  /**
   * Ends the task: aborts the calls that run, lets go of its key and tokens, closes its record. Idempotent; resolves when
   * the record is closed.
   *
   * @throws SpiffeError `ERR_SPIFFE_AUDIT_UNAVAILABLE` when it could not be closed.
   */
  end(): Promise<void> {
    return this.#core.end('ended');
  }

  /** Ends the task because it must not go on, and says why; otherwise as {@link Task.end}. */
  async revoke(reason: string): Promise<void> {
    await this.#core.end('revoked', checkText('a reason to revoke a task', reason));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }
}

/** @throws SpiffeError `ERR_SPIFFE_TASK_NESTED` within a task. */
export function refuseNested(): void {
  const running = current.getStore();
  if (running === undefined) return;
  throw new SpiffeError(
    'ERR_SPIFFE_TASK_NESTED',
    `cannot begin a task within the task ${running.task.ref.id}: what it may do would no longer be bounded by that one`,
  );
}
