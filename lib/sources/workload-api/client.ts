import {
  Client,
  type ClientReadableStream,
  connectivityState,
  Metadata,
  status,
} from '@grpc/grpc-js';
import { describeAddress, type WorkloadApiAddress } from './address.js';
import type { StreamEnd } from './failure.js';
import { PlaintextCredentials } from './plaintext.js';
import type { RpcMethod } from './proto.js';

/** What a stream tells its owner. Neither may throw. */
export interface StreamEvents {
  message(bytes: Uint8Array): void;
  /** Called once, last. */
  end(end: StreamEnd): void;
}

/** One call under way. */
export interface Stream {
  /** Ends the call; nothing is told of it from then on. */
  cancel(): void;
}

/** Options of {@link WorkloadApiClient}. */
export interface WorkloadApiClientOptions {
  readonly address: WorkloadApiAddress;
  /** The largest message taken, in bytes. */
  readonly messageBytes: number;
}

/** A channel and the calls that are on it. */
interface Connection {
  readonly client: Client;
  readonly credentials: PlaintextCredentials;
  calls: number;
}

/**
 * Calls a Workload API. It loads grpc-js, so it is itself loaded on first use.
 *
 * A channel whose endpoint was unreachable is given up with its last call, and the next call makes another: grpc-js
 * would let the old one wait for a time of its own (up to two minutes) on top of ours.
 */
export class WorkloadApiClient {
  readonly #options: WorkloadApiClientOptions;
  #connection: Connection | undefined;

  constructor(options: WorkloadApiClientOptions) {
    this.#options = options;
  }

  /** Starts a call that the server answers with a stream of messages; they come as bytes, as they were sent. */
  stream<Request, Response>(
    method: RpcMethod<Request, Response>,
    request: Request,
    events: StreamEvents,
  ): Stream {
    const connection = this.#connect();
    connection.calls++;
    let over = false;
    const call: ClientReadableStream<Buffer> = connection.client.makeServerStreamRequest(
      method.path,
      (message: Request) => Buffer.from(method.request.encode(message)),
      // grpc-js would end the call for a message that cannot be decoded; ours may only be passed over.
      (bytes: Buffer) => bytes,
      request,
      // WLE-04: on every request; without it the server refuses.
      metadata(),
    );
    call.on('data', (bytes: Buffer) => {
      if (!over) events.message(bytes);
    });
    // The status says all of it; without a listener an error would end the process.
    call.on('error', () => {});
    call.on('status', ({ code, details }) => {
      const unreachable = code === status.UNAVAILABLE && !isReady(connection.client);
      this.#leave(connection, unreachable);
      if (over) return;
      over = true;
      events.end({ status: code, details: unreachable ? plain(details) : details, unreachable });
    });
    return {
      cancel() {
        over = true;
        call.cancel();
      },
    };
  }

  /** Closes the connection; calls still under way end with it, and the next call makes another. */
  reconnect(): void {
    if (this.#connection !== undefined) destroy(this.#connection);
    this.#connection = undefined;
  }

  close(): void {
    this.reconnect();
  }

  #connect(): Connection {
    this.#connection ??= connect(this.#options);
    return this.#connection;
  }

  #leave(connection: Connection, unreachable: boolean): void {
    connection.calls--;
    if (unreachable && this.#connection === connection) this.#connection = undefined;
    if (this.#connection !== connection && connection.calls === 0) destroy(connection);
  }
}

function connect({ address, messageBytes }: WorkloadApiClientOptions): Connection {
  const credentials = new PlaintextCredentials();
  const client = new Client(target(address), credentials, {
    'grpc.max_receive_message_length': messageBytes,
    // A proxy of the environment has no business with a local endpoint.
    'grpc.enable_http_proxy': 0,
    // The pool that a process shares would hand the new channel the old one's wait.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_channelz': 0,
    'grpc.service_config_disable_resolution': 1,
  });
  return { client, credentials, calls: 0 };
}

function destroy({ client, credentials }: Connection): void {
  client.close();
  credentials.destroy();
}

function metadata(): Metadata {
  const result = new Metadata();
  result.set('workload.spiffe.io', 'true');
  return result;
}

function isReady(client: Client): boolean {
  return client.getChannel().getConnectivityState(false) === connectivityState.READY;
}

/** What the system said, without the words that grpc-js puts around it. */
function plain(details: string): string {
  return (
    /^No connection established\. Last error: (?:Error: )?(.*?)\.? Resolution note: ?$/.exec(
      details,
    )?.[1] ?? details
  );
}

/** The address as grpc-js takes it, by a scheme that looks nothing up. */
function target(address: WorkloadApiAddress): string {
  if (address.kind === 'unix') return `unix://${address.path}`;
  const kind = address.host.includes(':') ? 'ipv6' : 'ipv4';
  return describeAddress(address).replace('tcp://', `${kind}:`);
}
