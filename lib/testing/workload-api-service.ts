import type {
  Server,
  ServerUnaryCall,
  ServiceDefinition,
  sendUnaryData,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Clock } from '../internal/clock.js';
import type { Logger } from '../log.js';
import {
  FETCH_X509_BUNDLES,
  FETCH_X509_SVID,
  type X509BundlesResponse,
  type X509SvidResponse,
} from '../sources/workload-api/proto.js';
import { CallLog } from './call-log.js';
import { type CallStatus, MessageStream, type OpenCall } from './message-stream.js';

/** What the service sends: each is the complete state, and `undefined` when the caller is entitled to nothing. */
export interface State {
  x509Svids(): X509SvidResponse | undefined;
  x509Bundles(): X509BundlesResponse | undefined;
}

interface AnyCall {
  readonly metadata: ServerUnaryCall<Uint8Array, Uint8Array>['metadata'];
}

const STREAMS = ['FetchJWTBundles', 'FetchWITSVID', 'FetchWITBundles'];
const UNARY = ['FetchJWTSVID', 'ValidateJWTSVID'];

const NO_SECURITY_HEADER: CallStatus = {
  code: 3,
  details: 'security header missing: send the metadata workload.spiffe.io: true',
};
const NOT_SERVED: CallStatus = {
  code: 12,
  details: 'the development Workload API serves X.509-SVIDs and X.509 bundles',
};

/** The gRPC service of the Workload API, with the faults that a test wants from it. */
export class WorkloadApiService {
  readonly calls: CallLog = new CallLog();
  readonly svids: MessageStream<X509SvidResponse>;
  readonly bundles: MessageStream<X509BundlesResponse>;
  /** How long the first message of a new stream is held back. */
  delayMs = 0;
  #failure: CallStatus | undefined;
  #failures = 0;
  readonly #logger: Logger;
  readonly #idleWaiters = new Set<() => void>();

  constructor(state: State, clock: Clock, logger: Logger) {
    this.#logger = logger;
    const environment = { clock, logger, idle: () => this.#wakeIdle() };
    this.svids = new MessageStream(FETCH_X509_SVID, () => state.x509Svids(), environment);
    this.bundles = new MessageStream(FETCH_X509_BUNDLES, () => state.x509Bundles(), environment);
  }

  addTo(server: Server): void {
    const definition: Record<string, ServiceDefinition[string]> = {};
    const handlers: UntypedServiceImplementation = {};
    const add = (method: string, responseStream: boolean): void => {
      definition[method] = {
        path: `/SpiffeWorkloadAPI/${method}`,
        requestStream: false,
        responseStream,
        requestDeserialize: asBytes,
        requestSerialize: asBytes,
        responseDeserialize: asBytes,
        responseSerialize: asBytes,
      };
    };
    const stream = (method: string, serve: (call: OpenCall) => void): void => {
      add(method, true);
      handlers[method] = (call: OpenCall) => {
        const refusal = this.#receive(method, call);
        if (refusal === undefined) serve(call);
        else call.emit('error', refusal);
      };
    };
    stream('FetchX509SVID', (call) => this.svids.accept(call, this.delayMs));
    stream('FetchX509Bundles', (call) => this.bundles.accept(call, this.delayMs));
    for (const method of STREAMS) stream(method, (call) => call.emit('error', NOT_SERVED));
    for (const method of UNARY) {
      add(method, false);
      handlers[method] = (
        call: ServerUnaryCall<Uint8Array, Uint8Array>,
        callback: sendUnaryData<Uint8Array>,
      ) => callback(this.#receive(method, call) ?? NOT_SERVED);
    }
    server.addService(definition, handlers);
  }

  get openStreams(): number {
    return this.svids.size + this.bundles.size;
  }

  fail(status: CallStatus, times: number): void {
    this.#failure = status;
    this.#failures = times;
  }

  heal(): void {
    this.delayMs = 0;
    this.#failures = 0;
    this.svids.heal();
    this.bundles.heal();
  }

  push(always: boolean): void {
    this.svids.push(always);
    this.bundles.push(always);
  }

  endStreams(status: CallStatus): void {
    this.svids.end(status);
    this.bundles.end(status);
  }

  /** Resolves when no stream is open. */
  idle(): Promise<void> {
    if (this.openStreams === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.add(resolve));
  }

  #wakeIdle(): void {
    if (this.openStreams > 0) return;
    for (const wake of this.#idleWaiters) wake();
    this.#idleWaiters.clear();
  }

  /** Notes the call; gives the status with which it is refused, if it is. */
  #receive(method: string, { metadata }: AnyCall): CallStatus | undefined {
    const sent: Record<string, readonly string[]> = {};
    for (const name of Object.keys(metadata.getMap())) sent[name] = metadata.get(name).map(String);
    const values = sent['workload.spiffe.io'] ?? [];
    this.calls.record({ method, metadata: sent });
    this.#logger.debug({ method }, 'called');
    // Workload Endpoint 3: this header keeps a request that someone was tricked into from being answered.
    if (values.length !== 1 || values[0] !== 'true') return NO_SECURITY_HEADER;
    if (this.#failures === 0) return undefined;
    this.#failures -= 1;
    return this.#failure;
  }
}

function asBytes(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
