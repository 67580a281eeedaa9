import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import { SpiffeError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import type { Logger } from '../log.js';
import type { RpcMethod } from '../sources/workload-api/proto.js';
import { FaultyMessages } from './faulty-messages.js';
import type { CallStatus } from './message-stream.js';

export type UnaryCall = ServerUnaryCall<Uint8Array, Uint8Array>;

/** A call that is refused, and with which status. */
export interface Refused {
  readonly refused: CallStatus;
}

/** An RPC that is answered once. */
export class UnaryRpc<Request, Response extends object> {
  readonly messages: FaultyMessages<Response>;
  readonly #rpc: RpcMethod<Request, Response>;
  readonly #answer: (request: Request) => Promise<Response | Refused>;
  readonly #clock: Clock;
  readonly #logger: Logger;

  /** @param answer - decides; a `SpiffeError` that it throws is told to the caller as `INVALID_ARGUMENT`. */
  constructor(
    rpc: RpcMethod<Request, Response>,
    answer: (request: Request) => Promise<Response | Refused>,
    environment: { readonly clock: Clock; readonly logger: Logger },
  ) {
    this.messages = new FaultyMessages(rpc.response);
    this.#rpc = rpc;
    this.#answer = answer;
    this.#clock = environment.clock;
    this.#logger = environment.logger;
  }

  /** Answers at once, or after `delayMs` with what holds then. */
  accept(call: UnaryCall, callback: sendUnaryData<Uint8Array>, delayMs: number): void {
    if (delayMs <= 0) {
      void this.#serve(call.request, callback);
      return;
    }
    const timer = this.#clock.setTimeout(() => {
      void this.#serve(call.request, callback);
    }, delayMs);
    call.on('cancelled', () => this.#clock.clearTimeout(timer));
  }

  async #serve(bytes: Uint8Array, callback: sendUnaryData<Uint8Array>): Promise<void> {
    try {
      const answer = await this.#answer(this.#rpc.request.decode(bytes));
      if ('refused' in answer) {
        callback(answer.refused);
        return;
      }
      this.#logger.debug({ path: this.#rpc.path }, 'answered');
      callback(null, this.messages.outgoing(answer));
    } catch (error) {
      callback(statusOf(error));
    }
  }
}

function statusOf(error: unknown): CallStatus {
  return error instanceof SpiffeError
    ? { code: 3, details: error.message }
    : { code: 13, details: error instanceof Error ? error.message : 'it failed' };
}
