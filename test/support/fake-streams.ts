import type { Stream, StreamEvents } from '#lib/sources/workload-api/client.js';
import type { RpcMethod } from '#lib/sources/workload-api/proto.js';

/** One call that was made, in the test's hand. */
export class FakeCall {
  readonly path: string;
  readonly #events: StreamEvents;
  cancelled = false;

  constructor(path: string, events: StreamEvents) {
    this.path = path;
    this.#events = events;
  }

  send(bytes: Uint8Array): void {
    this.#events.message(bytes);
  }

  end(
    status: number,
    options: { readonly details?: string; readonly unreachable?: boolean } = {},
  ): void {
    const { details = '', unreachable = false } = options;
    this.#events.end({ status, details, unreachable });
  }
}

/** A client of the Workload API that connects to nothing. */
export class FakeStreams {
  readonly calls: FakeCall[] = [];
  reconnects = 0;

  readonly reconnect = (): void => {
    this.reconnects++;
  };

  readonly stream = <Request, Response>(
    method: Pick<RpcMethod<Request, Response>, 'path'>,
    _request: Request,
    events: StreamEvents,
  ): Stream => {
    const call = new FakeCall(method.path, events);
    this.calls.push(call);
    return {
      cancel: () => {
        call.cancelled = true;
      },
    };
  };

  /** The call made last. */
  get call(): FakeCall {
    const last = this.calls.at(-1);
    if (last === undefined) throw new Error('no call was made');
    return last;
  }
}
