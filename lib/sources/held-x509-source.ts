import { SpiffeError } from '../errors.js';
import type { SourceState, X509BundleSet, X509Snapshot, X509Source } from '../identity/source.js';
import type { TrustDomain } from '../identity/trust-domain.js';
import { X509Bundles } from '../identity/x509/bundles.js';
import type { X509Svid } from '../identity/x509/svid.js';
import type { Clock } from '../internal/clock.js';
import type { HeldState } from './held-state.js';
import { sameBundles } from './same-bundles.js';

/** The complete X.509 state of a workload (WLA-05). */
export interface X509Content {
  readonly svids: readonly X509Svid[];
  readonly bundles: X509Bundles;
}

/** The same, with the identity that is used. */
export interface PickedContent extends X509Content {
  readonly svid: X509Svid | undefined;
}

export const NO_X509_CONTENT: PickedContent = Object.freeze({
  svid: undefined,
  svids: Object.freeze([]),
  bundles: X509Bundles.of(),
});

const WORDS = {
  pending: 'no X.509-SVID has come yet',
  revoked: 'the identity of this process was withdrawn',
};

/** The X.509 state of a workload, wherever it comes from. */
export class HeldX509Source implements X509Source {
  /** A view: it shows the bundles of the newest state, whenever it is asked. */
  readonly bundles: X509BundleSet = Object.freeze({
    get: (trustDomain: TrustDomain | string) => this.#held.now.bundles.get(trustDomain),
  });
  readonly #held: HeldState<PickedContent>;
  readonly #clock: Clock;

  constructor(held: HeldState<PickedContent>, clock: Clock) {
    this.#held = held;
    this.#clock = clock;
  }

  /** The newest state. */
  get now(): X509Snapshot {
    return this.#held.now;
  }

  get state(): SourceState {
    return this.now.state;
  }

  /** What went wrong last, while there is nothing good since; why there is no SVID. */
  get trouble(): SpiffeError | undefined {
    return this.#held.trouble;
  }

  svid(): X509Svid {
    const { svid } = this.now;
    if (svid === undefined) throw this.#held.absence(WORDS);
    if (svid.notAfter.getTime() < this.#clock.now()) {
      throw new SpiffeError(
        'ERR_SPIFFE_SVID_EXPIRED',
        `the X.509-SVID of ${svid.id.toString()} has expired at ${svid.notAfter.toISOString()} and no newer one has come${this.#held.because()}`,
        { cause: this.trouble },
      );
    }
    return svid;
  }

  svids(): readonly X509Svid[] {
    this.svid();
    return this.now.svids;
  }

  updates(options: { readonly signal?: AbortSignal } = {}): AsyncIterable<X509Snapshot, undefined> {
    return this.#held.updates(options.signal);
  }

  toJSON(): object {
    const { sequence, state, svid, svids } = this.now;
    return {
      sequence,
      state,
      id: svid?.id.toString(),
      svids: svids.map(({ id, hint, notAfter }) => ({ id: id.toString(), hint, notAfter })),
    };
  }
}

/** Both say the same. Whatever has not changed must have kept its object. */
export function sameContent(one: PickedContent, other: PickedContent): boolean {
  return (
    one.svid === other.svid &&
    one.svids.length === other.svids.length &&
    one.svids.every((svid, at) => svid === other.svids[at]) &&
    sameBundles(one.bundles, other.bundles)
  );
}

/** Both are one identity: the same certificates, and so the same key, under the same hint. */
export function sameSvid(one: X509Svid, other: X509Svid): boolean {
  return (
    one.hint === other.hint &&
    one.certificates.length === other.certificates.length &&
    one.certificates.every((certificate, at) => {
      const counterpart = other.certificates[at];
      return counterpart !== undefined && Buffer.compare(certificate, counterpart) === 0;
    })
  );
}
