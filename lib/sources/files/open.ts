import { SpiffeError } from '../../errors.js';
import type { Clock } from '../../internal/clock.js';
import { checkDuration } from '../../internal/options.js';
import { quote } from '../../internal/quote.js';
import type { Logger } from '../../log.js';
import { firstState } from '../first-state.js';
import { reasonOf } from '../held-state.js';
import { checkDirectory, resolveNames, type SvidFileNames } from './names.js';
import { FilesX509Source } from './x509-source.js';

/** What it takes to open a workload from files. */
export interface OpenFilesOptions {
  readonly names?: Partial<SvidFileNames>;
  readonly pollMs?: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** A workload that has its identity. */
export interface OpenedFiles {
  /** As an absolute path. */
  readonly directory: string;
  readonly x509: FilesX509Source;
  readonly close: () => void;
}

const POLL_MS = 10_000;

/**
 * Waits for the first good set of files.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`; `ERR_SPIFFE_OPEN_TIMEOUT`; the signal's reason on abort. Nothing is
 * left open then.
 */
export async function openFiles(path: string, options: OpenFilesOptions): Promise<OpenedFiles> {
  const { timeoutMs, signal, logger, clock } = options;
  const directory = checkDirectory(path);
  const names = resolveNames(options.names);
  const pollMs = checkDuration('pollMs', options.pollMs ?? POLL_MS);
  const x509 = new FilesX509Source({ directory, names, pollMs, clock, logger });
  try {
    x509.start();
    await firstState(x509, {
      clock,
      signal,
      timeoutMs,
      timedOut: () => timedOut(x509, directory, timeoutMs),
    });
  } catch (error) {
    x509.close();
    throw error;
  }
  return { directory, x509, close: () => x509.close() };
}

function timedOut(x509: FilesX509Source, directory: string, timeoutMs: number): SpiffeError {
  const cause = x509.trouble;
  const why = cause === undefined ? 'they could not be read in that time' : reasonOf(cause);
  return new SpiffeError(
    'ERR_SPIFFE_OPEN_TIMEOUT',
    `no X.509-SVID came from the files in ${quote(directory)} within ${timeoutMs} ms: ${why}`,
    { cause },
  );
}
