import { EventEmitter, once } from 'node:events';
import type { Server as TlsServer } from 'node:tls';
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  type ClientOptions,
  type ClientReadableStream,
  Metadata,
  type MethodDefinition,
  Server,
  type ServerDuplexStream,
  type ServerInterceptor,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
} from '@grpc/grpc-js';
import type { Identity } from 'agent-spiffe';
import { createServer, type ServerOptions } from 'agent-spiffe/grpc';
import { listen } from './listen.js';

const serialize = (text: string): Buffer => Buffer.from(text);
const deserialize = (bytes: Buffer): string => bytes.toString();

function method(
  name: string,
  requestStream: boolean,
  responseStream: boolean,
): MethodDefinition<string, string> {
  return {
    path: `/test.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  };
}

/** A service whose messages are plain text. */
export const ECHO = {
  unary: method('unary', false, false),
  upload: method('upload', true, false),
  download: method('download', false, true),
  talk: method('talk', true, true),
} as const;

/** What a call of any kind has. */
export type EchoCall = Pick<
  ServerUnaryCall<string, string>,
  'getAuthContext' | 'getPath' | 'metadata'
>;

/** The service behind a gate; it says hello to each call, and keeps a `download` of "hold" open. */
export class EchoServer implements AsyncDisposable {
  readonly server: Server;
  readonly port: TlsServer;
  /** `call` with each that reaches a handler; `cancelled` when a stream is cut. */
  readonly events: EventEmitter = new EventEmitter();
  readonly calls: EchoCall[] = [];
  target = '';

  private constructor(
    identity: Identity,
    options: ServerOptions,
    interceptors: readonly ServerInterceptor[] = [],
  ) {
    this.server = new Server({ interceptors: [...interceptors] });
    this.server.addService(ECHO, {
      unary: (call: ServerUnaryCall<string, string>, done: sendUnaryData<string>) => {
        this.#note(call);
        done(null, `hello ${call.request}`);
      },
      upload: (call: ServerReadableStream<string, string>, done: sendUnaryData<string>) => {
        this.#note(call);
        const parts: string[] = [];
        call.on('data', (part: string) => parts.push(part));
        call.on('end', () => done(null, parts.join('+')));
      },
      download: (call: ServerWritableStream<string, string>) => {
        this.#note(call);
        call.on('cancelled', () => this.events.emit('cancelled'));
        for (const word of call.request.split(' ')) call.write(word);
        if (call.request !== 'hold') call.end();
      },
      talk: (call: ServerDuplexStream<string, string>) => {
        this.#note(call);
        call.on('data', (part: string) => call.write(`${part}!`));
        call.on('end', () => call.end());
        call.on('cancelled', () => this.events.emit('cancelled'));
      },
    });
    this.port = createServer(identity, options, this.server);
  }

  #note(call: EchoCall): void {
    this.calls.push(call);
    this.events.emit('call', call);
  }

  static async open(
    identity: Identity,
    options: ServerOptions,
    interceptors: readonly ServerInterceptor[] = [],
  ): Promise<EchoServer> {
    const echo = new EchoServer(identity, options, interceptors);
    echo.target = `127.0.0.1:${await listen(echo.port)}`;
    return echo;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.port.listening) return;
    const closed = once(this.port, 'close');
    this.server.forceShutdown();
    await closed;
  }
}

/** A client of it. */
export class EchoClient extends Client implements Disposable {
  constructor(target: string, credentials: ChannelCredentials, options: ClientOptions = {}) {
    super(target, credentials, options);
  }

  unary(text: string, metadata: Metadata = new Metadata()): Promise<string> {
    const { path, requestSerialize, responseDeserialize } = ECHO.unary;
    return new Promise((resolve, reject) => {
      this.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        text,
        metadata,
        (error: ServiceError | null, answer: string = '') =>
          error ? reject(error) : resolve(answer),
      );
    });
  }

  upload(parts: readonly string[]): Promise<string> {
    const { path, requestSerialize, responseDeserialize } = ECHO.upload;
    return new Promise((resolve, reject) => {
      const call = this.makeClientStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        (error: ServiceError | null, answer: string = '') =>
          error ? reject(error) : resolve(answer),
      );
      for (const part of parts) call.write(part);
      call.end();
    });
  }

  download(text: string): ClientReadableStream<string> {
    const { path, requestSerialize, responseDeserialize } = ECHO.download;
    return this.makeServerStreamRequest(path, requestSerialize, responseDeserialize, text);
  }

  talk(): ClientDuplexStream<string, string> {
    const { path, requestSerialize, responseDeserialize } = ECHO.talk;
    return this.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The status that ended a call, which must not have succeeded. */
export async function failureOf(outcome: Promise<unknown>): Promise<ServiceError> {
  const error: unknown = await outcome.then(
    (value) => new Error(`it succeeded: ${String(value)}`),
    (reason: unknown) => reason,
  );
  if (error instanceof Error && 'details' in error) return error as ServiceError;
  throw error;
}
