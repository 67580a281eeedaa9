import type { Codec } from '../sources/workload-api/wire.js';

/** Changes a message before it is sent; what it gives as bytes is sent as it stands. */
export type Corruption<Response> = (message: Response) => Response | Uint8Array;

/** Encodes the messages of one RPC: right, or the next ones as a test wants them. */
export class FaultyMessages<Response> {
  readonly #codec: Codec<Response>;
  #change: Corruption<Response> = (message) => message;
  #times = 0;

  constructor(codec: Codec<Response>) {
    this.#codec = codec;
  }

  corrupt(change: Corruption<Response>, times: number): void {
    this.#change = change;
    this.#times = times;
  }

  heal(): void {
    this.#times = 0;
  }

  encode(message: Response): Uint8Array {
    return this.#codec.encode(message);
  }

  /** The message as it goes out: `right`, unless it is one of those to be changed. */
  outgoing(message: Response, right: Uint8Array = this.encode(message)): Uint8Array {
    if (this.#times === 0) return right;
    this.#times -= 1;
    const changed = this.#change(message);
    return changed instanceof Uint8Array ? changed : this.encode(changed);
  }
}
