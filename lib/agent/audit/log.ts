import type { Identity } from '../../identity/source.js';
import type { AuditEvent } from './events.js';

/** Where the guard writes down what is about to happen, and what came of it. */
export interface AuditLog {
  /** Called once, when a guard is created with it, with the identity that the guard speaks for. */
  open(identity: Identity): Promise<void>;
  /**
   * Resolves once the record is durable. The guard acts on an intent only then.
   *
   * @throws SpiffeError `ERR_SPIFFE_AUDIT_UNAVAILABLE` when it could not be made durable.
   */
  append(event: AuditEvent): Promise<{ readonly index: number }>;
  /** Signs what has been appended so far. */
  checkpoint(): Promise<void>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
