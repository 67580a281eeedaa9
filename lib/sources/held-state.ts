import { SpiffeError } from '../errors.js';
import type { SourceState } from '../identity/source.js';
import { Broadcast } from '../internal/broadcast.js';
import type { Logger } from '../log.js';

/** One immutable state. */
export type Snapshot<Content> = Content & {
  readonly sequence: number;
  readonly state: SourceState;
};

/** What is wrong with the newest that was read, and what became of it. */
export interface Fault {
  readonly what: string;
  readonly error: SpiffeError;
}

/** Options of {@link HeldState}. */
export interface HeldStateOptions<Content> {
  /** Where it all comes from, for messages. */
  readonly place: string;
  /** What is held while nothing is. */
  readonly nothing: Content;
  readonly logger: Logger;
  same(one: Content, other: Content): boolean;
  /** Called in the turn in which the state changes, after it has. It may not throw. */
  changed?(): void;
}

/** Different faults that are logged before all is good again. */
const MOST_LOGGED = 100;

/** What a source holds, as one immutable snapshot, swapped whole; and what it last could not use, said once. */
export class HeldState<Content extends object> {
  readonly #options: HeldStateOptions<Content>;
  readonly #states: Broadcast<Snapshot<Content>>;
  #held: Content | undefined;
  #trouble: SpiffeError | undefined;
  /** What the last reading was found wanting for and was logged, and in how many in a row. */
  #faults: ReadonlyMap<string, number> = new Map();
  /** Since the last reading without a fault. */
  #logged = 0;
  #unlogged = 0;

  constructor(options: HeldStateOptions<Content>) {
    this.#options = options;
    this.#states = new Broadcast(
      Object.freeze({ ...options.nothing, sequence: 0, state: 'pending' as const }),
    );
  }

  get now(): Snapshot<Content> {
    return this.#states.latest;
  }

  /** The newest content, while it counts; what has not changed since keeps its objects. */
  get held(): Content | undefined {
    return this.#held;
  }

  /** What went wrong last, while there is nothing good since. */
  get trouble(): SpiffeError | undefined {
    return this.#trouble;
  }

  updates(signal?: AbortSignal): AsyncIterable<Snapshot<Content>, undefined> {
    return this.#states.values(signal);
  }

  /** @param faults - what was wrong with a part of it. */
  accept(content: Content, faults: readonly Fault[]): void {
    this.#report(faults);
    this.#trouble = undefined;
    const same = this.#held !== undefined && this.#options.same(content, this.#held);
    if (same && this.now.state === 'ready') return;
    this.#held = content;
    this.#publish('ready', content);
  }

  /** What came cannot be used; what is held stays. */
  refuse(error: SpiffeError, what: string): void {
    this.#trouble = error;
    this.#report([{ what, error }]);
  }

  /** What came is good, and says that there is nothing for us. */
  nothingForUs(error: SpiffeError, faults: readonly Fault[]): void {
    this.#report(faults);
    this.#trouble = error;
    if (this.now.state !== 'pending') this.#withdraw('revoked');
  }

  /** No news comes for now; what is held serves on. */
  stale(error: SpiffeError): void {
    this.#trouble = error;
    if (this.now.state === 'ready') this.#publish('stale', this.now);
  }

  /** The issuer withdraws whatever is held. */
  revoke(error: SpiffeError): void {
    this.#trouble = error;
    if (this.now.state === 'ready' || this.now.state === 'stale') this.#withdraw('revoked');
  }

  /** For good. */
  fail(error: SpiffeError): void {
    this.#trouble = error;
    this.#withdraw('failed');
    this.#states.end();
  }

  /** Readers of {@link HeldState.updates} end after the state `closed`. */
  close(): void {
    if (this.now.state === 'closed') return;
    this.#withdraw('closed');
    this.#states.end();
  }

  /** Why nothing is held. */
  absence(words: { readonly pending: string; readonly revoked: string }): SpiffeError {
    const where = this.#options.place;
    const { state } = this.now;
    if (state === 'closed')
      return new SpiffeError('ERR_SPIFFE_SOURCE_CLOSED', `the workload at ${where} was closed`);
    const [code, what] =
      state === 'failed'
        ? (['ERR_SPIFFE_SOURCE_FAILED', `the workload at ${where} has failed for good`] as const)
        : state === 'revoked'
          ? (['ERR_SPIFFE_SVID_REVOKED', words.revoked] as const)
          : (['ERR_SPIFFE_SVID_NOT_READY', `${words.pending} from ${where}`] as const);
    return new SpiffeError(code, what + this.because(), { cause: this.#trouble });
  }

  /** What went wrong last, as the end of another message. */
  because(): string {
    return this.#trouble === undefined ? '' : `; ${reasonOf(this.#trouble)}`;
  }

  #withdraw(state: 'revoked' | 'failed' | 'closed'): void {
    this.#held = undefined;
    if (this.now.state !== state) this.#publish(state, this.#options.nothing);
  }

  #publish(state: SourceState, content: Content): void {
    const sequence = this.now.sequence + 1;
    this.#states.publish(Object.freeze({ ...content, sequence, state }));
    this.#options.changed?.();
  }

  /** Says what is wrong with the newest reading and was not with the one before; the rest it counts. */
  #report(faults: readonly Fault[]): void {
    const { logger } = this.#options;
    const before = this.#faults;
    const now = new Map<string, number>();
    for (const { what, error } of faults) {
      const { code, message } = error;
      const times = (before.get(message) ?? 0) + 1;
      if (times === 1 && !this.#mayLog()) continue;
      now.set(message, times);
      if (times === 1) logger.warn({ code }, `${what}: ${message}`);
    }
    for (const [message, times] of before)
      if (!now.has(message)) logger.info({ messages: times }, `no longer so: ${message}`);
    this.#faults = now;
    if (faults.length > 0) return;
    if (this.#unlogged > 0) logger.info({ faults: this.#unlogged }, 'no longer so: more faults');
    this.#logged = 0;
    this.#unlogged = 0;
  }

  /** Whoever sends us ever other faults must not fill a disk. */
  #mayLog(): boolean {
    if (this.#logged < MOST_LOGGED) {
      this.#logged++;
      return true;
    }
    if (this.#unlogged++ === 0)
      this.#options.logger.warn(
        {},
        `more is wrong with what ${this.#options.place} sends; it is counted from here on, until all is good`,
      );
    return false;
  }
}

/** What went wrong, as part of another message: without the code that ends its own. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/ \[ERR_SPIFFE_\w+\]$/, '') : 'unknown';
}
