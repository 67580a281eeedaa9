import type {
  JSONRPCMessage,
  JSONRPCRequest,
  JSONRPCResponse,
  MessageExtraInfo,
  RequestId,
  Transport,
  TransportSendOptions,
} from '@modelcontextprotocol/server';

/** How whoever answers in the server's stead can have the server do something. */
export interface Behind {
  /** Hands a request on to the server, and gives what it answers. */
  ask(request: JSONRPCRequest): Promise<JSONRPCResponse>;
  /** Tells the server that no one wants the answer any more; one that comes all the same is dropped. */
  cancel(): void;
}

/** Answers a request in the server's stead. Never rejects. */
export type Answer = (request: JSONRPCRequest, behind: Behind) => Promise<JSONRPCResponse>;

/** What tells about the server and touches no tool. */
const HARMLESS = ['initialize', 'ping', 'server/discover', 'logging/setLevel'];
/** What is about a request, or a connection. Others would be handled outside any task. */
const NOTIFICATIONS = ['notifications/initialized', 'notifications/cancelled'];

/**
 * Stands between a connection and the server on it: every request that could do something is answered by `answer`,
 * which has the server do what it sees fit. The server is to be connected already.
 */
export function interpose(transport: Transport, answer: Answer): void {
  const between = new Between(transport, answer);
  Object.assign<Transport, Partial<Transport>>(transport, {
    onmessage: (message, extra) => between.receive(message, extra),
    send: (message, options) => between.send(message, options),
  });
}

class Between {
  readonly #deliver: NonNullable<Transport['onmessage']>;
  readonly #send: Transport['send'];
  readonly #answer: Answer;
  /** Requests that are not answered yet, with who gets what the server answers: the caller, unless there is someone. */
  readonly #open = new Map<RequestId, ((response: JSONRPCResponse) => void) | undefined>();

  constructor(transport: Transport, answer: Answer) {
    this.#deliver = transport.onmessage?.bind(transport) ?? ignore;
    this.#send = transport.send.bind(transport);
    this.#answer = answer;
  }

  /** From the caller. */
  receive(message: JSONRPCMessage, extra: MessageExtraInfo | undefined): void {
    // An answer belongs to nothing here: there is no session in which the server could have asked.
    if (!('method' in message)) return;
    if (!('id' in message)) {
      if (NOTIFICATIONS.includes(message.method)) this.#deliver(message, extra);
      return;
    }
    const { id, method } = message;
    // JSON-RPC 2.0 4: of two requests with one id no one could tell the answers apart.
    if (this.#open.has(id)) return;
    if (HARMLESS.includes(method)) {
      this.#open.set(id, undefined);
      this.#deliver(message, extra);
      return;
    }
    this.#open.set(id, ignore);
    void this.#stead(message, extra);
  }

  /** From the server. Whatever it still says of a request that was answered in its stead comes too late. */
  async send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    if ('method' in message) {
      const about = options?.relatedRequestId;
      if (about === undefined || this.#open.has(about)) await this.#send(message, options);
      return;
    }
    const { id } = message;
    if (id !== undefined && !this.#open.has(id)) return;
    const waiting = id !== undefined ? this.#open.get(id) : undefined;
    if (waiting !== undefined) {
      waiting(message);
      return;
    }
    if (id !== undefined) this.#open.delete(id);
    await this.#send(message, options);
  }

  async #stead(request: JSONRPCRequest, extra: MessageExtraInfo | undefined): Promise<void> {
    const { id } = request;
    const response = await this.#answer(request, {
      ask: (asked) =>
        new Promise((resolve) => {
          this.#open.set(id, resolve);
          this.#deliver(asked, extra);
        }),
      cancel: () => {
        this.#open.set(id, ignore);
        const params = { requestId: id };
        this.#deliver({ jsonrpc: '2.0', method: 'notifications/cancelled', params }, extra);
      },
    });
    this.#open.delete(id);
    // A caller that is gone needs none.
    await this.#send(response).catch(ignore);
  }
}

function ignore(): void {}
