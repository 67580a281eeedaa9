import type { Clock, ClockTimer } from '../internal/clock.js';

/** The time during which at least one call is running, of which there is so much and no more. */
export class BusyTime {
  readonly #clock: Clock;
  readonly #spent: () => void;
  #leftMs: number;
  #running = 0;
  #since = 0;
  #timer: ClockTimer | undefined;

  /** @param spent - called once no time is left. */
  constructor(clock: Clock, limitMs: number, spent: () => void) {
    this.#clock = clock;
    this.#leftMs = limitMs;
    this.#spent = spent;
  }

  begin(): void {
    this.#running += 1;
    if (this.#running > 1) return;
    this.#since = this.#clock.now();
    this.#timer = this.#clock.setTimeout(this.#spent, Math.max(0, this.#leftMs));
  }

  end(): void {
    this.#running -= 1;
    if (this.#running > 0) return;
    this.#leftMs -= this.#clock.now() - this.#since;
    this.stop();
  }

  stop(): void {
    this.#clock.clearTimeout(this.#timer);
  }
}
