import { isIP } from 'node:net';
import { Client, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { MutualTlsCredentials } from '../../bindings/grpc/channel-credentials.js';
import { SpiffeError } from '../../errors.js';
import type { Identity } from '../../identity/source.js';
import { quote } from '../../internal/quote.js';
import { MINT_X509_SVID, type MintX509SvidResponse } from '../../sources/spire/proto.js';
import { DEFAULT_CONNECT_TIMEOUT_MS } from '../../tls/connect.js';
import type { Rule } from '../../tls/rule.js';
import type { MintRequest } from './mint.js';

const ANSWER_MS = 10_000;

/** Which server, and as whom it is asked. */
export interface SpireServer {
  readonly identity: Identity;
  readonly host: string;
  readonly port: number;
  readonly rule: Rule;
}

/** A channel to SPIRE's server. It loads grpc-js, so it is itself loaded on first use. */
export class SpireClient {
  readonly #to: SpireServer;
  readonly #credentials: MutualTlsCredentials;
  readonly #client: Client;

  constructor(to: SpireServer) {
    this.#to = to;
    this.#credentials = new MutualTlsCredentials({ ...to, timeoutMs: DEFAULT_CONNECT_TIMEOUT_MS });
    this.#client = new Client(target(to), this.#credentials, {
      'grpc.enable_http_proxy': 0,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_channelz': 0,
      'grpc.service_config_disable_resolution': 1,
      // SPIRE comes back within a second or two of a restart; tasks wait for it.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1500,
    });
  }

  async mint({ csr, ttlSeconds, signal }: MintRequest): Promise<readonly Uint8Array[]> {
    signal.throwIfAborted();
    const answer = await this.#call({ csr, ttl: ttlSeconds }, signal);
    return answer.svid.certChain;
  }

  close(): void {
    this.#client.close();
    this.#credentials.close();
  }

  #call(
    request: { readonly csr: Uint8Array; readonly ttl: number },
    signal: AbortSignal,
  ): Promise<MintX509SvidResponse> {
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest<typeof request, Buffer>(
        MINT_X509_SVID.path,
        (message) => Buffer.from(MINT_X509_SVID.request.encode(message)),
        (bytes) => bytes,
        request,
        new Metadata(),
        { deadline: Date.now() + ANSWER_MS },
        (error, bytes) => {
          signal.removeEventListener('abort', abort);
          try {
            if (error !== null) throw signal.aborted ? signal.reason : this.#failure(error);
            resolve(MINT_X509_SVID.response.decode(bytes ?? Buffer.alloc(0)));
          } catch (failure) {
            reject(failure);
          }
        },
      );
      const abort = (): void => call.cancel();
      signal.addEventListener('abort', abort);
    });
  }

  #failure({ code, details }: ServiceError): SpiffeError {
    const refused = code === status.PERMISSION_DENIED || code === status.INVALID_ARGUMENT;
    const { host, port } = this.#to;
    return new SpiffeError(
      refused ? 'ERR_SPIFFE_CREDENTIAL_DENIED' : 'ERR_SPIFFE_CREDENTIAL_UNAVAILABLE',
      `cannot mint an SVID: SPIRE at ${quote(`${host}:${port}`)} answers ${status[code] ?? code}: ${quote(details)}`,
      { cause: refused ? undefined : this.#credentials.lastFailure, grpcStatus: code },
    );
  }
}

/** The address as grpc-js takes it; an IP address by a scheme that looks nothing up. */
function target({ host, port }: SpireServer): string {
  switch (isIP(host)) {
    case 4:
      return `ipv4:${host}:${port}`;
    case 6:
      return `ipv6:[${host}]:${port}`;
    default:
      return `dns:${host}:${port}`;
  }
}
