import { AsyncLocalStorage } from 'node:async_hooks';
import type { BoundFetch, Identity } from '../identity/source.js';
import type { Clock } from '../internal/clock.js';
import type { Logger } from '../log.js';
import type { Approver } from './approval/approver.js';
import type { CallRef } from './audit/events.js';
import type { TaskCredentials } from './credential/credentials.js';
import type { PolicyEngine } from './policy/engine.js';
import type { Recorder } from './recorder.js';
import type { IssuedGrants } from './revocation/issued-grants.js';
import type { RevocationSource } from './revocation/source.js';
import type { TaskCore } from './task-core.js';
import type { StartSpan } from './telemetry.js';

/** What the tasks and the calls of one guard share. */
export interface GuardCore {
  readonly identity: Identity;
  /** The SPIFFE ID that the guard was created for. */
  readonly agent: string;
  readonly fetch: BoundFetch | undefined;
  readonly policy: PolicyEngine;
  readonly policyTimeoutMs: number;
  readonly approver: Approver | undefined;
  readonly approvalTimeoutMs: number;
  /** Where the credentials of tasks come from; `undefined` where they have none. */
  readonly credentials: TaskCredentials | undefined;
  /** What its tasks have signed for others. */
  readonly grants: IssuedGrants;
  /** Asked about every token of a chain: its own grants, and whatever the guard was given for those of others. */
  readonly revocation: RevocationSource;
  readonly recorder: Recorder;
  readonly startSpan: StartSpan;
  readonly evaluateOnly: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What runs at this moment. */
export interface Running {
  readonly task: TaskCore;
  /** The guarded call whose function runs; absent in the task's own code. */
  readonly call?: CallRef;
  /** How many guarded calls lie around it. */
  readonly depth: number;
}

/** Carries the task through everything that is started within it. */
export const current: AsyncLocalStorage<Running> = new AsyncLocalStorage<Running>();
