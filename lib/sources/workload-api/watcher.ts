import type { SpiffeError } from '../../errors.js';
import { type BackoffLimits, backoffMs } from '../../internal/backoff.js';
import type { Clock, ClockTimer } from '../../internal/clock.js';
import type { Logger } from '../../log.js';
import type { WorkloadApiAddress } from './address.js';
import type { Stream, StreamEvents } from './client.js';
import { OK, type StreamEnd, streamFailure } from './failure.js';

/** A stream that ends sooner has failed, however it ended: reconnecting at once would make a loop of it. */
const SOUND_MS = 1000;

/** Connecting to a socket that is not there costs nothing, and identity must be back soon after the agent is. */
const UNREACHABLE: BackoffLimits = { firstMs: 200, longestMs: 1500 };
const DENIED: BackoffLimits = { firstMs: 1000, longestMs: 10_000 };
const OTHER: BackoffLimits = { firstMs: 200, longestMs: 10_000 };

/** What becomes of a supervised stream. None of these may throw. */
export interface WatchHandlers {
  message(bytes: Uint8Array): void;
  /** The stream is down and another attempt follows. */
  down(error: SpiffeError): void;
  /** The endpoint refused the call for good; nothing follows. */
  failed(error: SpiffeError): void;
}

/** Options of {@link Watcher}. */
export interface WatcherOptions {
  /** What the stream carries, for the log. */
  readonly what: string;
  readonly address: WorkloadApiAddress;
  readonly start: (events: StreamEvents) => Stream;
  /** Lets go of the connection that the stream was on, so that the next one is on another. */
  readonly reconnect: () => void;
  readonly handlers: WatchHandlers;
  readonly clock: Clock;
  readonly logger: Logger;
  /** From 0 to below 1; default `Math.random`. */
  readonly random?: () => number;
}

/**
 * Keeps one stream up (SPIFFE_Workload_API 4.2): at once again after a clean end, after a growing wait when it fails,
 * never again when it is refused for good.
 */
export class Watcher {
  readonly #options: WatcherOptions;
  #stopped = false;
  /** `undefined` while none is up. */
  #stream: Stream | undefined;
  #timer: ClockTimer | undefined;
  #limits: BackoffLimits | undefined;
  /** Failures in a row that are waited for in one way. */
  #failures = 0;
  /** What went wrong last, so that the log says it once; and how often anything did since a message came. */
  #trouble: string | undefined;
  #troubles = 0;

  constructor(options: WatcherOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, handlers } = this.#options;
    const began = clock.now();
    let heard = false;
    this.#stream = this.#options.start({
      message: (bytes) => {
        if (this.#stopped) return;
        heard = true;
        this.#recovered();
        handlers.message(bytes);
      },
      end: (end) => {
        if (!this.#stopped) this.#ended(end, clock.now() - began >= SOUND_MS, heard);
      },
    });
  }

  /** Gives up a stream that is up and silent, and its connection, for a new one. One that is down is tried anyway. */
  restart(): void {
    if (this.#stopped || this.#stream === undefined) return;
    const { what, logger } = this.#options;
    logger.info(
      { stream: what },
      `the stream of ${what} is silent though news is due; reconnecting`,
    );
    this.#stream.cancel();
    this.#options.reconnect();
    this.start();
  }

  stop(): void {
    this.#stopped = true;
    this.#stream?.cancel();
    this.#options.clock.clearTimeout(this.#timer);
  }

  #ended(end: StreamEnd, lasted: boolean, heard: boolean): void {
    const { address, clock, handlers, random = Math.random } = this.#options;
    this.#stream = undefined;
    if (end.status === OK && lasted) {
      this.#failures = 0;
      this.start();
      return;
    }
    const error = streamFailure(end, address);
    if (error.code === 'ERR_SPIFFE_WORKLOAD_API_REJECTED') {
      this.#options.logger.error(this.#fields(error), `${error.message}; not tried again`);
      this.#stopped = true;
      handlers.failed(error);
      return;
    }
    const limits = limitsFor(error, end);
    // A way of failing that is new begins with a short wait: an agent that comes up says no at first.
    this.#failures = limits === this.#limits && !(lasted && heard) ? this.#failures + 1 : 1;
    this.#limits = limits;
    const waitMs = Math.round(backoffMs(limits, this.#failures, random()));
    this.#log(error, waitMs);
    this.#timer = clock.setTimeout(() => this.start(), waitMs);
    handlers.down(error);
  }

  #log(error: SpiffeError, waitMs: number): void {
    this.#troubles++;
    const trouble = `${error.code} ${error.grpcStatus}`;
    if (this.#trouble === trouble) return;
    this.#trouble = trouble;
    this.#options.logger.warn({ ...this.#fields(error), retryInMs: waitMs }, error.message);
  }

  #recovered(): void {
    if (this.#trouble === undefined) return;
    const { what, logger } = this.#options;
    logger.info({ stream: what, failures: this.#troubles }, `the stream of ${what} is up again`);
    this.#trouble = undefined;
    this.#troubles = 0;
  }

  #fields(error: SpiffeError): object {
    return { stream: this.#options.what, code: error.code, grpcStatus: error.grpcStatus };
  }
}

function limitsFor(error: SpiffeError, end: StreamEnd): BackoffLimits {
  if (error.code === 'ERR_SPIFFE_WORKLOAD_API_DENIED') return DENIED;
  return end.unreachable ? UNREACHABLE : OTHER;
}
