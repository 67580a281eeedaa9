import { SpiffeError } from '../../errors.js';
import type { Clock, ClockTimer } from '../../internal/clock.js';
import type { Logger } from '../../log.js';
import { HeldState } from '../held-state.js';
import { describeAddress, type WorkloadApiAddress } from './address.js';
import type { WorkloadApiClient } from './client.js';
import type { WorkloadLimits } from './limits.js';
import type { RpcMethod } from './proto.js';
import { Watcher } from './watcher.js';

/** What every source needs around it. */
export interface SourceEnvironment {
  readonly client: Pick<WorkloadApiClient, 'reconnect' | 'stream'>;
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
  /** Until when, in milliseconds since 1970, this may be used; `undefined` when it does not end by itself. */
  expiry?(content: Content): number | undefined;
}

/** A new message is due when this part of what is left of the content's life is over; SPIRE sends it after half. */
const DUE_PART = 0.75;
const SOONEST_DUE_MS = 1000;
/** For content that has expired, or that is not there. */
const OVERDUE_MS = 10_000;

const LEFT_OUT = 'left out of what the Workload API sent';
const NONE_OF_THEM = 'none of the identities is the one to be picked';
const REFUSED = 'a message of the Workload API was refused; the last good state stays';

/**
 * Keeps a state by a supervised stream of complete ones (WLA-05). A bad message leaves the last good one;
 * `PermissionDenied` withdraws everything; loss of the transport nothing.
 */
export class SupervisedState<Response, Content extends object> {
  readonly held: HeldState<Content>;
  readonly #reader: StateReader<Response, Content>;
  readonly #watcher: Watcher;
  readonly #clock: Clock;
  #due: ClockTimer | undefined;

  /** @param changed - called in the turn in which the state changes, after it has. It may not throw. */
  constructor(
    environment: SourceEnvironment,
    reader: StateReader<Response, Content>,
    changed: () => void = () => {},
  ) {
    this.#reader = reader;
    this.#clock = environment.clock;
    const { client, address, clock, logger, random } = environment;
    this.held = new HeldState({
      place: describeAddress(address),
      nothing: reader.nothing,
      logger,
      same: (one, other) => reader.same(one, other),
      changed,
    });
    this.#watcher = new Watcher({
      what: reader.what,
      address,
      start: (events) => client.stream(reader.method, {}, events),
      reconnect: () => client.reconnect(),
      handlers: {
        message: (bytes) => this.#message(bytes),
        down: (error) => this.#down(error),
        failed: (error) => this.held.fail(error),
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

  /** Ends the stream. */
  close(): void {
    this.#clock.clearTimeout(this.#due);
    this.#watcher.stop();
    this.held.close();
  }

  #message(bytes: Uint8Array): void {
    try {
      const response = this.#reader.method.response.decode(bytes);
      const { content, omissions } = this.#reader.read(response, this.held.held);
      const faults = omissions.map((error) => ({ what: LEFT_OUT, error }));
      if (content instanceof SpiffeError)
        this.held.nothingForUs(content, [...faults, { what: NONE_OF_THEM, error: content }]);
      else this.held.accept(content, faults);
      this.#await();
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
      this.held.refuse(error, REFUSED);
      // Where something is held, its own end is awaited already.
      if (this.held.held === undefined) this.#await(true);
    }
  }

  /**
   * A stream can be up and dead: its server hangs, or another one listens at the address by now. When what it brought is
   * near its end and nothing newer has come, the endpoint is asked anew.
   *
   * @param refused - nothing is held, since what came was refused: it may be good by a clock that is set right meanwhile,
   * and is not sent again unasked.
   */
  #await(refused = false): void {
    this.#clock.clearTimeout(this.#due);
    const { held } = this.held;
    const expiry = held && this.#reader.expiry?.(held);
    const ends = this.#reader.expiry !== undefined;
    if (expiry === undefined && !(refused && ends)) return;
    const left = (expiry ?? 0) - this.#clock.now();
    const waitMs = left > 0 ? Math.max(left * DUE_PART, SOONEST_DUE_MS) : OVERDUE_MS;
    this.#due = this.#clock.setTimeout(() => {
      this.#watcher.restart();
      this.#await(refused);
    }, waitMs);
  }

  #down(error: SpiffeError): void {
    // WLA-24, WLA-27: this one status withdraws everything; transport loss does not.
    if (error.code === 'ERR_SPIFFE_WORKLOAD_API_DENIED') this.held.revoke(error);
    else this.held.stale(error);
  }
}
