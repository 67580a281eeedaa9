import { SpiffeError } from '../errors.js';
import type { Clock } from '../internal/clock.js';

interface Waiting {
  readonly due: number;
  readonly callback: () => void;
}

/**
 * A clock that stands still until it is told to advance. Timers set on it run inside {@link FakeClock.advance}, in the
 * order in which they fall due.
 */
export class FakeClock implements Clock {
  #now: number;
  #lastTimer = 0;
  readonly #waiting = new Map<number, Waiting>();

  /** @param start - the first instant shown. Default: the present, by the wall clock. */
  constructor(start: Date = new Date()) {
    this.#now = start.getTime();
  }

  now(): number {
    return this.#now;
  }

  /** The timers set and not yet run. */
  get pendingTimers(): number {
    return this.#waiting.size;
  }

  setTimeout(callback: () => void, ms: number): number {
    this.#lastTimer += 1;
    this.#waiting.set(this.#lastTimer, { due: this.#now + Math.max(0, ms), callback });
    return this.#lastTimer;
  }

  clearTimeout(timer: NodeJS.Timeout | number | undefined): void {
    if (typeof timer === 'number') this.#waiting.delete(timer);
  }

  /**
   * Moves the time on and runs every timer that falls due on the way, timers set by timers included.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` for a span that is negative or not a number.
   */
  advance(ms: number): void {
    if (!Number.isFinite(ms) || ms < 0) {
      throw new SpiffeError(
        'ERR_SPIFFE_OPTION_INVALID',
        `cannot advance the clock by ${String(ms)} ms: time only moves forward; give 0 or more`,
      );
    }
    const end = this.#now + ms;
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      const [timer, { due, callback }] = next;
      this.#waiting.delete(timer);
      this.#now = due;
      callback();
    }
    this.#now = end;
  }

  #next(end: number): [number, Waiting] | undefined {
    let first: [number, Waiting] | undefined;
    for (const entry of this.#waiting) {
      // Strictly earlier: of those due at once, the one set first runs first.
      if (entry[1].due <= end && (first === undefined || entry[1].due < first[1].due))
        first = entry;
    }
    return first;
  }
}
