import { SpiffeError } from '../../errors.js';
import type { X509Snapshot, X509Source } from '../../identity/source.js';
import { backoffMs } from '../../internal/backoff.js';
import { Broadcast } from '../../internal/broadcast.js';
import type { Clock, ClockTimer } from '../../internal/clock.js';
import { quote } from '../../internal/quote.js';
import type { Logger } from '../../log.js';
import { type FileToWrite, removeSet, replaceSet } from './replace-set.js';
import { type SvidFilesLayout, sameFiles, svidFiles } from './svid-files.js';

/** What it takes to keep files like a source, judged already. */
export interface FollowOptions extends SvidFilesLayout {
  readonly source: X509Source;
  readonly directory: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const RETRY = { firstMs: 500, longestMs: 30_000 };

/** Keeps the files of a directory like the newest state of a source. */
export class FilesFollower {
  readonly #options: FollowOptions;
  readonly #stop = new AbortController();
  #newest: X509Snapshot | undefined;
  #written: readonly FileToWrite[] | undefined;
  #states: Broadcast<X509Snapshot> | undefined;
  #work: Promise<void> | undefined;
  #timer: ClockTimer | undefined;
  #failures = 0;

  constructor(options: FollowOptions) {
    this.#options = options;
  }

  /**
   * Writes a first state, which has an SVID.
   *
   * @throws SpiffeError `ERR_SPIFFE_FILES_NOT_WRITTEN`
   */
  async begin(first: X509Snapshot): Promise<void> {
    if (!(await this.#bring(first))) {
      throw new SpiffeError(
        'ERR_SPIFFE_FILES_NOT_WRITTEN',
        `cannot write an SVID into ${quote(this.#options.directory)}: there is no bundle for its trust domain`,
      );
    }
    this.#states = new Broadcast(first);
    void this.#follow();
  }

  /** The states whose files are in place. */
  updates(signal: AbortSignal | undefined): AsyncIterable<X509Snapshot> {
    return (this.#states as Broadcast<X509Snapshot>).values(signal);
  }

  /** Resolves when nothing is being written any more. The files stay. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#options.clock.clearTimeout(this.#timer);
    this.#states?.end();
    await this.#work;
  }

  /** Never rejects. */
  async #follow(): Promise<void> {
    const { signal } = this.#stop;
    try {
      for await (const snapshot of this.#options.source.updates({ signal })) {
        this.#newest = snapshot;
        this.#kick();
      }
    } catch (error) {
      if (!signal.aborted)
        this.#options.logger.error(
          { reason: error instanceof Error ? error.message : 'unknown' },
          'the source of the identity broke; its files are no longer kept',
        );
    }
  }

  #kick(): void {
    if (this.#work !== undefined || this.#stop.signal.aborted) return;
    this.#options.clock.clearTimeout(this.#timer);
    this.#work = this.#catchUp().finally(() => {
      this.#work = undefined;
    });
  }

  /** Never rejects. */
  async #catchUp(): Promise<void> {
    while (this.#newest !== undefined && !this.#stop.signal.aborted) {
      const next = this.#newest;
      try {
        if (await this.#bring(next)) this.#states?.publish(next);
      } catch (error) {
        this.#retry(error as SpiffeError);
        return;
      }
      if (this.#newest === next) this.#newest = undefined;
    }
  }

  /** Whether anything had to be written. */
  async #bring(snapshot: X509Snapshot): Promise<boolean> {
    const { directory, logger } = this.#options;
    // The end of a source says nothing about the identity.
    const { state } = snapshot;
    if (state !== 'ready' && state !== 'stale' && state !== 'revoked') return false;
    const files = svidFiles(snapshot, this.#options);
    if (files === undefined) {
      if (this.#written === undefined) return false;
      await removeSet(directory);
      logger.warn(
        { directory, state },
        'took the files of an SVID away: the identity is withdrawn',
      );
    } else {
      if (this.#written !== undefined && sameFiles(files, this.#written)) return false;
      await replaceSet(directory, files);
    }
    this.#written = files;
    this.#recovered();
    return true;
  }

  #retry(error: SpiffeError): void {
    const { clock, logger } = this.#options;
    this.#failures += 1;
    if (this.#failures === 1)
      logger.warn({ code: error.code }, `${error.message}; tried again until it works`);
    this.#timer = clock.setTimeout(
      () => this.#kick(),
      Math.round(backoffMs(RETRY, this.#failures, Math.random())),
    );
  }

  #recovered(): void {
    const { directory, logger } = this.#options;
    if (this.#failures > 0)
      logger.info({ failures: this.#failures }, `the files in ${directory} are new again`);
    this.#failures = 0;
  }
}
