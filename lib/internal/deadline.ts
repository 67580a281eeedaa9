import type { Clock } from './clock.js';

/**
 * Waits for a promise until `ms` from now; then rejects with what `late` makes. The wait keeps no process up: whoever
 * asked may have stopped waiting, with an answer that never comes.
 */
export function deadline<T>(
  clock: Clock,
  ms: number,
  promise: Promise<T>,
  late: () => Error,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = clock.setTimeout(() => reject(late()), ms);
    if (typeof timer === 'object') timer.unref();
    promise.then(resolve, reject).finally(() => clock.clearTimeout(timer));
  });
}
