/**
 * A value that changes, for any number of readers. Each has a cursor of its own; one that is slow gets the newest
 * value, not every one.
 */
export class Broadcast<T> {
  #latest: T;
  #version = 1;
  #ended = false;
  readonly #waiting = new Set<() => void>();

  constructor(first: T) {
    this.#latest = first;
  }

  get latest(): T {
    return this.#latest;
  }

  /** How many readers wait for a value at this moment. */
  get waiting(): number {
    return this.#waiting.size;
  }

  publish(value: T): void {
    this.#latest = value;
    this.#version++;
    this.#wake();
  }

  /** No value comes after the latest: readers get that one, if they have not, and then end. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** The values from the present one on. An abort makes the reader's next step reject with the signal's reason. */
  values(signal?: AbortSignal): AsyncIterable<T, undefined> {
    return { [Symbol.asyncIterator]: () => this.#cursor(signal) };
  }

  #cursor(signal: AbortSignal | undefined): AsyncIterator<T, undefined> {
    const cursor = { seen: 0, left: false };
    return {
      next: async () => {
        for (;;) {
          if (cursor.left) return { done: true, value: undefined };
          signal?.throwIfAborted();
          if (cursor.seen !== this.#version) {
            cursor.seen = this.#version;
            return { done: false, value: this.#latest };
          }
          if (this.#ended) return { done: true, value: undefined };
          await this.#changed(signal);
        }
      },
      return: () => {
        cursor.left = true;
        // A step that waits must end too; the other readers look and wait on.
        this.#wake();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Not one promise for all who wait: each abort would leave a reaction on it for as long as nothing changes. */
  #changed(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal?.addEventListener('abort', wake);
    });
  }
}
