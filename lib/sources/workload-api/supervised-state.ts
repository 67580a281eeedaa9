import { SpiffeError } from '../../errors.js';
import type { SourceState } from '../../identity/source.js';
import { Broadcast } from '../../internal/broadcast.js';
import type { Clock } from '../../internal/clock.js';
import type { Logger } from '../../log.js';
import { describeAddress, type WorkloadApiAddress } from './address.js';
import type { WorkloadApiClient } from './client.js';
import { reasonOf } from './failure.js';
import type { WorkloadLimits } from './limits.js';
import type { RpcMethod } from './proto.js';
import { Watcher } from './watcher.js';

/** What every source needs around it. */
export interface SourceEnvironment {
  readonly client: Pick<WorkloadApiClient, 'stream'>;
  readonly address: WorkloadApiAddress;
  readonly limits: WorkloadLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  /** From 0 to below 1; default `Math.random`. */
  readonly random?: () => number;
}

/** What one message says: what holds from now on, or why there is nothing in it for us. */
export interface Reading<Content> {
  readonly content: Content | SpiffeError;
  /** What was left out of it, and why. */
  readonly omissions: readonly SpiffeError[];
}

/** How the messages of one RPC become states. */
export interface StateReader<Response, Content> {
  readonly method: RpcMethod<object, Response>;
  /** What the stream carries, in the plural, as the log names it. */
  readonly what: string;
  /** What is held while nothing is. */
  readonly nothing: Content;
  /** @param before - what is held so far: what has not changed keeps its objects. Whatever it throws refuses the message. */
  read(response: Response, before: Content | undefined): Reading<Content>;
  same(one: Content, other: Content): boolean;
}

/** What is wrong with a message, and what became of it. */
interface Fault {
  readonly what: string;
  readonly error: SpiffeError;
}

const LEFT_OUT = 'left out of what the Workload API sent';
const NONE_OF_THEM = 'none of the identities is the one to be picked';
const REFUSED = 'a message of the Workload API was refused; the last good state stays';

/** One immutable state. */
export type Snapshot<Content> = Content & {
  readonly sequence: number;
  readonly state: SourceState;
};

/**
 * What a supervised stream of complete states (WLA-05) says, as one immutable snapshot, swapped whole. A bad message
 * leaves the last good one; `PermissionDenied` withdraws everything; loss of the transport nothing.
 */
export class SupervisedState<Response, Content extends object> {
  readonly #environment: SourceEnvironment;
  readonly #reader: StateReader<Response, Content>;
  readonly #watcher: Watcher;
  readonly #states: Broadcast<Snapshot<Content>>;
  readonly #changed: () => void;
  #held: Content | undefined;
  #trouble: SpiffeError | undefined;
  /** What the last message was found wanting for, and in how many in a row, so that the log says it once. */
  #faults: ReadonlyMap<string, number> = new Map();

  /** @param changed - called in the turn in which the state changes, after it has. It may not throw. */
  constructor(
    environment: SourceEnvironment,
    reader: StateReader<Response, Content>,
    changed: () => void = () => {},
  ) {
    this.#environment = environment;
    this.#reader = reader;
    this.#changed = changed;
    const { client, address, clock, logger, random } = environment;
    this.#states = new Broadcast(
      Object.freeze({ ...reader.nothing, sequence: 0, state: 'pending' as const }),
    );
    this.#watcher = new Watcher({
      what: reader.what,
      address,
      start: (events) => client.stream(reader.method, {}, events),
      handlers: {
        message: (bytes) => this.#message(bytes),
        down: (error) => this.#down(error),
        failed: (error) => this.#failed(error),
      },
      clock,
      logger,
      ...(random === undefined ? {} : { random }),
    });
  }

  /** Calls the Workload API. Once. */
  start(): void {
    this.#watcher.start();
  }

  get now(): Snapshot<Content> {
    return this.#states.latest;
  }

  /** What went wrong last, while there is nothing good since. */
  get trouble(): SpiffeError | undefined {
    return this.#trouble;
  }

  updates(signal?: AbortSignal): AsyncIterable<Snapshot<Content>, undefined> {
    return this.#states.values(signal);
  }

  /** Ends the stream; readers of {@link SupervisedState.updates} end after the state `closed`. */
  close(): void {
    this.#watcher.stop();
    if (this.now.state === 'closed') return;
    this.#withdraw('closed');
    this.#states.end();
  }

  /** Why nothing is held. */
  absence(words: { readonly pending: string; readonly revoked: string }): SpiffeError {
    const where = describeAddress(this.#environment.address);
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

  #message(bytes: Uint8Array): void {
    try {
      const response = this.#reader.method.response.decode(bytes);
      const { content, omissions } = this.#reader.read(response, this.#held);
      const faults = omissions.map((error) => ({ what: LEFT_OUT, error }));
      if (content instanceof SpiffeError) {
        this.#report([...faults, { what: NONE_OF_THEM, error: content }]);
        this.#nothingForUs(content);
      } else {
        this.#report(faults);
        this.#accept(content);
      }
    } catch (cause) {
      // Whatever it is: one message must not end the process, nor the stream that brings the next one.
      const error =
        cause instanceof SpiffeError
          ? cause
          : new SpiffeError(
              'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID',
              `cannot read a message of the Workload API that carries ${this.#reader.what}`,
              { cause },
            );
      this.#trouble = error;
      this.#report([{ what: REFUSED, error }]);
    }
  }

  #accept(content: Content): void {
    this.#trouble = undefined;
    const same = this.#held !== undefined && this.#reader.same(content, this.#held);
    if (same && this.now.state === 'ready') return;
    this.#held = content;
    this.#publish('ready', content);
  }

  #nothingForUs(error: SpiffeError): void {
    this.#trouble = error;
    if (this.now.state !== 'pending') this.#withdraw('revoked');
  }

  #down(error: SpiffeError): void {
    this.#trouble = error;
    const { state } = this.now;
    // WLA-24, WLA-27: this one status withdraws everything; transport loss does not.
    if (error.code === 'ERR_SPIFFE_WORKLOAD_API_DENIED') {
      if (state === 'ready' || state === 'stale') this.#withdraw('revoked');
    } else if (state === 'ready') {
      this.#publish('stale', this.now);
    }
  }

  #failed(error: SpiffeError): void {
    this.#trouble = error;
    this.#withdraw('failed');
    this.#states.end();
  }

  #withdraw(state: 'revoked' | 'failed' | 'closed'): void {
    this.#held = undefined;
    if (this.now.state !== state) this.#publish(state, this.#reader.nothing);
  }

  #publish(state: SourceState, content: Content): void {
    const sequence = this.now.sequence + 1;
    this.#states.publish(Object.freeze({ ...content, sequence, state }));
    this.#changed();
  }

  /** Says what is wrong with the newest message and was not with the one before; the rest it counts. */
  #report(faults: readonly Fault[]): void {
    const { logger } = this.#environment;
    const before = this.#faults;
    const now = new Map<string, number>();
    for (const { what, error } of faults) {
      const { code, message } = error;
      const times = (before.get(message) ?? 0) + 1;
      now.set(message, times);
      if (times === 1) logger.warn({ code }, `${what}: ${message}`);
    }
    for (const [message, times] of before)
      if (!now.has(message)) logger.info({ messages: times }, `no longer so: ${message}`);
    this.#faults = now;
  }
}
