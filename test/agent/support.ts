import { SpiffeError } from 'agent-spiffe';
import {
  type AuditEvent,
  type AuditLog,
  functionPolicy,
  type Guard,
  type GuardOptions,
  type PolicyFunction,
  type TaskOptions,
} from 'agent-spiffe/agent';
import { FakeClock, TestCa } from 'agent-spiffe/testing';
import { createGuardWith } from '#lib/agent/guard.js';
import { type StaticIdentity, staticIdentity } from '../support/static-identity.js';

export const AGENT = 'spiffe://example.org/agents/researcher';
const ca = TestCa.create('example.org');

/** A log in memory, whose records a test can read, hold back and refuse. */
export class MemoryLog implements AuditLog {
  readonly events: AuditEvent[] = [];
  checkpoints = 0;
  opened = 0;
  closed = 0;
  /** Called before a record counts as durable; what it throws or rejects with fails the append. */
  before: (event: AuditEvent) => unknown = () => undefined;

  open(): Promise<void> {
    this.opened += 1;
    return Promise.resolve();
  }

  async append(event: AuditEvent): Promise<{ readonly index: number }> {
    await this.before(event);
    return { index: this.events.push(event) - 1 };
  }

  checkpoint(): Promise<void> {
    this.checkpoints += 1;
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.closed += 1;
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  of<K extends AuditEvent['kind']>(kind: K): (AuditEvent & { readonly kind: K })[] {
    return this.events.filter(
      (event): event is AuditEvent & { readonly kind: K } => event.kind === kind,
    );
  }

  get kinds(): readonly string[] {
    return this.events.map(({ kind }) => kind);
  }
}

/** A guard for a test, and all that it was made with. */
export interface Bench {
  readonly guard: Guard;
  readonly log: MemoryLog;
  readonly clock: FakeClock;
  readonly identity: StaticIdentity;
}

/** A guard that permits what its labels, constraints and budgets do, unless told otherwise. */
export async function bench(
  options: Partial<Omit<GuardOptions, 'policy'>> & {
    readonly policy?: GuardOptions['policy'] | PolicyFunction;
  } = {},
): Promise<Bench> {
  const log = new MemoryLog();
  const clock = new FakeClock(new Date('2026-11-24T12:00:00Z'));
  const identity = staticIdentity(ca, AGENT);
  const { policy = () => true, ...rest } = options;
  const engine = typeof policy === 'function' ? functionPolicy(policy) : policy;
  const guard = await createGuardWith({ identity, audit: log, ...rest, policy: engine }, clock);
  return { guard, log, clock, identity };
}

/** Options of a task that may do this and has nothing else of interest. */
export function taskOf(tools: TaskOptions['tools'], more: Partial<TaskOptions> = {}): TaskOptions {
  return { purpose: 'a test', tools, budget: { calls: 1_000_000 }, ttlMs: 60_000, ...more };
}

/** Another SVID of the same workload. */
export function rotated(): ReturnType<TestCa['issue']> {
  return ca.issue(AGENT);
}

/** An SVID of another workload. */
export function renamed(): ReturnType<TestCa['issue']> {
  return ca.issue('spiffe://example.org/agents/other');
}

/** The refusal with which a promise rejects. */
export async function rejection(promise: Promise<unknown>): Promise<SpiffeError> {
  const error: unknown = await promise.then(
    (value) => new Error(`it was not refused: ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  );
  if (error instanceof SpiffeError) return error;
  throw error;
}

/** A promise that a test settles. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

export function deferred<T>(): Deferred<T> {
  let settle: Omit<Deferred<T>, 'promise'> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { promise, ...(settle as Omit<Deferred<T>, 'promise'>) };
}
