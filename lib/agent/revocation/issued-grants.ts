import type { Clock } from '../../internal/clock.js';
import type { GrantRef } from '../audit/events.js';
import type { GrantStatus } from '../grant/verify.js';
import { optionError } from '../options.js';
import type { TaskCore } from '../task-core.js';
import { agentOf, type RevocableLink, type RevocationSource } from './source.js';
import { Watchers } from './watchers.js';

/** How long a revoked token stays listed past its expiry: a verifier's clock may be behind ours. */
const KEPT_AFTER_MS = 60_000;
const SWEEP_EVERY_MS = 10_000;
const MOST = 100_000;

interface Issued {
  readonly grant: GrantRef;
  isRevoked: boolean;
}

/** What is revoked now. */
export interface RevokedNow {
  /** Grows with each change of `ids`, and with nothing else. */
  readonly sequence: number;
  /** Of the tokens that are revoked and have not expired, or did so less than a minute ago; oldest first. */
  readonly ids: readonly string[];
}

/**
 * The grants that the tasks of one guard have signed. The end of a task revokes them here at once; each leaves when it has
 * expired. What was signed by an earlier process of the same SPIFFE ID is not known here: its tasks ended with it.
 */
export class IssuedGrants implements RevocationSource {
  /** When this began, in milliseconds since 1970: it answers for what was signed from here on. */
  readonly since: number;
  readonly #clock: Clock;
  readonly #agent: string;
  readonly #most: number;
  readonly #issued = new Map<string, Issued>();
  readonly #ofTask = new Map<string, Set<string>>();
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
    return this.#issued.size;
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
    this.#sweep(this.#issued.size >= this.#most);
    if (this.#issued.size >= this.#most)
      throw optionError('another grant', `${this.#most} that have not expired are out already`);
    this.#issued.set(grant.jti, { grant, isRevoked: false });
    const ids = this.#ofTask.get(task.ref.id);
    if (ids === undefined) this.#ofTask.set(task.ref.id, new Set([grant.jti]));
    else ids.add(grant.jti);
  }

  /** Revokes all that a task has signed and that has not expired, and says what. */
  endTask(taskId: string): readonly GrantRef[] {
    const ids = this.#ofTask.get(taskId);
    if (ids === undefined) return [];
    this.#ofTask.delete(taskId);
    const revoked: GrantRef[] = [];
    for (const jti of ids) {
      const issued = this.#issued.get(jti);
      if (issued === undefined) continue;
      issued.isRevoked = true;
      revoked.push(issued.grant);
    }
    if (revoked.length > 0) {
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

  watch(listener: () => void): () => void {
    return this.#watchers.add(listener);
  }

  /** What is revoked now. */
  revoked(): RevokedNow {
    this.#sweep(true);
    const ids: string[] = [];
    for (const [jti, { isRevoked }] of this.#issued) if (isRevoked) ids.push(jti);
    return { sequence: this.#sequence, ids };
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
    if (changed) this.#sequence += 1;
    // Of a task that lives, what has expired needs no end.
    for (const ids of this.#ofTask.values())
      for (const jti of ids) if (!this.#issued.has(jti)) ids.delete(jti);
  }
}
