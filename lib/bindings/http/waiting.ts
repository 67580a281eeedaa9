import { waitFor } from '../../internal/abort.js';

/** Requests that wait for their token; an owner that ends can wait for them in turn, or give them up. */
export class Waiting {
  readonly #requests = new Map<AbortController, Promise<void>>();

  /** Goes on by one of the two callbacks. */
  add(token: Promise<string>, go: (token: string) => void, refuse: (error: unknown) => void): void {
    const abandon = new AbortController();
    const gone = waitFor(token, abandon.signal)
      .then(go, refuse)
      .finally(() => this.#requests.delete(abandon));
    this.#requests.set(abandon, gone);
  }

  /** Refuses each with this error, whatever comes of its token. */
  giveUp(error: Error): void {
    for (const abandon of this.#requests.keys()) abandon.abort(error);
  }

  /** Resolves when each has gone on. */
  async idle(): Promise<void> {
    await Promise.all(this.#requests.values());
  }
}
