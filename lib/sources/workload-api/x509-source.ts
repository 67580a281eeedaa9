import { SpiffeError } from '../../errors.js';
import type {
  SourceState,
  X509BundleSet,
  X509Snapshot,
  X509Source,
} from '../../identity/source.js';
import type { TrustDomain } from '../../identity/trust-domain.js';
import { X509Bundles } from '../../identity/x509/bundles.js';
import type { X509Svid } from '../../identity/x509/svid.js';
import { quote } from '../../internal/quote.js';
import { describePick, pickSvid, type X509SvidPick } from './pick.js';
import { FETCH_X509_SVID, type X509SvidResponse } from './proto.js';
import { type SourceEnvironment, type StateReader, SupervisedState } from './supervised-state.js';
import { readX509Content, sameContent, type X509Content } from './x509-content.js';

/** Options of {@link WorkloadX509Source}. */
export interface WorkloadX509SourceOptions extends SourceEnvironment {
  readonly pick: X509SvidPick | undefined;
}

type Content = Omit<X509Snapshot, 'sequence' | 'state'> & X509Content;

const NOTHING: Content = Object.freeze({
  svid: undefined,
  svids: Object.freeze([]),
  bundles: X509Bundles.of(),
});

/** The X.509 state of a workload, kept new by a supervised stream. One immutable snapshot, swapped whole. */
export class WorkloadX509Source implements X509Source {
  /** A view: it shows the bundles of the newest state, whenever it is asked. */
  readonly bundles: X509BundleSet = Object.freeze({
    get: (trustDomain: TrustDomain | string) => this.#state.now.bundles.get(trustDomain),
  });
  readonly #options: WorkloadX509SourceOptions;
  readonly #state: SupervisedState<X509SvidResponse, Content>;

  /** @param changed - called in the turn in which the state changes, after it has. It may not throw. */
  constructor(options: WorkloadX509SourceOptions, changed?: () => void) {
    this.#options = options;
    this.#state = new SupervisedState(options, reader(options), changed);
  }

  /** Calls the Workload API. Once. */
  start(): void {
    this.#state.start();
  }

  /** The newest state. */
  get now(): X509Snapshot {
    return this.#state.now;
  }

  get state(): SourceState {
    return this.now.state;
  }

  /** What went wrong last, while there is nothing good since; why there is no SVID. */
  get trouble(): SpiffeError | undefined {
    return this.#state.trouble;
  }

  svid(): X509Svid {
    const { svid } = this.now;
    if (svid === undefined) throw this.#state.absence(WORDS);
    if (svid.notAfter.getTime() < this.#options.clock.now()) {
      throw new SpiffeError(
        'ERR_SPIFFE_SVID_EXPIRED',
        `the X.509-SVID of ${svid.id.toString()} has expired at ${svid.notAfter.toISOString()} and no newer one has come${this.#state.because()}`,
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
    return this.#state.updates(options.signal);
  }

  /** Ends the stream; readers of {@link WorkloadX509Source.updates} end after the state `closed`. */
  close(): void {
    this.#state.close();
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

const WORDS = {
  pending: 'no X.509-SVID has come yet',
  revoked: 'the identity of this process was withdrawn',
};

function reader({
  limits,
  clock,
  pick,
}: WorkloadX509SourceOptions): StateReader<X509SvidResponse, Content> {
  return {
    method: FETCH_X509_SVID,
    what: 'X.509-SVIDs',
    nothing: NOTHING,
    read(response, before) {
      const { content, omissions } = readX509Content(response, limits, clock.now(), before);
      const svid = pickSvid(content.svids, pick);
      return {
        content: svid === undefined ? notPicked(content.svids, pick) : { svid, ...content },
        omissions,
      };
    },
    same: (one, other) => one.svid === other.svid && sameContent(one, other),
  };
}

function notPicked(svids: readonly X509Svid[], pick: X509SvidPick | undefined): SpiffeError {
  const shown = svids.slice(0, 5).map(({ id, hint }) => `${id.toString()} (${quote(hint)})`);
  return new SpiffeError(
    'ERR_SPIFFE_SVID_NOT_FOUND',
    `the Workload API gives this process no X.509-SVID ${describePick(pick)}; of ${svids.length} it gives, the first (and their hints) are ${shown.join(', ')}`,
  );
}
