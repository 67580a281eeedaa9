import { SpiffeError } from '../errors.js';

/** One RPC as it arrived, before anything was decided about it. */
export interface ReceivedCall {
  /** The name of the RPC alone, such as `FetchX509SVID`. */
  readonly method: string;
  /** What the caller sent beside the request, by lower-case name. */
  readonly metadata: Readonly<Record<string, readonly string[]>>;
}

interface Waiter {
  readonly method: string | undefined;
  resolve(call: ReceivedCall): void;
  reject(reason: unknown): void;
}

/** Counts calls and wakes those who wait for one. */
export class CallLog {
  readonly #counts = new Map<string, number>();
  readonly #waiters = new Set<Waiter>();

  record(call: ReceivedCall): void {
    this.#counts.set(call.method, (this.#counts.get(call.method) ?? 0) + 1);
    for (const waiter of this.#waiters) {
      if (waiter.method === undefined || waiter.method === call.method) waiter.resolve(call);
    }
  }

  count(method?: string): number {
    if (method !== undefined) return this.#counts.get(method) ?? 0;
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  next(method: string | undefined, signal: AbortSignal | undefined): Promise<ReceivedCall> {
    const call = new Promise<ReceivedCall>((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const abort = (): void => waiter.reject(signal?.reason);
      const done = (): void => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener('abort', abort);
      };
      const waiter: Waiter = {
        method,
        resolve(value) {
          done();
          resolve(value);
        },
        reject(reason) {
          done();
          reject(reason);
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', abort);
    });
    // One that nobody awaits any more, in a test that failed before, makes no noise of its own.
    call.catch(() => {});
    return call;
  }

  close(): void {
    for (const waiter of this.#waiters) {
      waiter.reject(
        new SpiffeError(
          'ERR_SPIFFE_SOURCE_CLOSED',
          `no ${waiter.method ?? 'call'} came before the development Workload API was closed`,
        ),
      );
    }
  }
}
