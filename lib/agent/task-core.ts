import { setMaxListeners } from 'node:events';
import type { JwtSvid } from '../identity/jwt/svid.js';
import type { ClockTimer } from '../internal/clock.js';
import type { GrantRef, TaskEnding, TaskRef } from './audit/events.js';
import type { Budget } from './budget.js';
import { BusyTime } from './busy-time.js';
import type { ArgumentRules } from './constraint/arguments.js';
import type { GuardCore } from './core.js';
import type { TaskCredential } from './credential/task-credential.js';
import type { HeldGrant } from './delegation/held-grant.js';
import { TaskGrants } from './delegation/task-grants.js';
import { DeniedError } from './denied.js';
import { Flow } from './flow/flow.js';
import type { Labels } from './flow/labels.js';
import type { GrantLink } from './grant/link.js';
import type { TaskKey } from './task-key.js';
import type { TaskPlan } from './task-options.js';
import type { Span } from './telemetry.js';

/** Where a task stands. Only an open one may act. */
export type TaskState = 'open' | 'ended' | 'expired' | 'revoked';

const STATES: Readonly<Record<TaskEnding, TaskState>> = {
  returned: 'ended',
  threw: 'ended',
  ended: 'ended',
  budget: 'ended',
  expired: 'expired',
  revoked: 'revoked',
};

/** A call that was judged when its task was started. */
export interface OnlyCall {
  readonly tool: string;
  readonly args: string;
}

/** How many calls a policy is told of. */
const LONGEST_CHAIN = 100;

/** A call in the chain of a task. */
export interface ChainLink {
  readonly tool: string;
}

/** A task as its calls see it. */
export class TaskCore {
  readonly guard: GuardCore;
  readonly ref: TaskRef;
  readonly plan: TaskPlan;
  readonly budget: Budget;
  readonly flow: Flow;
  /** What it was given by others, and what it gives to others. */
  readonly grants: TaskGrants;
  /** The most that a tool may return, as far as its spec says. */
  readonly returnsOf: (tool: string) => Labels;
  /** The one call that it was started for: its tool, and the canonical JSON of its arguments. */
  readonly only: OnlyCall | undefined;
  readonly key: TaskKey;
  readonly span: Span;
  /** Digests of the tools' definitions when the task started. */
  readonly pins: ReadonlyMap<string, string>;
  readonly startedAt: Date;
  /** RFC 3339, as policies are told. */
  readonly startedText: string;
  readonly signal: AbortSignal;
  /** Tokens that were fetched for it, by audience. */
  readonly tokens: Map<string, JwtSvid> = new Map<string, JwtSvid>();
  /** Its own SVID, once that is on record. */
  credential: TaskCredential | undefined;
  state: TaskState = 'open';
  calls = 0;
  denied = 0;
  bytesOut = 0;
  readonly #controller = new AbortController();
  readonly #chain: ChainLink[] = [];
  readonly #waiting = new Set<(error: DeniedError) => void>();
  readonly #busy: BusyTime | undefined;
  readonly #forget: () => void;
  #ownEnd: number;
  /** Of the grant that it was started with; put off when that is made anew. */
  #grantEnd: number;
  #expiresAt: Date;
  #expiresText: string;
  #timer: ClockTimer | undefined;
  readonly #shown: readonly GrantLink[];
  #revoked: readonly GrantRef[] = [];
  #underWay = 0;
  #idle: (() => void) | undefined;
  #error: DeniedError | undefined;
  #closed: Promise<void> | undefined;

