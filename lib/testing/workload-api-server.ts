import type { Server } from '@grpc/grpc-js';
import { SpiffeError } from '../errors.js';
import type { SpiffeId } from '../identity/spiffe-id.js';
import type { TrustDomain } from '../identity/trust-domain.js';
import { type Clock, type ClockTimer, SYSTEM_CLOCK } from '../internal/clock.js';
import { type Logger, SILENT } from '../log.js';
import type {
  JwtBundlesResponse,
  JwtSvidResponse,
  ValidateJwtSvidResponse,
  X509BundlesResponse,
  X509SvidResponse,
} from '../sources/workload-api/proto.js';
import type { TestCa, TestCaOptions } from './ca.js';
import type { ReceivedCall } from './call-log.js';
import { Endpoint } from './endpoint.js';
import type { Corruption } from './faulty-messages.js';
import type { IdentityState, ServedIdentity } from './identities.js';
import { Issuer } from './issuer.js';
import { WorkloadApiService } from './workload-api-service.js';

/** Options of {@link WorkloadApiServer.open}; those about what is issued are as for {@link TestCa.create}. */
export interface WorkloadApiServerOptions extends Omit<TestCaOptions, 'now'> {
  readonly trustDomain: TrustDomain | string;
  /** What every caller is given, the default identity first. While there is none, callers get `PermissionDenied`. */
  readonly identities: readonly (ServedIdentity | SpiffeId | string)[];
  /** Foreign trust domains whose bundles are given too; for one given by name a CA is made. Default: none. */
  readonly federated?: readonly (TestCa | TrustDomain | string)[];
  /**
   * Where to listen: `unix:///<path>`, or `tcp://127.0.0.1:<port>` (port 0: any free one). Default: a socket in a new
   * directory that only this user may enter. A socket can be reached by this user alone.
   */
  readonly address?: string;
  /** Renews each SVID when half of its life is over. Default: `true`. */
  readonly autoRotate?: boolean;
  /** Default: the wall clock. */
  readonly clock?: Clock;
  /** Default: says nothing. */
  readonly logger?: Logger;
}

/**
 * A SPIFFE Workload API for development and tests: a real gRPC server with a certificate authority of its own, which
 * keeps the rules that the standard sets for issuers until it is told to break them. It knows its callers by nothing:
 * whoever can reach the socket is given every identity.
 */
