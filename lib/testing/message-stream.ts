import type { ServerWritableStream } from '@grpc/grpc-js';
import type { Clock, ClockTimer } from '../internal/clock.js';
import type { Logger } from '../log.js';
import type { RpcMethod } from '../sources/workload-api/proto.js';
import { FaultyMessages } from './faulty-messages.js';

/** A gRPC status that ends a call. */
export interface CallStatus {
  /** The number of the status: 7 is `PERMISSION_DENIED`, 14 `UNAVAILABLE`, and so on; 0 ends a stream cleanly. */
  readonly code: number;
  readonly details: string;
}

export type OpenCall = ServerWritableStream<Uint8Array, Uint8Array>;

interface Progress {
  /** Runs while the first message is held back. */
  readonly timer?: ClockTimer;
  /** The newest state sent, before any corruption. */
  readonly sent?: Uint8Array;
}

export const PERMISSION_DENIED: CallStatus = { code: 7, details: 'no identity issued' };

/** Every open stream of one RPC. Each message is the complete state (WLA-05). */
export class MessageStream<Response> {
  /** What is sent, and how it is spoiled. */
  readonly messages: FaultyMessages<Response>;
  readonly #path: string;
  readonly #current: () => Response | undefined;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #idle: () => void;
  readonly #open = new Map<OpenCall, Progress>();

  /**
   * @param current - the message for now; `undefined` when the caller is entitled to none.
   * @param idle - called when the last open stream has ended.
   */
  constructor(
    rpc: RpcMethod<unknown, Response>,
    current: () => Response | undefined,
    environment: { readonly clock: Clock; readonly logger: Logger; readonly idle: () => void },
  ) {
    this.messages = new FaultyMessages(rpc.response);
    this.#path = rpc.path;
    this.#current = current;
    this.#clock = environment.clock;
    this.#logger = environment.logger;
    this.#idle = environment.idle;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Takes a new stream and sends the first message at once (WLA-06), or after `delayMs`. */
  accept(call: OpenCall, delayMs: number): void {
    call.on('cancelled', () => this.#forget(call));
    if (delayMs > 0) {
      const timer = this.#clock.setTimeout(() => this.#send(call), delayMs);
      this.#open.set(call, { timer });
      return;
    }
    this.#open.set(call, {});
    this.#send(call);
  }

  /**
   * Sends the state to every stream that has had its first message. Where it is what was sent last, nothing is sent
   * (Workload API 4.3: messages follow changes), unless `always`.
   */
  push(always: boolean): void {
    for (const [call, { sent }] of this.#open) {
      if (sent !== undefined) this.#send(call, always ? undefined : sent);
    }
  }

  end(status: CallStatus): void {
    for (const call of this.#open.keys()) this.#finish(call, status);
  }

  #send(call: OpenCall, before?: Uint8Array): void {
    const message = this.#current();
    if (message === undefined) {
      this.#finish(call, PERMISSION_DENIED);
      return;
    }
    const state = this.messages.encode(message);
    if (before !== undefined && Buffer.compare(state, before) === 0) return;
    this.#open.set(call, { sent: state });
    this.#logger.debug({ path: this.#path, bytes: state.length }, 'sent');
    call.write(this.messages.outgoing(message, state));
  }

  #finish(call: OpenCall, status: CallStatus): void {
    if (status.code === 0) call.end();
    else call.emit('error', status);
    this.#forget(call);
  }

  #forget(call: OpenCall): void {
    this.#clock.clearTimeout(this.#open.get(call)?.timer);
    if (this.#open.delete(call) && this.#open.size === 0) this.#idle();
  }
}
