import type { SpiffeError } from '../../errors.js';
import { JwtBundles } from '../../identity/jwt/bundles.js';
import type {
  JwtBundleSet,
  SourceState,
  X509BundleSet,
  X509BundleSource,
} from '../../identity/source.js';
import { X509Bundles } from '../../identity/x509/bundles.js';
import { Broadcast } from '../../internal/broadcast.js';
import type { BundleSnapshot, BundleSourceOptions } from '../bundle-source.js';
import { firstState } from '../first-state.js';
import type { HeldState } from '../held-state.js';
import { resolveConnection } from '../workload.js';
import { type BundleContent, jwtBundleReader, x509BundleReader } from './bundle-streams.js';
import { WorkloadApiClient } from './client.js';
import { openTimeout } from './open-timeout.js';
import type { JwtBundlesResponse, X509BundlesResponse } from './proto.js';
import { type SourceEnvironment, SupervisedState } from './supervised-state.js';

interface Held extends BundleSnapshot {
  readonly x509: X509Bundles;
  readonly jwt: JwtBundles;
}

/** How far from ready a stream is, the furthest first. */
const FURTHEST: readonly SourceState[] = ['closed', 'pending', 'revoked', 'stale', 'ready'];

/** Two streams of bundles, as one state. */
export class OpenedBundles {
  /** The X.509 stream by itself: its own state, and a view of its newest bundles. */
  readonly x509: X509BundleSource & X509BundleSet;
  /** The JWT stream, likewise. */
  readonly jwt: JwtBundleSet & { readonly state: SourceState };
  readonly #x509: SupervisedState<X509BundlesResponse, BundleContent<X509Bundles>>;
  readonly #jwt: SupervisedState<JwtBundlesResponse, BundleContent<JwtBundles>>;
  readonly #states: Broadcast<Held>;
  readonly #client: WorkloadApiClient;

  constructor(environment: SourceEnvironment & { readonly client: WorkloadApiClient }) {
    this.#client = environment.client;
    const changed = (): void => this.#changed();
    this.#x509 = new SupervisedState(environment, x509BundleReader(environment.limits), changed);
    this.#jwt = new SupervisedState(environment, jwtBundleReader(environment.limits), changed);
    this.#states = new Broadcast(this.#read(0));
    this.x509 = viewOf(this.#x509.held);
    this.jwt = jwtViewOf(this.#jwt.held);
  }

  start(): void {
    this.#x509.start();
    this.#jwt.start();
  }

  get now(): Held {
    return this.#states.latest;
  }

  /** What went wrong last, while there is nothing good since. */
  get trouble(): SpiffeError | undefined {
    return this.#x509.held.trouble ?? this.#jwt.held.trouble;
  }

  updates(options: { readonly signal?: AbortSignal }): AsyncIterable<BundleSnapshot, undefined> {
    return this.#states.values(options.signal);
  }

  close(): void {
    this.#x509.close();
    this.#jwt.close();
    this.#client.close();
  }

  toJSON(): object {
    const { sequence, state, x509, jwt } = this.now;
    return { sequence, state, x509: names(x509), jwt: names(jwt) };
  }

  #changed(): void {
    const { sequence, state } = this.now;
    const next = this.#read(sequence + 1);
    // The streams close one after the other: it is told once.
    if (next.state === state && isOver(state)) return;
    this.#states.publish(next);
    if (isOver(next.state)) this.#states.end();
  }

  #read(sequence: number): Held {
    const x509 = this.#x509.held.now;
    const jwt = this.#jwt.held.now;
    const state =
      FURTHEST.find((one) => x509.state === one || jwt.state === one) ?? ('failed' as const);
    // While the first stream is closed, the second is about to be.
    const closed = state === 'closed';
    return Object.freeze({
      sequence,
      state,
      x509: closed ? X509Bundles.of() : x509.bundles,
      jwt: closed ? JwtBundles.of() : jwt.bundles,
    });
  }
}

/**
 * Calls the Workload API and waits for the first good state.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, `ERR_SPIFFE_ADDRESS_INVALID`, `ERR_SPIFFE_OPEN_TIMEOUT`, or
 * `ERR_SPIFFE_WORKLOAD_API_REJECTED` as soon as the endpoint refuses both calls for good; the signal's reason on abort.
 * Nothing is left open then.
 */
export async function openBundles(options: BundleSourceOptions): Promise<OpenedBundles> {
  const settings = resolveConnection(options, 'a source of bundles');
  settings.signal?.throwIfAborted();
  const { address, limits } = settings;
  const client = new WorkloadApiClient({ address, messageBytes: limits.messageBytes });
  const bundles = new OpenedBundles({ ...settings, client });
  try {
    bundles.start();
    await firstState(bundles, {
      ...settings,
      timedOut: () => openTimeout('bundles', bundles.trouble, settings),
    });
  } catch (error) {
    bundles.close();
    throw error;
  }
  return bundles;
}

function viewOf(held: HeldState<BundleContent<X509Bundles>>): X509BundleSource & X509BundleSet {
  const get: X509BundleSet['get'] = (trustDomain) => held.now.bundles.get(trustDomain);
  return Object.freeze({
    get,
    bundles: Object.freeze({ get }),
    get state() {
      return held.now.state;
    },
    updates: (options = {}) => held.updates(options.signal),
  } satisfies X509BundleSource & X509BundleSet);
}

function jwtViewOf(
  held: HeldState<BundleContent<JwtBundles>>,
): JwtBundleSet & { readonly state: SourceState } {
  return Object.freeze({
    get: (trustDomain: Parameters<JwtBundleSet['get']>[0]) => held.now.bundles.get(trustDomain),
    get state() {
      return held.now.state;
    },
  });
}

function names(bundles: X509Bundles | JwtBundles): readonly string[] {
  return [...bundles].map(({ trustDomain }) => trustDomain.name);
}

function isOver(state: SourceState): boolean {
  return state === 'closed' || state === 'failed';
}
