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
import { Broadcast } from '../../internal/broadcast.js';
import type { Clock } from '../../internal/clock.js';
import { quote } from '../../internal/quote.js';
import type { Logger } from '../../log.js';
import { describeAddress, type WorkloadApiAddress } from './address.js';
import type { WorkloadApiClient } from './client.js';
import { reasonOf } from './failure.js';
import type { WorkloadLimits } from './limits.js';
import { describePick, pickSvid, type X509SvidPick } from './pick.js';
import { FETCH_X509_SVID } from './proto.js';
import { Watcher } from './watcher.js';
import { readX509Content, sameContent, type X509Content } from './x509-content.js';

/** Options of {@link WorkloadX509Source}. */
export interface WorkloadX509SourceOptions {
  readonly client: Pick<WorkloadApiClient, 'stream'>;
  readonly address: WorkloadApiAddress;
  readonly pick: X509SvidPick | undefined;
  readonly limits: WorkloadLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random?: () => number;
}

const NO_SVIDS: readonly X509Svid[] = Object.freeze([]);
const NO_BUNDLES = X509Bundles.of();

/** The X.509 state of a workload, kept new by a supervised stream. One immutable snapshot, swapped whole. */
export class WorkloadX509Source implements X509Source {
  /** A view: it shows the bundles of the newest state, whenever it is asked. */
  readonly bundles: X509BundleSet = Object.freeze({
    get: (trustDomain: TrustDomain | string) => this.#now.bundles.get(trustDomain),
  });
  readonly #options: WorkloadX509SourceOptions;
  readonly #watcher: Watcher;
  readonly #states: Broadcast<X509Snapshot> = new Broadcast<X509Snapshot>(
    Object.freeze({
      sequence: 0,
      state: 'pending',
      svid: undefined,
      svids: NO_SVIDS,
      bundles: NO_BUNDLES,
    }),
  );
  #content: X509Content | undefined;
  #trouble: SpiffeError | undefined;
  /** What the last message was found wanting for, and in how many in a row, so that the log says it once. */
  #faults: ReadonlyMap<string, number> = new Map();

  constructor(options: WorkloadX509SourceOptions) {
    this.#options = options;
    this.#watcher = new Watcher({
      what: 'X.509-SVIDs',
      address: options.address,
      start: (events) => options.client.stream(FETCH_X509_SVID, {}, events),
      handlers: {
        message: (bytes) => this.#message(bytes),
        down: (error) => this.#down(error),
        failed: (error) => this.#failed(error),
      },
      clock: options.clock,
      logger: options.logger,
      ...(options.random === undefined ? {} : { random: options.random }),
    });
  }

  /** Calls the Workload API. Once. */
  start(): void {
    this.#watcher.start();
  }

  get state(): SourceState {
    return this.#now.state;
  }

  /** What went wrong last, while there is nothing good since; why there is no SVID. */
  get trouble(): SpiffeError | undefined {
    return this.#trouble;
  }

  svid(): X509Svid {
    const { state, svid } = this.#now;
    if (svid === undefined) throw this.#noSvid(state);
    if (svid.notAfter.getTime() < this.#options.clock.now()) {
      throw new SpiffeError(
        'ERR_SPIFFE_SVID_EXPIRED',
        `the X.509-SVID of ${svid.id.toString()} has expired at ${svid.notAfter.toISOString()} and no newer one has come${this.#because()}`,
        { cause: this.#trouble },
      );
    }
    return svid;
  }

  svids(): readonly X509Svid[] {
    this.svid();
    return this.#now.svids;
  }

  updates(options: { readonly signal?: AbortSignal } = {}): AsyncIterable<X509Snapshot, undefined> {
    return this.#states.values(options.signal);
  }

  /** Ends the stream; readers of {@link WorkloadX509Source.updates} end after the state `closed`. */
  close(): void {
    this.#watcher.stop();
    if (this.state === 'closed') return;
    this.#withdraw('closed');
    this.#states.end();
  }

  toJSON(): object {
    const { sequence, state, svid, svids } = this.#now;
    return {
      sequence,
      state,
      id: svid?.id.toString(),
      svids: svids.map(({ id, hint, notAfter }) => ({ id: id.toString(), hint, notAfter })),
    };
  }

  get #now(): X509Snapshot {
    return this.#states.latest;
  }

  #message(bytes: Uint8Array): void {
    const { limits, clock, pick } = this.#options;
    try {
      const response = FETCH_X509_SVID.response.decode(bytes);
      const reading = readX509Content(response, limits, clock.now(), this.#content);
      const svid = pickSvid(reading.content.svids, pick);
      this.#report(reading.omissions, 'left out of what the Workload API sent');
      this.#trouble = undefined;
      this.#accept(reading.content, svid);
    } catch (cause) {
      // Whatever it is: one message must not end the process, nor the stream that brings the next one.
      const error =
        cause instanceof SpiffeError
          ? cause
          : new SpiffeError(
              'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID',
              'cannot read an X509SVIDResponse of the Workload API',
              { cause },
            );
      this.#trouble = error;
      this.#report([error], 'a message of the Workload API was refused; the last good state stays');
    }
  }

  #accept(content: X509Content, svid: X509Svid | undefined): void {
    const { state, sequence } = this.#now;
    if (svid === undefined) {
      const shown = content.svids
        .slice(0, 5)
        .map(({ id, hint }) => `${id.toString()} (${quote(hint)})`);
      this.#trouble = new SpiffeError(
        'ERR_SPIFFE_SVID_NOT_FOUND',
        `the Workload API gives this process no X.509-SVID ${describePick(this.#options.pick)}; of ${content.svids.length} it gives, the first (and their hints) are ${shown.join(', ')}`,
      );
      this.#report([this.#trouble], 'none of the identities is the one to be picked');
      if (state !== 'pending') this.#withdraw('revoked');
      return;
    }
    const same =
      this.#content !== undefined && svid === this.#now.svid && sameContent(content, this.#content);
    if (same && state === 'ready') return;
    this.#content = content;
    this.#states.publish(
      Object.freeze({ sequence: sequence + 1, state: 'ready', svid, ...content }),
    );
  }

  #down(error: SpiffeError): void {
    this.#trouble = error;
    const { state } = this.#now;
    // WLA-24: this one status withdraws everything; transport loss does not.
    if (error.code === 'ERR_SPIFFE_WORKLOAD_API_DENIED') {
      if (state === 'ready' || state === 'stale') this.#withdraw('revoked');
    } else if (state === 'ready') {
      this.#states.publish(
        Object.freeze({ ...this.#now, sequence: this.#now.sequence + 1, state: 'stale' }),
      );
    }
  }

  #failed(error: SpiffeError): void {
    this.#trouble = error;
    this.#withdraw('failed');
    this.#states.end();
  }

  #withdraw(state: 'revoked' | 'failed' | 'closed'): void {
    this.#content = undefined;
    if (this.#now.state === state) return;
    this.#states.publish(
      Object.freeze({
        sequence: this.#now.sequence + 1,
        state,
        svid: undefined,
        svids: NO_SVIDS,
        bundles: NO_BUNDLES,
      }),
    );
  }

  /** Says what is wrong with the newest message and was not with the one before; the rest it counts. */
  #report(faults: readonly SpiffeError[], what: string): void {
    const { logger } = this.#options;
    const before = this.#faults;
    const now = new Map<string, number>();
    for (const { code, message } of faults) {
      const times = (before.get(message) ?? 0) + 1;
      now.set(message, times);
      if (times === 1) logger.warn({ code }, `${what}: ${message}`);
    }
    for (const [message, times] of before)
      if (!now.has(message)) logger.info({ messages: times }, `no longer so: ${message}`);
    this.#faults = now;
  }

  #noSvid(state: SourceState): SpiffeError {
    const where = describeAddress(this.#options.address);
    if (state === 'closed')
      return new SpiffeError('ERR_SPIFFE_SOURCE_CLOSED', `the workload at ${where} was closed`);
    const [code, what] =
      state === 'failed'
        ? (['ERR_SPIFFE_SOURCE_FAILED', `the workload at ${where} has failed for good`] as const)
        : state === 'revoked'
          ? (['ERR_SPIFFE_SVID_REVOKED', 'the identity of this process was withdrawn'] as const)
          : (['ERR_SPIFFE_SVID_NOT_READY', `no X.509-SVID has come yet from ${where}`] as const);
    return new SpiffeError(code, what + this.#because(), { cause: this.#trouble });
  }

  #because(): string {
    return this.#trouble === undefined ? '' : `; ${reasonOf(this.#trouble)}`;
  }
}
