/** A timer that was set. */
export type ClockTimer = NodeJS.Timeout | number;

/** Where long-lived objects get the time and their timers from, so that a test can hold both in its hand. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  setTimeout(callback: () => void, ms: number): ClockTimer;
  clearTimeout(timer: ClockTimer | undefined): void;
}

/** Node's timers hold 31 bits; a longer wait would fire at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** The wall clock. A wait longer than 24.8 days ends then. */
export const SYSTEM_CLOCK: Clock = Object.freeze({
  now: () => Date.now(),
  setTimeout: (callback: () => void, ms: number) => setTimeout(callback, Math.min(ms, LONGEST_MS)),
  clearTimeout: (timer: ClockTimer | undefined) => clearTimeout(timer),
});