  constructor(
    guard: GuardCore,
    plan: TaskPlan,
    made: {
      readonly id: string;
      readonly key: TaskKey;
      readonly span: Span;
      readonly pins: ReadonlyMap<string, string>;
      readonly returnsOf: (tool: string) => Labels;
      /** The grant that it is started with. */
      readonly received?: HeldGrant | undefined;
      /** The tokens by which another called it. */
      readonly shown?: readonly GrantLink[] | undefined;
      readonly only?: OnlyCall | undefined;
    },
    forget: () => void,
  ) {
    const { purpose, endUser } = plan;
    const { id } = made;
    this.guard = guard;
    this.plan = plan;
    this.ref = Object.freeze({ id, purpose, ...(endUser !== undefined && { endUser }) });
    this.budget = plan.budget;
    this.flow = new Flow(plan.labels);
    this.key = made.key;
    this.span = made.span;
    this.pins = made.pins;
    this.returnsOf = made.returnsOf;
    this.only = made.only;
    this.grants = new TaskGrants(this, made.received);
    this.#shown = made.shown ?? [];
    this.#forget = forget;
    this.startedAt = new Date(guard.clock.now());
    this.startedText = this.startedAt.toISOString();
    this.#ownEnd = this.startedAt.getTime() + plan.ttlMs;
    this.#grantEnd = made.received?.leaf.expiresAt.getTime() ?? Number.POSITIVE_INFINITY;
    this.#expiresAt = new Date(Math.min(this.#ownEnd, this.#grantEnd));
    this.#expiresText = this.#expiresAt.toISOString();
    this.signal = this.#controller.signal;
    // One listener for each call that runs is no leak. Not 0, for "no bound": Node 20's getMaxListeners throws at it.
    setMaxListeners(Number.MAX_SAFE_INTEGER, this.signal);
    const { wallTimeMs } = plan.budget;
    if (wallTimeMs !== undefined)
      this.#busy = new BusyTime(guard.clock, wallTimeMs, () =>
        this.endInBackground('budget', 'its wall time is spent'),
      );
    this.#setTimer();
    plan.signal?.addEventListener('abort', this.#aborted);
  }

  get expiresAt(): Date {
    return this.#expiresAt;
  }

  get expiresText(): string {
    return this.#expiresText;
  }

  rules(tool: string): ArgumentRules | undefined {
    return this.plan.rules.get(tool);
  }

  /**
   * Why nothing may be done in the task any more; `undefined` while it is open. Looks at the clock, the identity, and what
   * became of the grant that it works by.
   */
  ended(): DeniedError | undefined {
    if (this.#error !== undefined) return this.#error;
    if (this.guard.clock.now() >= this.#expiresAt.getTime()) {
      this.endInBackground('expired', 'its time is over');
    } else if (this.#isRevoked()) {
      this.endInBackground('revoked', 'the grant that it works by was revoked');
    } else {
      try {
        const { id } = this.guard.identity.x509.svid();
        if (id.toString() !== this.guard.agent)
          this.endInBackground('revoked', `the identity is now ${id}`);
      } catch (error) {
        this.endInBackground('revoked', 'the identity was lost', error);
      }
    }
    return this.#error;
  }

  /** What nobody can tell of goes on: whoever it calls will refuse it. */
  #isRevoked(): boolean {
    const { revocation } = this.guard;
    const links = this.grants.received?.links ?? this.#shown;
    return links.some((link) => revocation.status(link) === 'revoked');
  }

  /** The tools called so far, oldest first. */
  chain(without?: ChainLink): readonly string[] {
    return this.#chain.filter((link) => link !== without).map(({ tool }) => tool);
  }

