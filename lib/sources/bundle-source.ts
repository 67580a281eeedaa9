import type {
  JwtBundleSet,
  SourceState,
  Verifier,
  X509BundleSet,
  X509BundleSource,
} from '../identity/source.js';
import type { WorkloadOptions } from './workload.js';
import type { OpenedBundles } from './workload-api/open-bundles.js';

/** Options of {@link BundleSource.open}: those of a workload that do not ask for an identity. */
export type BundleSourceOptions = Omit<WorkloadOptions, 'pick'>;

/** One immutable state of a {@link BundleSource}. */
export interface BundleSnapshot {
  /** Grows by one with each change. */
  readonly sequence: number;
  /** That of the two streams which is further from `ready`; one that the endpoint does not offer does not count. */
  readonly state: SourceState;
  readonly x509: X509BundleSet;
  readonly jwt: JwtBundleSet;
}

/**
 * The bundles that verify others, for a process that needs no SVID of its own; kept new by streams from the Workload API,
 * which keep the process running until {@link BundleSource.close}. Handed to a client in place of a workload, it verifies
 * the servers, and no certificate is shown to them.
 */
export class BundleSource implements Verifier {
  /** A view of the newest X.509 bundles, empty once closed, revoked or failed; and their own state and updates. */
  readonly x509: X509BundleSource & X509BundleSet;
  /** A view of the newest JWT bundles, empty once closed, revoked or failed; and their own state. */
  readonly jwt: JwtBundleSet & { readonly state: SourceState };
  readonly #opened: OpenedBundles;

  private constructor(opened: OpenedBundles) {
    this.#opened = opened;
    this.x509 = opened.x509;
    this.jwt = opened.jwt;
  }

  /**
   * Calls the Workload API and waits for the first bundles of both kinds, or of one where it does not offer the other.
   * From then on nothing throws unasked: what goes wrong is logged, and shows in `state`.
   *
   * @throws SpiffeError as `Workload.open` does.
   */
  static async open(options: BundleSourceOptions = {}): Promise<BundleSource> {
    // grpc-js takes long to load: only who opens a source pays for it.
    const { openBundles } = await import('./workload-api/open-bundles.js');
    return new BundleSource(await openBundles(options));
  }

  get state(): SourceState {
    return this.#opened.now.state;
  }

  /** The states, the present one first; ends after `closed` or `failed`, and with the signal's reason on abort. */
  updates(options: { readonly signal?: AbortSignal } = {}): AsyncIterable<BundleSnapshot> {
    return this.#opened.updates(options);
  }

  /** Ends the streams and lets go of everything held. Safe to call twice. */
  close(): Promise<void> {
    this.#opened.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  toJSON(): object {
    return this.#opened.toJSON();
  }
}
