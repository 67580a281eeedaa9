import type { JwtSvid } from '../../identity/jwt/svid.js';
import type {
  JwtBundleSet,
  JwtFetchOptions,
  JwtVerifyOptions,
  SourceState,
} from '../../identity/source.js';
import type { TrustDomain } from '../../identity/trust-domain.js';
import type { JwtValidateOptions, JwtValidation, WorkloadJwt } from '../workload-jwt.js';
import type { FollowedX509, WorkloadJwtSource } from './jwt-source.js';
import type { SourceEnvironment } from './supervised-state.js';

/** A {@link WorkloadJwtSource} whose modules are loaded on first use: a workload that needs no tokens starts sooner. */
export class LazyJwt implements WorkloadJwt {
  readonly bundles: JwtBundleSet = Object.freeze({
    get: (trustDomain: TrustDomain | string) => this.#source?.bundles.get(trustDomain),
  });
  readonly #environment: SourceEnvironment;
  readonly #x509: FollowedX509;
  #loading: Promise<WorkloadJwtSource> | undefined;
  #source: WorkloadJwtSource | undefined;
  #closed = false;

  constructor(environment: SourceEnvironment, x509: FollowedX509) {
    this.#environment = environment;
    this.#x509 = x509;
  }

  /** Starts the stream of bundles, on first use. */
  start(): this {
    // Whoever calls a method hears of it if this fails.
    if (!this.#closed) this.#load().catch(() => {});
    return this;
  }

  get state(): SourceState {
    return this.#source?.state ?? (this.#closed ? 'closed' : 'pending');
  }

  async fetch(options: JwtFetchOptions): Promise<JwtSvid> {
    return (this.#source ?? (await this.#load())).fetch(options);
  }

  async verify(token: string, options: JwtVerifyOptions): Promise<JwtSvid> {
    return (this.#source ?? (await this.#load())).verify(token, options);
  }

  async validate(token: string, options: JwtValidateOptions): Promise<JwtValidation> {
    return (this.#source ?? (await this.#load())).validate(token, options);
  }

  follow(): void {
    this.#source?.follow();
  }

  close(): void {
    this.#closed = true;
    this.#source?.close();
  }

  toJSON(): object {
    return this.#source?.toJSON() ?? { state: this.state, bundles: [] };
  }

  #load(): Promise<WorkloadJwtSource> {
    this.#loading ??= this.#open();
    return this.#loading;
  }

  async #open(): Promise<WorkloadJwtSource> {
    const { WorkloadJwtSource } = await import('./jwt-source.js');
    this.#source = new WorkloadJwtSource(this.#environment, this.#x509);
    if (this.#closed) this.#source.close();
    return this.#source.start();
  }
}
