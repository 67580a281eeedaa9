import {
  type Identity,
  type SourceState,
  SpiffeError,
  type SpiffeErrorCode,
  X509Bundle,
  type X509BundleSet,
  X509Bundles,
  type X509Snapshot,
  type X509Source,
  type X509Svid,
} from 'agent-spiffe';
import type { TestCa } from 'agent-spiffe/testing';

const WHY_NOT: Partial<Record<SourceState, SpiffeErrorCode>> = {
  pending: 'ERR_SPIFFE_SVID_NOT_READY',
  revoked: 'ERR_SPIFFE_SVID_REVOKED',
  failed: 'ERR_SPIFFE_SOURCE_FAILED',
  closed: 'ERR_SPIFFE_SOURCE_CLOSED',
};

/** What a test sets of a state; what it leaves out stays as it is. */
export interface Change {
  readonly state?: SourceState;
  readonly svids?: readonly X509Svid[];
  readonly bundles?: X509BundleSet;
}

/** A source whose states are what the test says, one after another. */
export class StaticX509Source implements X509Source {
  #snapshot: X509Snapshot;
  readonly #wake = new Set<() => void>();

  constructor(svids: readonly X509Svid[], bundles: X509BundleSet) {
    this.#snapshot = { sequence: 1, state: 'ready', svid: svids[0], svids, bundles };
  }

  get state(): SourceState {
    return this.#snapshot.state;
  }

  get bundles(): X509BundleSet {
    return this.#snapshot.bundles;
  }

  /** How many `updates()` are being waited on. */
  get watchers(): number {
    return this.#wake.size;
  }

  svid(): X509Svid {
    const { state, svid } = this.#snapshot;
    if (svid !== undefined && (state === 'ready' || state === 'stale')) return svid;
    throw new SpiffeError(WHY_NOT[state] ?? 'ERR_SPIFFE_SVID_NOT_READY', `the source is ${state}`);
  }

  svids(): readonly X509Svid[] {
    this.svid();
    return this.#snapshot.svids;
  }

  set(change: Change): void {
    const next = { ...this.#snapshot, ...change };
    const gone = next.state === 'revoked' || next.state === 'failed' || next.state === 'closed';
    const svids = gone ? [] : next.svids;
    this.#snapshot = {
      sequence: this.#snapshot.sequence + 1,
      state: next.state,
      svid: svids[0],
      svids,
      bundles: gone ? X509Bundles.of() : next.bundles,
    };
    for (const wake of this.#wake) wake();
  }

  async *updates({ signal }: { readonly signal?: AbortSignal } = {}): AsyncGenerator<X509Snapshot> {
    let seen = 0;
    for (;;) {
      signal?.throwIfAborted();
      const snapshot = this.#snapshot;
      if (snapshot.sequence > seen) {
        seen = snapshot.sequence;
        yield snapshot;
        if (snapshot.state === 'closed' || snapshot.state === 'failed') return;
        continue;
      }
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#wake.delete(wake);
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        this.#wake.add(wake);
        signal?.addEventListener('abort', wake);
      });
    }
  }
}

/** An identity that stands still until the test moves it. */
export interface StaticIdentity extends Identity {
  readonly x509: StaticX509Source;
}

/** The identity `id`, issued by `ca`, which trusts its own trust domain and those of `federated`. */
export function staticIdentity(
  ca: TestCa,
  id: string,
  federated: readonly TestCa[] = [],
): StaticIdentity {
  const bundles = X509Bundles.of(...[ca, ...federated].map((each) => each.bundle));
  return { x509: new StaticX509Source([ca.issue(id)], bundles) };
}

/** No authority at all for the trust domain of `ca`. */
export function emptyBundle(ca: TestCa): X509Bundle {
  return X509Bundle.fromDer(ca.trustDomain, new Uint8Array());
}
