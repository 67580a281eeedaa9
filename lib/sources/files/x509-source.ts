import { join } from 'node:path';
import { SpiffeError } from '../../errors.js';
import type { Clock, ClockTimer } from '../../internal/clock.js';
import type { Logger } from '../../log.js';
import { HeldState } from '../held-state.js';
import {
  HeldX509Source,
  NO_X509_CONTENT,
  type PickedContent,
  sameContent,
} from '../held-x509-source.js';
import { type Place, readContent } from './content.js';
import { DirectoryWatch } from './directory-watch.js';
import { type FileSet, readSet, UnsettledError } from './read-set.js';

/** Options of {@link FilesX509Source}. */
export interface FilesX509SourceOptions extends Place {
  /** How often to look when nothing is told. */
  readonly pollMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Who writes one file writes the next: what follows closely is one change. */
const SETTLE_MS = 50;
/** What does not fit together may be half a change; after this it is a fault. */
const SECOND_LOOK_MS = 250;
/** Who replaces files without a pause is waited for as long as this. */
const UNSETTLED_MS = 5000;
/** While there is a fault, looks are this close at least. */
const FAULT_POLL_MS = 1000;

const LEFT_OUT = 'left out of what the files hold';
const REFUSED = 'the files of an SVID cannot be used; the last good state stays';

/** The X.509 state of a workload, kept new from files. One immutable snapshot, swapped whole. */
export class FilesX509Source extends HeldX509Source {
  readonly #options: FilesX509SourceOptions;
  readonly #held: HeldState<PickedContent>;
  readonly #watch: DirectoryWatch;
  #timer: ClockTimer | undefined;
  /** The next look is for a change, so that further changes do not put it off. */
  #settling = false;
  #closed = false;
  #looking = false;
  /** Something changed while a look was under way. */
  #changed = false;
  /** Since when no look has found anything good. */
  #failingSince: number | undefined;
  readonly #said = new Set<string>();

  constructor(options: FilesX509SourceOptions) {
    const { directory, logger, clock } = options;
    const held = new HeldState<PickedContent>({
      place: directory,
      nothing: NO_X509_CONTENT,
      logger,
      same: sameContent,
    });
    super(held, clock);
    this.#options = options;
    this.#held = held;
    this.#watch = new DirectoryWatch(
      () => this.#soon(),
      (error) => this.#notWatched(error),
    );
  }

  /** Looks at the files, and from then on whenever they change. Once. */
  start(): void {
    void this.#look();
  }

  /** Ends it; readers of `updates` end after the state `closed`. */
  close(): void {
    this.#closed = true;
    this.#options.clock.clearTimeout(this.#timer);
    this.#watch.close();
    this.#held.close();
  }

  #soon(): void {
    if (this.#looking) this.#changed = true;
    else if (!this.#settling) this.#settle();
  }

  #settle(): void {
    this.#settling = true;
    this.#wait(SETTLE_MS);
  }

  #wait(ms: number): void {
    const { clock } = this.#options;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => void this.#look(), ms);
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const { directory, names, pollMs } = this.#options;
    this.#looking = true;
    this.#settling = false;
    this.#changed = false;
    this.#watch.arm([directory, join(directory, names.federated)]);
    let waitMs: number;
    try {
      const set = await readSet(directory, names);
      if (this.#closed) return;
      this.#accept(set);
      waitMs = pollMs;
    } catch (error) {
      if (this.#closed) return;
      waitMs = this.#refuse(error);
    }
    this.#looking = false;
    if (this.#changed) this.#settle();
    else this.#wait(waitMs);
  }

  #accept(set: FileSet): void {
    const { clock } = this.#options;
    const { content, omissions } = readContent(set, this.#options, clock.now(), this.#held.held);
    this.#failingSince = undefined;
    this.#held.accept(
      content,
      omissions.map((error) => ({ what: LEFT_OUT, error })),
    );
    if ((set.keyMode & 0o077) !== 0) this.#keyIsOpen(set.keyMode);
  }

  /** How long to wait for the next look. */
  #refuse(cause: unknown): number {
    const now = this.#options.clock.now();
    this.#failingSince ??= now;
    const graceMs = cause instanceof UnsettledError ? UNSETTLED_MS : SECOND_LOOK_MS;
    if (now - this.#failingSince < graceMs && this.state === 'ready') return SECOND_LOOK_MS;
    // Whatever it is: what stands in files must not end the process, nor the looking.
    const error =
      cause instanceof SpiffeError
        ? cause
        : new SpiffeError('ERR_SPIFFE_FILES_INVALID', 'cannot use the files of an SVID', { cause });
    this.#held.refuse(error, REFUSED);
    this.#held.stale(error);
    return Math.min(FAULT_POLL_MS, this.#options.pollMs);
  }

  #keyIsOpen(mode: number): void {
    const file = join(this.#options.directory, this.#options.names.key);
    this.#sayOnce(
      { file, mode: mode.toString(8) },
      `others than its owner may read the private key in ${file}; whoever reads it is this workload: chmod 600, or mode 0400 of its volume`,
    );
  }

  #notWatched(error: unknown): void {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    this.#sayOnce(
      { code },
      `the system tells of no changes in ${this.#options.directory} (${code}); they are found within ${this.#options.pollMs} ms`,
    );
  }

  #sayOnce(fields: object, message: string): void {
    if (this.#said.has(message)) return;
    this.#said.add(message);
    this.#options.logger.warn(fields, message);
  }
}
