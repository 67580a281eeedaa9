import { SpiffeError } from '../../errors.js';
import type {
  SourceState,
  X509BundleSet,
  X509Snapshot,
  X509Source,
} from '../../identity/source.js';
import { X509Bundles } from '../../identity/x509/bundles.js';
import type { X509Svid } from '../../identity/x509/svid.js';
import { Broadcast } from '../../internal/broadcast.js';
import type { Clock } from '../../internal/clock.js';

const NO_BUNDLES: X509BundleSet = X509Bundles.of();

/** What it has while the task lives. */
interface Current {
  readonly svid: X509Svid;
  readonly state: SourceState;
}

/**
 * The identity of one task as a source like any other: its SVID comes from the authority, the bundles from the
 * identity of the agent. It is closed at the end of the task, and the connections that rest on it close with it.
 */
export class TaskX509Source implements X509Source {
  readonly #agent: X509Source;
  readonly #clock: Clock;
  readonly #taskId: string;
  readonly #states: Broadcast<X509Snapshot>;
  readonly #closing = new AbortController();
  #following = false;
  #current: Current | undefined;

  constructor(agent: X509Source, clock: Clock, taskId: string, svid: X509Svid) {
    this.#agent = agent;
    this.#clock = clock;
    this.#taskId = taskId;
    this.#current = { svid, state: 'ready' };
    this.#states = new Broadcast(this.#snapshot(1));
  }

  get state(): SourceState {
    return this.#current?.state ?? 'closed';
  }

  get bundles(): X509BundleSet {
    return this.#current === undefined ? NO_BUNDLES : this.#agent.bundles;
  }

  svid(): X509Svid {
    if (this.#current === undefined) {
      throw new SpiffeError(
        'ERR_SPIFFE_SOURCE_CLOSED',
        `the task ${this.#taskId} has ended, and its identity with it`,
      );
    }
    const { svid } = this.#current;
    if (svid.notAfter.getTime() < this.#clock.now()) {
      throw new SpiffeError(
        'ERR_SPIFFE_SVID_EXPIRED',
        `the X.509-SVID of ${svid.id} has expired at ${svid.notAfter.toISOString()} and could not be renewed`,
      );
    }
    return svid;
  }

  svids(): readonly X509Svid[] {
    return [this.svid()];
  }

  updates({ signal }: { readonly signal?: AbortSignal } = {}): AsyncIterable<X509Snapshot> {
    if (!this.#following && this.#current !== undefined) {
      this.#following = true;
      void this.#follow();
    }
    return this.#states.values(signal);
  }

  /** Takes the SVID in place of the one before. */
  renew(svid: X509Svid): void {
    this.#set({ svid, state: 'ready' });
  }

  /** No newer SVID comes at present; the last one serves until it expires. */
  stale(): void {
    if (this.#current?.state === 'ready') this.#set({ ...this.#current, state: 'stale' });
  }

  close(): void {
    this.#set(undefined);
    this.#states.end();
    this.#closing.abort();
  }

  toJSON(): object {
    return { state: this.state, id: this.#current?.svid.id.toString() };
  }

  #set(current: Current | undefined): void {
    this.#current = current;
    this.#publish();
  }

  #publish(): void {
    this.#states.publish(this.#snapshot(this.#states.latest.sequence + 1));
  }

  #snapshot(sequence: number): X509Snapshot {
    const svid = this.#current?.svid;
    return Object.freeze({
      sequence,
      state: this.state,
      svid,
      svids: Object.freeze(svid === undefined ? [] : [svid]),
      bundles: this.bundles,
    });
  }

  /** Tells readers of each change of the agent's bundles. Never rejects. */
  async #follow(): Promise<void> {
    const { signal } = this.#closing;
    try {
      for await (const _ of this.#agent.updates({ signal })) this.#publish();
    } catch {
      // The guard follows the same source, and ends the task when that is lost.
    }
  }
}
