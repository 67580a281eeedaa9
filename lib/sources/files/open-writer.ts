import { SpiffeError } from '../../errors.js';
import type { Identity, X509Source } from '../../identity/source.js';
import { type Clock, SYSTEM_CLOCK } from '../../internal/clock.js';
import { quote } from '../../internal/quote.js';
import { firstState } from '../first-state.js';
import { reasonOf } from '../held-state.js';
import { resolveWait } from '../workload.js';
import { FilesFollower } from './follow.js';
import { checkDirectory, resolveNames } from './names.js';
import type { SvidFileWriterOptions } from './writer.js';

/** A writer that has written. */
export interface OpenedWriter {
  readonly directory: string;
  readonly follower: FilesFollower;
}

/** @throws SpiffeError as `SvidFileWriter.open` does. */
export async function openWriter(
  identity: Identity,
  path: string,
  options: SvidFileWriterOptions,
  clock: Clock = SYSTEM_CLOCK,
): Promise<OpenedWriter> {
  const { timeoutMs, logger } = resolveWait(options, 'a writer of files');
  const directory = checkDirectory(path);
  const names = resolveNames(options.names);
  const keyMode = checkKeyMode(options.keyMode ?? 0o600);
  const { signal } = options;
  signal?.throwIfAborted();
  const source = identity.x509;
  const opening = {
    get trouble(): SpiffeError | undefined {
      return whyNoSvid(source);
    },
    updates: (until: { readonly signal: AbortSignal }) => source.updates(until),
  };
  const first = await firstState(opening, {
    clock,
    signal,
    timeoutMs,
    timedOut: () => timedOut(source, directory, timeoutMs),
  });
  const follower = new FilesFollower({ source, directory, names, keyMode, clock, logger });
  await follower.begin(first);
  return { directory, follower };
}

function checkKeyMode(mode: number): number {
  // Its owner reads it, or its owner and a group; nobody else, and nobody executes it.
  if (Number.isInteger(mode) && (mode & 0o400) !== 0 && (mode & ~0o640) === 0) return mode;
  const shown = typeof mode === 'number' ? `0o${mode.toString(8)}` : quote(mode);
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take ${shown} as keyMode: give 0o600, 0o400, or with a group that may read it 0o640 or 0o440`,
  );
}

function whyNoSvid(source: X509Source): SpiffeError | undefined {
  try {
    source.svid();
  } catch (error) {
    return error as SpiffeError;
  }
  return undefined;
}

function timedOut(source: X509Source, directory: string, timeoutMs: number): SpiffeError {
  const cause = whyNoSvid(source);
  const why = cause === undefined ? `its source is ${source.state}` : reasonOf(cause);
  return new SpiffeError(
    'ERR_SPIFFE_OPEN_TIMEOUT',
    `there was no X.509-SVID to write into ${quote(directory)} within ${timeoutMs} ms: ${why}`,
    { cause },
  );
}
