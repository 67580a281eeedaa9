/** Who is to be told that something may have been revoked. */
export class Watchers {
  readonly #listeners = new Set<() => void>();

  add(listener: () => void): () => void {
    // A function of its own, so that one that is given twice is told twice, and taken out once.
    const entry = (): void => listener();
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  /** Tells all. What one throws is thrown apart, as Node does for an `EventTarget`: it must not keep a task from ending. */
  tell(): void {
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
