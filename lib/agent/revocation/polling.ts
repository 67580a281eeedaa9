import type { Clock, ClockTimer } from '../../internal/clock.js';

/** Does something now and again: once at a time, and anew `everyMs` after it is done, until it is ended. */
export class Polling {
  readonly #act: () => Promise<void>;
  readonly #everyMs: number;
  readonly #clock: Clock;
  #timer: ClockTimer | undefined;
  #underWay: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #hasEnded = false;

  /** @param act - never rejects. */
  constructor(act: () => Promise<void>, everyMs: number, clock: Clock) {
    this.#act = act;
    this.#everyMs = everyMs;
    this.#clock = clock;
  }

  /** Does it, not before now, and resolves when it is done. */
  now(): Promise<void> {
    if (this.#underWay === undefined) return this.#start();
    // What is under way may have been answered before now.
    this.#next ??= this.#underWay.then(() => {
      this.#next = undefined;
      return this.#start();
    });
    return this.#next;
  }

  /** Does it no more, and resolves when what is under way is done. */
  async end(): Promise<void> {
    this.#hasEnded = true;
    this.#clock.clearTimeout(this.#timer);
    await (this.#next ?? this.#underWay);
  }

  #start(): Promise<void> {
    this.#underWay = this.#run().finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  async #run(): Promise<void> {
    this.#clock.clearTimeout(this.#timer);
    if (this.#hasEnded) return;
    await this.#act();
    if (this.#hasEnded) return;
    this.#timer = this.#clock.setTimeout(() => void this.now(), this.#everyMs);
    // It keeps no process up.
    if (typeof this.#timer === 'object') this.#timer.unref();
  }
}