export class WorkloadApiServer {
  readonly #issuer: Issuer;
  readonly #service: WorkloadApiService;
  readonly #grpc: Server;
  readonly #endpoint: Endpoint;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #autoRotate: boolean;
  #timer: ClockTimer | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    issuer: Issuer,
    service: WorkloadApiService,
    grpc: Server,
    endpoint: Endpoint,
    options: { readonly clock: Clock; readonly logger: Logger; readonly autoRotate: boolean },
  ) {
    this.#issuer = issuer;
    this.#service = service;
    this.#grpc = grpc;
    this.#endpoint = endpoint;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#autoRotate = options.autoRotate;
    this.#schedule();
  }

  /**
   * Makes the CA and the identities, and listens.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, `ERR_SPIFFE_ID_INVALID`, `ERR_SPIFFE_TRUST_DOMAIN_INVALID`, or
   * `ERR_SPIFFE_ADDRESS_INVALID` when the address is malformed, not local, or taken.
   */
  static async open(options: WorkloadApiServerOptions): Promise<WorkloadApiServer> {
    const {
      trustDomain,
      identities,
      federated = [],
      address,
      autoRotate = true,
      ...rest
    } = options;
    const { clock = SYSTEM_CLOCK, logger = SILENT, ...caOptions } = rest;
    const issuer = new Issuer(trustDomain, identities, { ...caOptions, clock });
    for (const domain of federated) issuer.federate(domain);
    const service = new WorkloadApiService(issuer, clock, logger);
    const { Server, ServerCredentials } = await import('@grpc/grpc-js');
    const grpc = new Server({ 'grpc.enable_channelz': 0 });
    service.addTo(grpc);
    // Workload Endpoint 3.1: never TLS. The connections are taken by a socket of our own, so that they can be cut.
    const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
    const endpoint = await Endpoint.open(address, (socket) => injector.injectConnection(socket));
    logger.info(
      { address: endpoint.address, trustDomain: issuer.ca.trustDomain.name },
      'listening',
    );
    return new WorkloadApiServer(issuer, service, grpc, endpoint, { clock, logger, autoRotate });
  }

  /** Where it listens, in the form of `SPIFFE_ENDPOINT_SOCKET`. */
  get address(): string {
    return this.#endpoint.address;
  }

  /** The CA of its own trust domain. To rotate it, call {@link WorkloadApiServer.rotateCa}: streams then hear of it. */
  get ca(): TestCa {
    return this.#issuer.ca;
  }

  /**
   * The CA of a federated trust domain.
   *
   * @throws SpiffeError `ERR_SPIFFE_BUNDLE_NOT_FOUND` when it is not federated.
   */
  caOf(trustDomain: TrustDomain | string): TestCa {
    return this.#issuer.caOf(trustDomain);
  }

  /** What is served at present, the default identity first. */
  get identities(): readonly IdentityState[] {
    return this.#issuer.identities.states;
  }

  /** The names of the federated trust domains. */
  get federated(): readonly string[] {
    return this.#issuer.federated;
  }

  /** Issues a new SVID for every identity, with a new key, and sends it to the open streams. */
  rotateSvids(): void {
    this.#issuer.identities.renew();
    this.#changed('SVIDs rotated');
  }

  /**
   * Makes a new authority, issues every SVID anew under it, and sends both in one message. The old authority stays in
   * the bundle unless `keepOld` is `false`. With `trustDomain`, rotates that federated domain's authority instead.
   *
   * @throws SpiffeError `ERR_SPIFFE_BUNDLE_NOT_FOUND` when that trust domain is not federated.
   */
  rotateCa(
    options: { readonly keepOld?: boolean; readonly trustDomain?: TrustDomain | string } = {},
  ): void {
    const { keepOld = true, trustDomain = this.ca.trustDomain } = options;
    const ca = this.#issuer.caOf(trustDomain);
    ca.rotate({ keepOld });
    if (ca === this.ca) this.#issuer.identities.renew();
    this.#changed('CA rotated');
  }

  /**
   * Makes a new key for JWT-SVIDs, and sends the bundle. The old key stays in it unless `keepOld` is `false`. With
   * `trustDomain`, rotates the key of that federated domain instead.
   *
   * @throws SpiffeError `ERR_SPIFFE_BUNDLE_NOT_FOUND` when that trust domain is not federated.
   */
  rotateJwtKey(
    options: { readonly keepOld?: boolean; readonly trustDomain?: TrustDomain | string } = {},
  ): void {
    const { keepOld = true, trustDomain = this.ca.trustDomain } = options;
    this.#issuer.caOf(trustDomain).rotateJwtKey({ keepOld });
    this.#changed('JWT key rotated');
  }

  /**
   * Replaces the identities, and ends a withdrawal. One that stays as it was keeps its SVID; without any, streams end
   * with `PermissionDenied`.
   *
   * @throws SpiffeError `ERR_SPIFFE_ID_INVALID`, or `ERR_SPIFFE_OPTION_INVALID` for two equal hints, a hint over 1024
   * bytes, an ID of another trust domain or without a path; nothing has changed then.
   */
  setIdentities(identities: readonly (ServedIdentity | SpiffeId | string)[]): void {
    this.#issuer.identities.replace(identities);
    this.#issuer.withdrawn = false;
    this.#changed('identities replaced');
  }

  /** Answers `PermissionDenied` to every open stream and every new call. */
  withdraw(): void {
    this.#issuer.withdrawn = true;
    this.#changed('identities withdrawn');
  }

  /** Ends a withdrawal; the SVIDs are those from before, or newer ones where they were due. */
  restore(): void {
    this.#issuer.withdrawn = false;
    this.#changed('identities restored');
  }

  /**
   * Adds a trust domain to the bundles, and sends them.
   *
   * @returns its CA: the one given, or the one made for that name.
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` for the server's own trust domain.
   */
  federate(domain: TestCa | TrustDomain | string): TestCa {
    const ca = this.#issuer.federate(domain);
    this.#changed('trust domain federated');
    return ca;
  }

  /**
   * Takes a trust domain out of the bundles, and sends them.
   *
   * @throws SpiffeError `ERR_SPIFFE_BUNDLE_NOT_FOUND` when it is not federated.
   */
  unfederate(trustDomain: TrustDomain | string): void {
    this.#issuer.unfederate(trustDomain);
    this.#changed('trust domain unfederated');
  }

  /**
   * Signs an SVID for the key and the ID of a PKCS#10 request, as SPIRE's server does for those who may. Its socket offers
   * the same, as `spire.api.server.svid.v1.SVID/MintX509SVID`: whoever can reach it may mint any ID of the trust domain.
   *
   * @param options - `ttlMs`: its life; by default that of the server.
   * @returns DER certificates, the leaf first.
   * @throws SpiffeError as {@link TestCa.mint} does.
   */
  mint(csr: Uint8Array, options: { readonly ttlMs?: number } = {}): readonly Uint8Array[] {
    return this.ca.mint(csr, options);
  }

  /** Sends the state to every open stream once more, though nothing has changed. */
  resend(): void {
    this.#assertOpen();
    this.#service.push(true);
  }

  /** Fault: holds back each answer, and the first message of each new stream. 0 ends it. */
  delay(ms: number): void {
    this.#service.delayMs = ms;
  }

  /** Fault: sends the next messages of `FetchX509SVID` (one, unless `times` says more) as `change` makes them. */
  corruptSvids(
    change: Corruption<X509SvidResponse>,
    options: { readonly times?: number } = {},
  ): void {
    this.#service.svids.messages.corrupt(change, options.times ?? 1);
  }

  /** Fault: the same for `FetchX509Bundles`. */
  corruptBundles(
    change: Corruption<X509BundlesResponse>,
    options: { readonly times?: number } = {},
  ): void {
    this.#service.bundles.messages.corrupt(change, options.times ?? 1);
  }

  /** Fault: the same for `FetchJWTBundles`. */
  corruptJwtBundles(
    change: Corruption<JwtBundlesResponse>,
    options: { readonly times?: number } = {},
  ): void {
    this.#service.jwtBundles.messages.corrupt(change, options.times ?? 1);
  }

  /** Fault: the same for the answers of `FetchJWTSVID`. */
  corruptJwtSvids(
    change: Corruption<JwtSvidResponse>,
    options: { readonly times?: number } = {},
  ): void {
    this.#service.jwtSvids.messages.corrupt(change, options.times ?? 1);
  }

  /** Fault: the same for the answers of `ValidateJWTSVID`. */
  corruptValidation(
    change: Corruption<ValidateJwtSvidResponse>,
    options: { readonly times?: number } = {},
  ): void {
    this.#service.validation.messages.corrupt(change, options.times ?? 1);
  }

  /**
   * Fault: answers new calls with this gRPC status, all of them unless `times` says how many.
   *
   * @param code - the number of a status, 1 to 16, as `status` of grpc-js names them.
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` for another number.
   */
  failWith(code: number, details = '', options: { readonly times?: number } = {}): void {
    if (!Number.isInteger(code) || code < 1 || code > 16) {
      throw new SpiffeError(
        'ERR_SPIFFE_OPTION_INVALID',
        `cannot fail calls with the gRPC status ${String(code)}; give a number from 1 to 16`,
      );
    }
    this.#service.fail({ code, details }, options.times ?? Number.POSITIVE_INFINITY);
  }

  /** Fault: ends the open streams, cleanly unless a gRPC status is given. */
  endStreams(code = 0, details = ''): void {
    this.#service.endStreams({ code, details });
  }

  /** Fault: cuts every connection. New ones are taken. */
  disconnect(): void {
    this.#endpoint.disconnect();
  }

  /** Fault: cuts every connection and stops listening, until {@link WorkloadApiServer.goOnline}. */
  async goOffline(): Promise<void> {
    await this.#endpoint.mute();
  }

  /** Listens again at the same address. */
  async goOnline(): Promise<void> {
    this.#assertOpen();
    if (!this.#endpoint.listening) await this.#endpoint.listen();
  }

  /** Ends delay, corruption and failing; what is withdrawn or offline stays so. */
  heal(): void {
    this.#service.heal();
  }

  /** How many calls have come, of one RPC or of all. */
  callCount(method?: string): number {
    return this.#service.calls.count(method);
  }

  /** How many streams are open. */
  get openStreams(): number {
    return this.#service.openStreams;
  }

  /**
   * Waits for the next call, of one RPC or of any, counted from now.
   *
   * @throws SpiffeError `ERR_SPIFFE_SOURCE_CLOSED` when the server closes before; the signal's reason on abort.
   */
  nextCall(
    options: { readonly method?: string; readonly signal?: AbortSignal } = {},
  ): Promise<ReceivedCall> {
    return this.#service.calls.next(options.method, options.signal);
  }

  /** Waits until no stream is open. */
  idle(): Promise<void> {
    return this.#service.idle();
  }

  /** Cuts every connection and removes the socket. Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #shutDown(): Promise<void> {
    this.#clock.clearTimeout(this.#timer);
    await this.#endpoint.close();
    this.#grpc.forceShutdown();
    this.#service.calls.close();
    this.#logger.info({ address: this.address }, 'closed');
  }

  #changed(what: string): void {
    this.#assertOpen();
    this.#logger.info({ identities: this.identities, federated: this.federated }, what);
    this.#schedule();
    this.#service.push(false);
  }

  #assertOpen(): void {
    if (this.#closing === undefined) return;
    throw new SpiffeError(
      'ERR_SPIFFE_SOURCE_CLOSED',
      'the development Workload API is closed and serves nothing; open another',
    );
  }

  #schedule(): void {
    this.#clock.clearTimeout(this.#timer);
    const due = this.#issuer.identities.renewAtMs;
    if (!this.#autoRotate || due === undefined) return;
    const timer = this.#clock.setTimeout(() => this.#renew(), Math.max(0, due - this.#clock.now()));
    // The listening socket keeps the process up, not this.
    if (typeof timer === 'object') timer.unref();
    this.#timer = timer;
  }

  #renew(): void {
    const now = this.#clock.now();
    // A timer may end early (Node's hold 24.8 days): then nothing is due yet.
    if ((this.#issuer.identities.renewAtMs ?? now) > now) {
      this.#schedule();
      return;
    }
    this.#issuer.identities.renew(now);
    this.#changed('SVIDs renewed');
  }
}
