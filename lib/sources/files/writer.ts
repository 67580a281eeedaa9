import type { Identity, X509Snapshot } from '../../identity/source.js';
import type { Logger } from '../../log.js';
import type { SvidFileNames } from './names.js';
import type { OpenedWriter } from './open-writer.js';

/** Options of {@link SvidFileWriter.open}. */
export interface SvidFileWriterOptions {
  /** What the files are called. Default: as `SvidFileNames` says. */
  readonly names?: Partial<SvidFileNames>;
  /** The permissions of the private key's file: `0o600`, `0o400`, or with a group `0o640`, `0o440`. Default: `0o600`. */
  readonly keyMode?: number;
  /** How long to wait for the first identity, in milliseconds. Default: 30 000. */
  readonly timeoutMs?: number;
  /** Ends that wait; later it does nothing. */
  readonly signal?: AbortSignal;
  /** Default: says nothing. A pino logger fits. */
  readonly logger?: Logger;
}

/**
 * Keeps PEM files like an identity, for programs that know nothing of SPIFFE: the SVID, its key in PKCS#8, the bundle of
 * its trust domain, and one of each federated domain in a directory of its own, never mixed (X509-30). After each
 * rotation all of them are replaced at once, by a swap of the link `..data`, as Kubernetes replaces a volume: a
 * program that resolves `..data` once, as `Workload.openFiles` does, never reads files of two generations.
 *
 * The directory is for this writer alone. It is made where there is none. When the identity is withdrawn, the files are
 * taken away.
 */
export class SvidFileWriter {
  /** As an absolute path. */
  readonly directory: string;
  readonly #follower: OpenedWriter['follower'];

  private constructor({ directory, follower }: OpenedWriter) {
    this.directory = directory;
    this.#follower = follower;
  }

  /**
   * Waits for the identity, writes the first files and follows it until {@link SvidFileWriter.close}. From then on nothing
   * throws unasked: a write that fails leaves the old files, is logged, and tried again.
   *
   * @param identity - a `Workload`, say. It stays the caller's to close.
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`; `ERR_SPIFFE_OPEN_TIMEOUT`, or a code of the source when that has
   * ended; `ERR_SPIFFE_FILES_NOT_WRITTEN`. On abort the signal's reason.
   */
  static async open(
    identity: Identity,
    directory: string,
    options: SvidFileWriterOptions = {},
  ): Promise<SvidFileWriter> {
    const { openWriter } = await import('./open-writer.js');
    return new SvidFileWriter(await openWriter(identity, directory, options));
  }

  /**
   * The states whose files are in place, the present one first: after each, the program that uses them can be told to
   * read them again. A slow reader gets the newest. Ends after {@link SvidFileWriter.close}.
   */
  updates(options: { readonly signal?: AbortSignal } = {}): AsyncIterable<X509Snapshot> {
    return this.#follower.updates(options.signal);
  }

  /** Resolves when nothing is being written any more. The files stay, and grow old. Safe to call twice. */
  close(): Promise<void> {
    return this.#follower.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
