import { SpiffeError } from '../../errors.js';
import type { Identity } from '../../identity/source.js';
import { SpiffeId } from '../../identity/spiffe-id.js';
import type { X509Svid } from '../../identity/x509/svid.js';
import { verifyX509Svid } from '../../identity/x509/verify.js';
import { type BackoffLimits, backoffMs } from '../../internal/backoff.js';
import type { ClockTimer } from '../../internal/clock.js';
import { Turns } from '../../internal/turns.js';
import type { CredentialEvent } from '../audit/events.js';
import type { TaskCore } from '../task-core.js';
import type { TaskCredentials } from './credentials.js';
import { CredentialKey } from './key.js';
import { TaskX509Source } from './task-source.js';

/** What audit events call it. */
const X509_SVID = 'x509-svid';

/** An SVID ends with a whole second: when it ends less than this before the task, none that lives longer can come. */
const LAST_MS = 1_000;
/** When many tasks start at once, the authority works for the first while the requests of the others are made. */
const turns = new Turns();
const RETRY: BackoffLimits = { firstMs: 500, longestMs: 10_000 };

/** What the record of a credential names it by. */
type CredentialName = Pick<CredentialEvent, 'credential' | 'reference' | 'subject'>;

/** The SVID of one task: asked for, put on record, renewed while the task lives, dropped with it. */
export class TaskCredential {
  readonly identity: Identity;
  readonly #task: TaskCore;
  readonly #credentials: TaskCredentials;
  readonly #key: CredentialKey;
  readonly #csr: Uint8Array;
  readonly #source: TaskX509Source;
  #reference: CredentialName;
  #timer: ClockTimer | undefined;
  #failures = 0;

  private constructor(
    task: TaskCore,
    credentials: TaskCredentials,
    made: { readonly key: CredentialKey; readonly csr: Uint8Array; readonly svid: X509Svid },
  ) {
    const { identity, clock } = task.guard;
    this.#task = task;
    this.#credentials = credentials;
    this.#key = made.key;
    this.#csr = made.csr;
    this.#source = new TaskX509Source(identity.x509, clock, task.ref.id, made.svid);
    this.identity = Object.freeze({ x509: this.#source });
    this.#reference = nameOf(made.svid);
    this.#schedule(made.svid);
  }

  /**
   * Gets the first SVID of a task. What could not be put on record is not used.
   *
   * @throws SpiffeError `ERR_SPIFFE_CREDENTIAL_DENIED`, `ERR_SPIFFE_CREDENTIAL_UNAVAILABLE`,
   * `ERR_SPIFFE_AUDIT_UNAVAILABLE`; whatever ended the task meanwhile.
   */
  static async open(task: TaskCore, credentials: TaskCredentials): Promise<TaskCredential> {
    await task.wait(turns.next());
    const key = new CredentialKey();
    try {
      const csr = key.request(idOf(task));
      const svid = await task.wait(obtain(task, credentials, key, csr));
      await record(task, 'issued', svid);
      return new TaskCredential(task, credentials, { key, csr, svid });
    } catch (error) {
      key.destroy();
      throw error;
    }
  }

  /** The newest one, by what the record of it says. */
  get name(): CredentialName {
    return this.#reference;
  }

  /** Lets go of the key and the SVID; connections that rest on them close. Idempotent. */
  close(): void {
    this.#task.guard.clock.clearTimeout(this.#timer);
    this.#source.close();
    this.#key.destroy();
  }

  #schedule(svid: X509Svid): void {
    const left = svid.notAfter.getTime() - this.#task.guard.clock.now();
    if (this.#task.expiresAt.getTime() - svid.notAfter.getTime() > LAST_MS) this.#wait(left / 2);
  }

  #wait(ms: number): void {
    const timer = this.#task.guard.clock.setTimeout(() => void this.#renew(), Math.max(0, ms));
    // A task that was forgotten keeps no process up.
    if (typeof timer === 'object') timer.unref();
    this.#timer = timer;
  }

  /** Never rejects. */
  async #renew(): Promise<void> {
    const task = this.#task;
    task.enter();
    try {
      const svid = await task.wait(obtain(task, this.#credentials, this.#key, this.#csr));
      await record(task, 'renewed', svid);
      if (task.ended() !== undefined) return;
      this.#failures = 0;
      this.#source.renew(svid);
      this.#reference = nameOf(svid);
      this.#schedule(svid);
    } catch (error) {
      if (task.ended() === undefined) this.#failed(error);
    } finally {
      task.leave();
    }
  }

  #failed(error: unknown): void {
    const { logger } = this.#task.guard;
    const task = this.#task.ref.id;
    if (error instanceof SpiffeError && error.code === 'ERR_SPIFFE_CREDENTIAL_DENIED') {
      this.#task.endInBackground('revoked', 'its credential was refused', error);
      return;
    }
    logger.warn({ err: error, task }, 'the credential of a task was not renewed');
    this.#failures += 1;
    this.#source.stale();
    this.#wait(backoffMs(RETRY, this.#failures, Math.random()));
  }
}

/** `…/task/<id>` below the agent's own ID. */
function idOf(task: TaskCore): SpiffeId {
  return SpiffeId.parse(`${task.guard.agent}/task/${task.ref.id}`);
}

/** An SVID that is what was asked for: this ID, this key, no longer than the task, and verified by our bundles. */
async function obtain(
  task: TaskCore,
  credentials: TaskCredentials,
  key: CredentialKey,
  csr: Uint8Array,
): Promise<X509Svid> {
  const { identity, clock } = task.guard;
  const { expiresAt, signal } = task;
  const { id: taskId, purpose } = task.ref;
  const chain = await credentials.issue({ csr, taskId, purpose, expiresAt, signal });
  const id = idOf(task);
  const wrong = (why: string, cause?: unknown): SpiffeError =>
    new SpiffeError(
      'ERR_SPIFFE_CREDENTIAL_UNAVAILABLE',
      `cannot use the credential that came for ${id}: ${why}`,
      { cause },
    );
  let svid: X509Svid;
  try {
    svid = key.svid(chain);
    verifyX509Svid(svid.certificates, identity.x509.bundles, { now: new Date(clock.now()) });
  } catch (cause) {
    throw wrong('it is no SVID for its key that our bundles verify', cause);
  }
  if (!svid.id.equals(id)) throw wrong(`it is for ${svid.id}`);
  task.guard.grants.certify(task, svid.notAfter.getTime());
  if (svid.notAfter > expiresAt)
    throw wrong(
      `it is valid until ${svid.notAfter.toISOString()}, and the task ends ${expiresAt.toISOString()}; are the clocks right?`,
    );
  return svid;
}

function nameOf(svid: X509Svid): CredentialName {
  const { id, serialNumber } = svid;
  return { credential: X509_SVID, reference: serialNumber, subject: id.toString() };
}

function record(task: TaskCore, operation: 'issued' | 'renewed', svid: X509Svid): Promise<void> {
  return task.guard.recorder.append({
    kind: 'credential',
    task: task.ref,
    operation,
    ...nameOf(svid),
    expiresAt: svid.notAfter.getTime(),
  });
}
