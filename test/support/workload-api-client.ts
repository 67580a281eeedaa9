import {
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';
import protobuf from 'protobufjs';

// Names and numbers from the tables of SPIFFE_Workload_API 5 to 7. This client shares no code with the library.
const DESCRIPTION = `
syntax = "proto3";
message X509SVIDRequest {}
message X509SVIDResponse { repeated X509SVID svids = 1; repeated bytes crl = 2; map<string, bytes> federated_bundles = 3; }
message X509SVID { string spiffe_id = 1; bytes x509_svid = 2; bytes x509_svid_key = 3; bytes bundle = 4; string hint = 5; }
message X509BundlesRequest {}
message X509BundlesResponse { repeated bytes crl = 1; map<string, bytes> bundles = 2; }
message JWTSVIDRequest { repeated string audience = 1; string spiffe_id = 2; }
message JWTSVIDResponse { repeated JWTSVID svids = 1; }
message JWTSVID { string spiffe_id = 1; string svid = 2; string hint = 3; }
message JWTBundlesRequest {}
message JWTBundlesResponse { map<string, bytes> bundles = 1; }
message ValidateJWTSVIDRequest { string audience = 1; string svid = 2; }
message ValidateJWTSVIDResponse { string spiffe_id = 1; Struct claims = 2; }
message Struct { map<string, Value> fields = 1; }
message Value { oneof kind { int32 null_value = 1; double number_value = 2; string string_value = 3; bool bool_value = 4; Struct struct_value = 5; ListValue list_value = 6; } }
message ListValue { repeated Value values = 1; }
message WITSVIDRequest { string spiffe_id = 1; }
message WITBundlesRequest {}
`;
const { root } = protobuf.parse(DESCRIPTION, { keepCase: true });

export interface RawSvid {
  readonly spiffe_id: string;
  readonly x509_svid: Uint8Array;
  readonly x509_svid_key: Uint8Array;
  readonly bundle: Uint8Array;
  readonly hint: string;
}

export interface RawSvids {
  readonly svids: readonly RawSvid[];
  readonly crl: readonly Uint8Array[];
  readonly federated_bundles: Readonly<Record<string, Uint8Array>>;
}

export interface RawBundles {
  readonly crl: readonly Uint8Array[];
  readonly bundles: Readonly<Record<string, Uint8Array>>;
}

export interface RawJwt {
  readonly spiffe_id: string;
  readonly svid: string;
  readonly hint: string;
}

export interface RawValidation {
  readonly spiffe_id: string;
  /** The Struct as the JSON that it stands for. */
  readonly claims: Readonly<Record<string, unknown>>;
}

interface RawValue {
  readonly kind: string;
  readonly [kind: string]: unknown;
}

/** How a call ended, by the number of its gRPC status. */
export interface Ended {
  readonly code: number;
  readonly details: string;
}

/** The RPCs of the standard (WLA-03), each with whether it streams. */
export const RPCS: Readonly<Record<string, boolean>> = {
  FetchX509SVID: true,
  FetchX509Bundles: true,
  FetchJWTSVID: false,
  FetchJWTBundles: true,
  ValidateJWTSVID: false,
  FetchWITSVID: true,
  FetchWITBundles: true,
};

const REQUESTS: Readonly<Record<string, readonly [string, object]>> = {
  FetchX509SVID: ['X509SVIDRequest', {}],
  FetchX509Bundles: ['X509BundlesRequest', {}],
  FetchJWTSVID: ['JWTSVIDRequest', { audience: ['test'] }],
  FetchJWTBundles: ['JWTBundlesRequest', {}],
  ValidateJWTSVID: ['ValidateJWTSVIDRequest', { audience: 'test', svid: 'a.b.c' }],
  FetchWITSVID: ['WITSVIDRequest', {}],
  FetchWITBundles: ['WITBundlesRequest', {}],
};

/** What every request carries (WLE-04). */
export const SECURITY_HEADER: readonly (readonly [string, string])[] = [
  ['workload.spiffe.io', 'true'],
];

/** The messages of one stream, in the order in which they came. */
export class RawStream<Message> {
  readonly #call: ClientReadableStream<Buffer>;
  readonly #messages: Message[] = [];
  readonly #waiting: { resolve(message: Message): void; reject(reason: Error): void }[] = [];
  /** Resolves when the stream has ended, cleanly (0) or not. */
  readonly ended: Promise<Ended>;

  constructor(call: ClientReadableStream<Buffer>, read: (bytes: Buffer) => Message) {
    this.#call = call;
    call.on('data', (bytes: Buffer) => {
      const message = read(bytes);
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#messages.push(message);
      else waiting.resolve(message);
    });
    // The status says the same, and comes for a clean end too.
    call.on('error', () => {});
    this.ended = new Promise((resolve) => {
      call.on('status', ({ code, details }: StatusObject) => {
        for (const waiting of this.#waiting) waiting.reject(new Error(`ended: ${code} ${details}`));
        resolve({ code, details });
      });
    });
  }

  next(): Promise<Message> {
    const message = this.#messages.shift();
    if (message !== undefined) return Promise.resolve(message);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Messages that have come and were not asked for. */
  get unread(): number {
    return this.#messages.length;
  }

  cancel(): void {
    this.#call.cancel();
  }
}

/** A client of the Workload API that does what it is told and nothing by itself. */
export class RawClient {
  readonly #client: Client;

  constructor(address: string) {
    // A shared subchannel would still wait for its backoff when a second client asks again.
    this.#client = new Client(address.replace(/^tcp:\/\//, ''), credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  svids(): RawStream<RawSvids> {
    return this.stream('FetchX509SVID', readSvids);
  }

  bundles(): RawStream<RawBundles> {
    return this.stream('FetchX509Bundles', readBundles);
  }

  rawSvids(): RawStream<Buffer> {
    return this.stream('FetchX509SVID', (bytes) => bytes);
  }

  stream<Message>(
    method: string,
    read: (bytes: Buffer) => Message,
    header: readonly (readonly [string, string])[] = SECURITY_HEADER,
  ): RawStream<Message> {
    const call = this.#client.makeServerStreamRequest(
      `/SpiffeWorkloadAPI/${method}`,
      asIs,
      asIs,
      encodeRequest(method),
      metadata(header),
    );
    return new RawStream(call, read);
  }

  /** JWK sets, by the SPIFFE ID of the trust domain. */
  jwtBundles(): RawStream<Readonly<Record<string, unknown>>> {
    return this.stream('FetchJWTBundles', readJwtBundles);
  }

  /** The tokens, or how the call ended without. */
  async jwtSvids(request: {
    readonly audience: readonly string[];
    readonly spiffe_id?: string;
  }): Promise<readonly RawJwt[] | Ended> {
    const answer = await this.unary('FetchJWTSVID', SECURITY_HEADER, request);
    return Buffer.isBuffer(answer) ? readJwts(answer) : answer;
  }

  /** The verdict, or how the call ended without. */
  async validate(request: {
    readonly audience: string;
    readonly svid: string;
  }): Promise<RawValidation | Ended> {
    const answer = await this.unary('ValidateJWTSVID', SECURITY_HEADER, request);
    return Buffer.isBuffer(answer) ? readValidation(answer) : answer;
  }

  unary(
    method: string,
    header: readonly (readonly [string, string])[] = SECURITY_HEADER,
    message?: object,
  ): Promise<Buffer | Ended> {
    return new Promise((resolve) => {
      const done = (error: ServiceError | null, answer?: Buffer): void =>
        resolve(error ?? answer ?? Buffer.alloc(0));
      this.#client.makeUnaryRequest(
        `/SpiffeWorkloadAPI/${method}`,
        asIs,
        asIs,
        encodeRequest(method, message),
        metadata(header),
        done,
      );
    });
  }

  /** Calls any RPC, and tells how it ended or that it gave a message. */
  async outcome(
    method: string,
    header: readonly (readonly [string, string])[] = SECURITY_HEADER,
  ): Promise<Ended | 'a message'> {
    if (RPCS[method] === false) {
      const answer = await this.unary(method, header);
      return Buffer.isBuffer(answer) ? 'a message' : answer;
    }
    const stream = this.stream(method, () => 'a message' as const, header);
    try {
      return await Promise.race([stream.next(), stream.ended]);
    } catch {
      return stream.ended;
    } finally {
      stream.cancel();
    }
  }

  close(): void {
    this.#client.close();
  }
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

function encodeRequest(method: string, given?: object): Buffer {
  const [type, usual] = REQUESTS[method] ?? ['X509SVIDRequest', {}];
  const message = given ?? usual;
  return Buffer.from(root.lookupType(type).encode(message).finish());
}

function metadata(header: readonly (readonly [string, string])[]): Metadata {
  const result = new Metadata();
  for (const [name, value] of header) result.add(name, value);
  return result;
}

// oxlint-disable typescript/no-unsafe-type-assertion -- reflection knows no static types
function readSvids(bytes: Buffer): RawSvids {
  return decode('X509SVIDResponse', bytes) as RawSvids;
}

function readBundles(bytes: Buffer): RawBundles {
  return decode('X509BundlesResponse', bytes) as RawBundles;
}

function readJwts(bytes: Buffer): readonly RawJwt[] {
  return (decode('JWTSVIDResponse', bytes) as { svids: readonly RawJwt[] }).svids;
}

function readJwtBundles(bytes: Buffer): Readonly<Record<string, unknown>> {
  const { bundles } = decode('JWTBundlesResponse', bytes) as {
    bundles: Readonly<Record<string, Buffer>>;
  };
  return Object.fromEntries(
    Object.entries(bundles).map(([id, json]) => [id, JSON.parse(json.toString()) as unknown]),
  );
}

function readValidation(bytes: Buffer): RawValidation {
  const type = root.lookupType('ValidateJWTSVIDResponse');
  const { spiffe_id, claims } = type.toObject(type.decode(bytes), { oneofs: true }) as {
    spiffe_id: string;
    claims: { fields: Readonly<Record<string, RawValue>> };
  };
  return { spiffe_id, claims: jsonOf(claims.fields) };
}

function jsonOf(fields: Readonly<Record<string, RawValue>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, valueOf(value)]));
}

function valueOf(value: RawValue): unknown {
  const held = value[value.kind];
  if (value.kind === 'null_value') return null;
  if (value.kind === 'struct_value')
    return jsonOf((held as { fields?: Readonly<Record<string, RawValue>> }).fields ?? {});
  if (value.kind === 'list_value')
    return ((held as { values?: readonly RawValue[] }).values ?? []).map(valueOf);
  return held;
}
// oxlint-enable typescript/no-unsafe-type-assertion

function decode(type: string, bytes: Buffer): object {
  const message = root.lookupType(type);
  return message.toObject(message.decode(bytes), { defaults: true });
}
