import {
  functionPolicy,
  type Guard,
  type TaskCredentialRequest,
  type TaskOptions,
} from 'agent-spiffe/agent';
import { FakeClock, TestCa } from 'agent-spiffe/testing';
import { createGuardWith } from '#lib/agent/guard.js';
import { MemoryLog } from '../agent/support.js';
import { type MemoryLogger, memoryLogger } from './memory-logger.js';
import { type StaticIdentity, staticIdentity } from './static-identity.js';

export const AGENT = 'spiffe://example.org/agents/researcher';

/** Gives credentials as a test wants: by a CA, unless told otherwise. */
export class TestCredentials {
  readonly asked: TaskCredentialRequest[] = [];
  /** The life of what is given, unless the task ends before. */
  ttlMs = 300_000;
  readonly #ca: TestCa;
  readonly #clock: FakeClock;
  /** In place of the CA. */
  answer: (request: TaskCredentialRequest) => Promise<readonly Uint8Array[]>;

  constructor(ca: TestCa, clock: FakeClock) {
    this.#ca = ca;
    this.#clock = clock;
    this.answer = this.sign;
  }

  issue(request: TaskCredentialRequest): Promise<readonly Uint8Array[]> {
    this.asked.push(request);
    return this.answer(request);
  }

  readonly sign = ({ csr, expiresAt }: TaskCredentialRequest): Promise<readonly Uint8Array[]> => {
    const ttlMs = Math.min(this.ttlMs, expiresAt.getTime() - this.#clock.now());
    return Promise.resolve(this.#ca.mint(csr, { ttlMs }));
  };
}

/** A guard whose tasks get credentials, with all of it in a test's hand. */
export interface CredentialBench {
  readonly guard: Guard;
  readonly ca: TestCa;
  readonly clock: FakeClock;
  readonly log: MemoryLog;
  readonly identity: StaticIdentity;
  readonly credentials: TestCredentials;
  readonly logger: MemoryLogger;
}

export async function credentialBench(): Promise<CredentialBench> {
  const clock = new FakeClock(new Date());
  const ca = TestCa.create('example.org', { now: () => new Date(clock.now()) });
  const log = new MemoryLog();
  const identity = staticIdentity(ca, AGENT);
  const credentials = new TestCredentials(ca, clock);
  const logger = memoryLogger();
  const guard = await createGuardWith(
    { identity, policy: functionPolicy(() => true), audit: log, credentials, logger },
    clock,
  );
  return { guard, ca, clock, log, identity, credentials, logger };
}

/** Options of a task with a credential. */
export function withSvid(more: Partial<TaskOptions> = {}): TaskOptions {
  const nothing = { purpose: 'a test', tools: {}, budget: { calls: 1 }, ttlMs: 600_000 };
  return { ...nothing, credential: 'svid', ...more };
}
