import type { SpiffeId } from '../../identity/spiffe-id.js';
import type { Clock } from '../../internal/clock.js';
import type { GrantRef } from '../audit/events.js';
import type { GrantStatus } from '../grant/verify.js';
import { optionError } from '../options.js';
import type { TaskCore } from '../task-core.js';
import { agentOf, isTask, type RevocableLink, type RevocationSource, taskIdOf } from './source.js';
import { Watchers } from './watchers.js';

/** How long a revoked token stays listed past its expiry: a verifier's clock may be behind ours. */
const KEPT_AFTER_MS = 60_000;
const SWEEP_EVERY_MS = 10_000;
const MOST = 100_000;

interface Issued {
  readonly grant: GrantRef;
  isRevoked: boolean;
}

/** A task that has had an SVID of its own. */
interface Certified {
  /** Of the SVID that is valid for longest, milliseconds since 1970. */
  expiresAt: number;
  hasEnded: boolean;
}

/** What is revoked now. */
export interface RevokedNow {
  /** Grows with each change of `ids` or `ended`, and with nothing else. */
  readonly sequence: number;
  /** Of the tokens that are revoked and have not expired, or did so less than a minute ago; oldest first. */
  readonly ids: readonly string[];
  /** The ids of the tasks that have ended, and had an SVID of which the same is true. */
  readonly ended: readonly string[];
}

/**
 * The grants that the tasks of one guard have signed, and the tasks that have had an SVID. The end of a task revokes them here
 * at once; each leaves when it has expired. What is of an earlier process of the same SPIFFE ID is not known here: its tasks
 * ended with it.
 */
export class IssuedGrants implements RevocationSource {
  /** When this began, in milliseconds since 1970: it answers for what was signed from here on. */
  readonly since: number;
  readonly #clock: Clock;
  readonly #agent: string;
  readonly #most: number;
  readonly #issued = new Map<string, Issued>();
  readonly #ofTask = new Map<string, Set<string>>();
  readonly #certified = new Map<string, Certified>();
  readonly #watchers = new Watchers();
  #sequence = 1;
  #nextSweep: number;

  constructor(clock: Clock, agent: string, most: number = MOST) {
    this.#clock = clock;
    this.#agent = agent;
    this.#most = most;
    this.since = clock.now();
    this.#nextSweep = this.since + SWEEP_EVERY_MS;
  }

  /** How many are remembered. */
  get size(): number {
    return this.#issued.size + this.#certified.size;
  }

  /**
   * A task has signed it. To be told before it is given away.
   *
   * @throws DeniedError when the task has ended; SpiffeError `ERR_SPIFFE_OPTION_INVALID` when there is no room, since what
   * cannot be revoked is not to be given away.
   */
  add(task: Pick<TaskCore, 'ref' | 'ended'>, grant: GrantRef): void {
    const ended = task.ended();
    if (ended !== undefined) throw ended;
    this.#needRoom('another grant');
    this.#issued.set(grant.jti, { grant, isRevoked: false });
    const ids = this.#ofTask.get(task.ref.id);
    if (ids === undefined) this.#ofTask.set(task.ref.id, new Set([grant.jti]));
    else ids.add(grant.jti);
  }

  /**
   * An SVID was made for a task. To be told before it is used, and also when the task has ended meanwhile: it exists.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` when there is no room: what cannot be listed is not to be used.
   */
  certify(task: Pick<TaskCore, 'ref' | 'ended'>, expiresAt: number): void {
    const hasEnded = task.ended() !== undefined;
    const known = this.#certified.get(task.ref.id);
    if (known !== undefined) {
      known.expiresAt = Math.max(known.expiresAt, expiresAt);
      return;
    }
    this.#needRoom('another SVID of a task');
    this.#certified.set(task.ref.id, { expiresAt, hasEnded });
    if (!hasEnded) return;
    this.#sequence += 1;
    this.#watchers.tell();
  }

  /** Revokes all that a task has signed and that has not expired, and says what. Its SVIDs are those of an ended task. */
  endTask(taskId: string): readonly GrantRef[] {
    const certified = this.#certified.get(taskId);
    if (certified !== undefined) certified.hasEnded = true;
    const revoked: GrantRef[] = [];
    for (const jti of this.#ofTask.get(taskId) ?? []) {
      const issued = this.#issued.get(jti);
      if (issued === undefined) continue;
      issued.isRevoked = true;
      revoked.push(issued.grant);
    }
    this.#ofTask.delete(taskId);
    if (revoked.length > 0 || certified !== undefined) {
      this.#sequence += 1;
      this.#watchers.tell();
    }
    return revoked;
  }

  /** Of what the tasks of this guard have signed; anything else is unknown. */
  status({ jti, by }: RevocableLink): GrantStatus {
    const signer = by.toString();
    if (signer !== this.#agent && agentOf(signer) !== this.#agent) return 'unknown';
    const issued = this.#issued.get(jti);
    if (issued === undefined) return 'unknown';
    return issued.isRevoked ? 'revoked' : 'active';
  }

  /** Of the tasks of this guard that have had an SVID; any other is unknown. */
  taskStatus(id: SpiffeId): GrantStatus {
    const task = id.toString();
    if (!isTask(task) || agentOf(task) !== this.#agent) return 'unknown';
    const certified = this.#certified.get(taskIdOf(task));
    if (certified === undefined) return 'unknown';
    return certified.hasEnded ? 'revoked' : 'active';
  }

  watch(listener: () => void): () => void {
    return this.#watchers.add(listener);
  }

  /** What is revoked now. */
  revoked(): RevokedNow {
    this.#sweep(true);
    const ids: string[] = [];
    for (const [jti, { isRevoked }] of this.#issued) if (isRevoked) ids.push(jti);
    const ended: string[] = [];
    for (const [id, { hasEnded }] of this.#certified) if (hasEnded) ended.push(id);
    return { sequence: this.#sequence, ids, ended };
  }

  #needRoom(what: string): void {
    this.#sweep(this.size >= this.#most);
    if (this.size >= this.#most)
      throw optionError(what, `${this.#most} that have not expired are out already`);
  }

  #sweep(atOnce: boolean): void {
    const now = this.#clock.now();
    if (!atOnce && now < this.#nextSweep) return;
    this.#nextSweep = now + SWEEP_EVERY_MS;
    let changed = false;
    for (const [jti, { grant, isRevoked }] of this.#issued) {
      if (grant.expiresAt + KEPT_AFTER_MS > now) continue;
      this.#issued.delete(jti);
      changed ||= isRevoked;
    }
    for (const [id, { expiresAt, hasEnded }] of this.#certified) {
      if (expiresAt + KEPT_AFTER_MS > now) continue;
      this.#certified.delete(id);
      changed ||= hasEnded;
    }
    if (changed) this.#sequence += 1;
    // Of a task that lives, what has expired needs no end.
    for (const ids of this.#ofTask.values())
      for (const jti of ids) if (!this.#issued.has(jti)) ids.delete(jti);
  }
}
