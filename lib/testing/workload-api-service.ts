import { X509Certificate } from 'node:crypto';
import type {
  Metadata,
  Server,
  ServiceDefinition,
  sendUnaryData,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Clock } from '../internal/clock.js';
import type { Logger } from '../log.js';
import {
  MINT_X509_SVID,
  type MintX509SvidRequest,
  type MintX509SvidResponse,
} from '../sources/spire/proto.js';
import {
  FETCH_JWT_BUNDLES,
  FETCH_JWT_SVID,
  FETCH_X509_BUNDLES,
  FETCH_X509_SVID,
  type JwtBundlesResponse,
  type JwtSvidRequest,
  type JwtSvidResponse,
  VALIDATE_JWT_SVID,
  type ValidateJwtSvidRequest,
  type ValidateJwtSvidResponse,
  type X509BundlesResponse,
  type X509SvidResponse,
} from '../sources/workload-api/proto.js';
import { CallLog } from './call-log.js';
import type { Issuer } from './issuer.js';
import { issueTokens, validateToken } from './jwt-answers.js';
import { type CallStatus, MessageStream, type OpenCall } from './message-stream.js';
import { type UnaryCall, UnaryRpc } from './unary-rpc.js';

interface AnyCall {
  readonly metadata: Metadata;
}

const NOT_SERVED_STREAMS = ['FetchWITSVID', 'FetchWITBundles'];

const NO_SECURITY_HEADER: CallStatus = {
  code: 3,
  details: 'security header missing: send the metadata workload.spiffe.io: true',
};
const NOT_SERVED: CallStatus = {
  code: 12,
  details: 'the development Workload API serves X.509-SVIDs, JWT-SVIDs and their bundles',
};

/** The gRPC service of the Workload API, with the faults that a test wants from it. */
export class WorkloadApiService {
  readonly calls: CallLog = new CallLog();
  readonly svids: MessageStream<X509SvidResponse>;
  readonly bundles: MessageStream<X509BundlesResponse>;
  readonly jwtBundles: MessageStream<JwtBundlesResponse>;
  readonly jwtSvids: UnaryRpc<JwtSvidRequest, JwtSvidResponse>;
  readonly validation: UnaryRpc<ValidateJwtSvidRequest, ValidateJwtSvidResponse>;
  readonly minting: UnaryRpc<MintX509SvidRequest, MintX509SvidResponse>;
  /** How long an answer, or the first message of a new stream, is held back. */
  delayMs = 0;
  #failure: CallStatus | undefined;
  #failures = 0;
  readonly #logger: Logger;
  readonly #idleWaiters = new Set<() => void>();

  constructor(issuer: Issuer, clock: Clock, logger: Logger) {
    this.#logger = logger;
    const environment = { clock, logger, idle: () => this.#wakeIdle() };
    this.svids = new MessageStream(FETCH_X509_SVID, () => issuer.x509Svids(), environment);
    this.bundles = new MessageStream(FETCH_X509_BUNDLES, () => issuer.x509Bundles(), environment);
    this.jwtBundles = new MessageStream(FETCH_JWT_BUNDLES, () => issuer.jwtBundles(), environment);
    this.jwtSvids = new UnaryRpc(
      FETCH_JWT_SVID,
      (request) => issueTokens(issuer, request),
      environment,
    );
    this.minting = new UnaryRpc(MINT_X509_SVID, (request) => mint(issuer, request), environment);
    this.validation = new UnaryRpc(
      VALIDATE_JWT_SVID,
      (request) => validateToken(issuer, request, clock),
      environment,
    );
  }

  addTo(server: Server): void {
    const definition: Record<string, ServiceDefinition[string]> = {};
    const handlers: UntypedServiceImplementation = {};
    const add = (
      method: string,
      responseStream: boolean,
      path = `/SpiffeWorkloadAPI/${method}`,
    ): void => {
      definition[method] = {
        path,
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
    stream('FetchJWTBundles', (call) => this.jwtBundles.accept(call, this.delayMs));
    for (const method of NOT_SERVED_STREAMS)
      stream(method, (call) => call.emit('error', NOT_SERVED));
    for (const [method, rpc, path] of [
      ['FetchJWTSVID', this.jwtSvids, FETCH_JWT_SVID.path],
      ['ValidateJWTSVID', this.validation, VALIDATE_JWT_SVID.path],
      ['MintX509SVID', this.minting, MINT_X509_SVID.path],
    ] as const) {
      add(method, false, path);
      handlers[method] = (call: UnaryCall, callback: sendUnaryData<Uint8Array>) => {
        const refusal = this.#receive(method, call);
        if (refusal === undefined) rpc.accept(call, callback, this.delayMs);
        else callback(refusal);
      };
    }
    server.addService(definition, handlers);
  }

  get openStreams(): number {
    return this.#streams.reduce((sum, { size }) => sum + size, 0);
  }

  fail(status: CallStatus, times: number): void {
    this.#failure = status;
    this.#failures = times;
  }

  heal(): void {
    this.delayMs = 0;
    this.#failures = 0;
    for (const { messages } of [...this.#streams, this.jwtSvids, this.validation, this.minting])
      messages.heal();
  }

  push(always: boolean): void {
    for (const stream of this.#streams) stream.push(always);
  }

  endStreams(status: CallStatus): void {
    for (const stream of this.#streams) stream.end(status);
  }

  /** Resolves when no stream is open. */
  idle(): Promise<void> {
    if (this.openStreams === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.add(resolve));
  }

  get #streams(): readonly [typeof this.svids, typeof this.bundles, typeof this.jwtBundles] {
    return [this.svids, this.bundles, this.jwtBundles];
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

/** What SPIRE's server would answer, were every caller allowed to mint; and only a request for one ID. */
function mint(issuer: Issuer, { csr, ttl }: MintX509SvidRequest): Promise<MintX509SvidResponse> {
  const certChain = issuer.ca.mint(csr, ttl === 0 ? {} : { ttlMs: ttl * 1000 });
  const { validTo } = new X509Certificate(certChain[0] as Uint8Array);
  return Promise.resolve({ svid: { certChain, expiresAt: Date.parse(validTo) / 1000 } });
}

function asBytes(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