  /** A call has been admitted. */
  link(tool: string): ChainLink {
    const link = { tool };
    this.#chain.push(link);
    if (this.#chain.length > LONGEST_CHAIN) this.#chain.shift();
    return link;
  }

  /** It was refused after all. */
  unlink(link: ChainLink): void {
    const at = this.#chain.indexOf(link);
    if (at >= 0) this.#chain.splice(at, 1);
  }

  /** A call is under way until {@link leave}: the record is closed after it. */
  enter(): void {
    this.#underWay += 1;
  }

  leave(): void {
    this.#underWay -= 1;
    if (this.#underWay === 0) this.#idle?.();
  }

  /**
   * Does something for the task beside its calls, which its record waits for.
   *
   * @throws DeniedError when the task has ended, or ends meanwhile.
   */
  async within<T>(act: () => Promise<T>): Promise<T> {
    const before = this.ended();
    if (before !== undefined) throw before;
    this.enter();
    try {
      const made = await act();
      const after = this.ended();
      if (after !== undefined) throw after;
      return made;
    } finally {
      this.leave();
    }
  }

  /** The function of a tool runs. */
  busy(): void {
    this.#busy?.begin();
  }

  /** It has ended. */
  unbusy(): void {
    this.#busy?.end();
  }

  /** Waits, but no longer than the task lives and `outer` allows. */
  wait<T>(promise: Promise<T>, outer?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const stop = (): void => {
        if (this.#waiting.delete(end) && this.#waiting.size === 0) this.#holdUp(false);
        outer?.removeEventListener('abort', abort);
      };
      const end = (error: unknown): void => {
        stop();
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- an abort rejects with the signal's reason
        reject(error);
      };
      const abort = (): void => end(outer?.reason);
      this.#waiting.add(end);
      if (this.#waiting.size === 1) this.#holdUp(true);
      outer?.addEventListener('abort', abort);
      const settle = (value: T): void => {
        stop();
        resolve(value);
      };
      promise.then(settle, end);
      if (this.#error !== undefined) end(this.#error);
      if (outer?.aborted === true) abort();
    });
  }

  /** Brings the end nearer; never puts it off. */
  shorten(ttlMs: number): void {
    const end = this.guard.clock.now() + ttlMs;
    if (end >= this.#ownEnd) return;
    this.#ownEnd = end;
    this.#setEnd();
  }

  /** Its grant is good until then, now that it was made anew. */
  boundBy(expiresAt: Date): void {
    this.#grantEnd = expiresAt.getTime();
    this.#setEnd();
  }

  #setEnd(): void {
    if (this.state !== 'open') return;
    this.#expiresAt = new Date(Math.min(this.#ownEnd, this.#grantEnd));
    this.#expiresText = this.#expiresAt.toISOString();
    this.#setTimer();
  }

  /**
   * Ends the task, once: aborts what runs, lets go of its credentials, and closes its record when that has stopped.
   *
   * @throws SpiffeError `ERR_SPIFFE_AUDIT_UNAVAILABLE` when the record cannot be closed.
   */
  end(ending: TaskEnding, why?: string, cause?: unknown): Promise<void> {
    if (this.#closed !== undefined) return this.#closed;
    this.state = STATES[ending];
    const told = why === undefined ? '' : `: ${why}`;
    this.#error = new DeniedError(
      {
        reason: 'task-ended',
        message: `cannot act in the task ${this.ref.id}, which is ${this.state}${told}`,
        policies: [],
      },
      cause,
    );
    this.#closed = this.#close(ending, why);
    this.guard.clock.clearTimeout(this.#timer);
    this.#busy?.stop();
    this.plan.signal?.removeEventListener('abort', this.#aborted);
    for (const stop of this.#waiting) stop(this.#error);
    this.#controller.abort(this.#error);
    this.key.destroy();
    this.#revoked = this.guard.grants.endTask(this.ref.id);
    this.credential?.close();
    return this.#closed;
  }

  /** The same, where there is no one to tell. */
  endInBackground(ending: TaskEnding, why: string, cause?: unknown): void {
    this.end(ending, why, cause).catch((error: unknown) => {
      this.guard.logger.error(
        { err: error, task: this.ref.id },
        'the record of a task was not closed',
      );
    });
  }

  async #close(ending: TaskEnding, why: string | undefined): Promise<void> {
    const audiences = [...this.tokens.keys()];
    this.tokens.clear();
    // Not before the synchronous part of the end is over.
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
      if (this.#underWay === 0) resolve();
    });
    this.#forget();
    this.span.end();
    const { recorder } = this.guard;
    const task = this.ref;
    for (const reference of audiences) {
      const credential = { operation: 'dropped', credential: 'jwt-svid', reference } as const;
      await recorder.append({ kind: 'credential', task, ...credential });
    }
    const own = this.credential;
    if (own !== undefined) {
      // It may have come while the task ended.
      own.close();
      await recorder.append({ kind: 'credential', task, operation: 'dropped', ...own.name });
    }
    await Promise.all(
      this.#revoked.map((grant) => recorder.append({ kind: 'grant.revoke', task, grant })),
    );
    const { calls, denied, bytesOut } = this;
    await recorder.append({
      kind: 'task.end',
      task,
      ending,
      ...(why !== undefined && { reason: why }),
      calls,
      denied,
      bytesOut,
      labels: this.flow.labels,
    });
    await recorder.checkpoint();
  }

  readonly #aborted = (): void => {
    this.endInBackground('ended', 'the signal of its options aborted', this.plan.signal?.reason);
  };

  #setTimer(): void {
    const { clock } = this.guard;
    clock.clearTimeout(this.#timer);
    const expire = (): void => this.endInBackground('expired', 'its time is over');
    this.#timer = clock.setTimeout(expire, this.#expiresAt.getTime() - clock.now());
    this.#holdUp(this.#waiting.size > 0);
  }

  /** A task that nobody waits for keeps no process up until its time is over; one that somebody waits for does. */
  #holdUp(isAwaited: boolean): void {
    if (typeof this.#timer !== 'object') return;
    if (isAwaited) this.#timer.ref();
    else this.#timer.unref();
  }
}
