import { SpiffeError } from '../../errors.js';
import type { X509Svid } from '../../identity/x509/svid.js';
import { quote } from '../../internal/quote.js';
import {
  HeldX509Source,
  NO_X509_CONTENT,
  type PickedContent,
  sameContent,
} from '../held-x509-source.js';
import { describePick, pickSvid, type X509SvidPick } from './pick.js';
import { FETCH_X509_SVID, type X509SvidResponse } from './proto.js';
import { type SourceEnvironment, type StateReader, SupervisedState } from './supervised-state.js';
import { readX509Content } from './x509-content.js';

/** Options of {@link WorkloadX509Source}. */
export interface WorkloadX509SourceOptions extends SourceEnvironment {
  readonly pick: X509SvidPick | undefined;
}

/** The X.509 state of a workload, kept new by a supervised stream. One immutable snapshot, swapped whole. */
export class WorkloadX509Source extends HeldX509Source {
  readonly #state: SupervisedState<X509SvidResponse, PickedContent>;

  /** @param changed - called in the turn in which the state changes, after it has. It may not throw. */
  constructor(options: WorkloadX509SourceOptions, changed?: () => void) {
    const state = new SupervisedState(options, reader(options), changed);
    super(state.held, options.clock);
    this.#state = state;
  }

  /** Calls the Workload API. Once. */
  start(): void {
    this.#state.start();
  }

  /** Ends the stream; readers of {@link WorkloadX509Source.updates} end after the state `closed`. */
  close(): void {
    this.#state.close();
  }
}

function reader({
  limits,
  clock,
  pick,
}: WorkloadX509SourceOptions): StateReader<X509SvidResponse, PickedContent> {
  return {
    method: FETCH_X509_SVID,
    what: 'X.509-SVIDs',
    nothing: NO_X509_CONTENT,
    read(response, before) {
      const { content, omissions } = readX509Content(response, limits, clock.now(), before);
      const svid = pickSvid(content.svids, pick);
      return {
        content: svid === undefined ? notPicked(content.svids, pick) : { svid, ...content },
        omissions,
      };
    },
    same: sameContent,
    expiry: ({ svid }) => svid?.notAfter.getTime(),
  };
}

function notPicked(svids: readonly X509Svid[], pick: X509SvidPick | undefined): SpiffeError {
  const shown = svids.slice(0, 5).map(({ id, hint }) => `${id.toString()} (${quote(hint)})`);
  return new SpiffeError(
    'ERR_SPIFFE_SVID_NOT_FOUND',
    `the Workload API gives this process no X.509-SVID ${describePick(pick)}; of ${svids.length} it gives, the first (and their hints) are ${shown.join(', ')}`,
  );
}
