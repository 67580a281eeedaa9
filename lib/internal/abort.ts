/**
 * Waits for `promise`, but no longer than until `signal` aborts; then it rejects with the signal's reason, and what it
 * waited for goes on for whoever else waits.
 */
export function waitFor<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', abort);
    const leave = (): void => signal.removeEventListener('abort', abort);
    promise.then(resolve, reject).finally(leave);
  });
}
