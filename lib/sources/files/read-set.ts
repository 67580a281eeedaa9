import { constants } from 'node:fs';
import { open, readdir, readlink, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';
import { BUNDLE_SUFFIX, type SvidFileNames } from './names.js';

/** What the files held at one instant. */
export interface FileSet {
  readonly svid: Uint8Array;
  readonly key: Uint8Array;
  /** The permissions of the key's file. */
  readonly keyMode: number;
  readonly bundle: Uint8Array;
  /** By trust domain, as the file's name has it; or why the file cannot be read. */
  readonly federated: ReadonlyMap<string, Uint8Array | SpiffeError>;
}

/** The link that Kubernetes, and our own writer, swap to replace all files at once. */
export const DATA_LINK = '..data';

/** Four MiB of DER, the default limit of one bundle, take a third more as PEM. */
const MOST_BYTES = 6 * 2 ** 20;
const MOST_BUNDLES = 200;
const ATTEMPTS = 10;

/** The files were replaced again and again while they were read; nothing is known to be wrong with them. */
export class UnsettledError extends SpiffeError {}

/**
 * Reads the files of one generation: never some of one and some of another. Behind a `..data` link, which is resolved
 * once, a generation is a directory of its own, which is not written to any more. Without one the files may be replaced
 * singly: they are read until two readings agree, so that there was an instant at which all of them were as read.
 *
 * @param read - reads the files below a directory once.
 * @throws SpiffeError `ERR_SPIFFE_FILES_INVALID`; an {@link UnsettledError} when it might go well the next time.
 */
export async function readSet(
  directory: string,
  names: SvidFileNames,
  read: typeof readOnce = readOnce,
): Promise<FileSet> {
  let before: FileSet | undefined;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const base = await generation(directory);
    const set = await read(base.path, names).catch((error: SpiffeError) => error);
    // One that was replaced meanwhile may have been removed meanwhile, in part or whole.
    if ((await generation(directory)).path !== base.path) {
      before = undefined;
      continue;
    }
    if (set instanceof SpiffeError) throw set;
    if (base.whole || (before !== undefined && same(set, before))) return set;
    before = set;
  }
  throw unsettled(directory);
}

interface Generation {
  readonly path: string;
  /** Written before it got its name, and replaced as a whole. */
  readonly whole: boolean;
}

/** Where the files of the present generation are. */
async function generation(directory: string): Promise<Generation> {
  const link = join(directory, DATA_LINK);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const target = await targetOf(link);
    if (target === undefined) return { path: await resolve(directory), whole: false };
    try {
      return { path: await realpath(link), whole: true };
    } catch (cause) {
      // The link may have been replaced, and what it led to removed, between two steps of the way.
      if ((await targetOf(link)) === target) throw unreadable(link, cause);
    }
  }
  throw unsettled(directory);
}

/** Where a link leads, itself alone; empty for something that is no link, `undefined` for nothing. */
async function targetOf(link: string): Promise<string | undefined> {
  try {
    return await readlink(link);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EINVAL' ? '' : undefined;
  }
}

function unsettled(directory: string): UnsettledError {
  return new UnsettledError(
    'ERR_SPIFFE_FILES_INVALID',
    `cannot read the files in ${quote(directory)}: they change faster than they can be read`,
  );
}

async function resolve(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

async function readOnce(base: string, names: SvidFileNames): Promise<FileSet> {
  const [svid, key, bundle, federated] = await Promise.all([
    readRegular(join(base, names.svid)),
    readRegular(join(base, names.key)),
    readRegular(join(base, names.bundle)),
    readFederated(join(base, names.federated)),
  ]);
  return {
    svid: svid.bytes,
    key: key.bytes,
    keyMode: key.mode,
    bundle: bundle.bytes,
    federated,
  };
}

async function readFederated(directory: string): Promise<FileSet['federated']> {
  const files = (await list(directory)).filter(
    (name) => name.endsWith(BUNDLE_SUFFIX) && !name.startsWith('.'),
  );
  if (files.length > MOST_BUNDLES)
    throw invalid(
      directory,
      `it holds ${files.length} bundles, above the limit of ${MOST_BUNDLES}`,
    );
  const bundles = new Map<string, Uint8Array | SpiffeError>();
  for (const name of files) {
    const domain = name.slice(0, -BUNDLE_SUFFIX.length);
    try {
      bundles.set(domain, (await readRegular(join(directory, name))).bytes);
    } catch (error) {
      bundles.set(domain, error as SpiffeError);
    }
  }
  return bundles;
}

async function list(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).toSorted();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw unreadable(directory, cause);
  }
}

interface RegularFile {
  readonly bytes: Uint8Array;
  readonly mode: number;
}

/** Without blocking: whoever opens a FIFO that nobody writes to would wait for ever, and take a thread along. */
async function readRegular(path: string): Promise<RegularFile> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw invalid(path, 'it is no regular file');
      // One more than is allowed, so that a file that grows meanwhile is found out as well.
      const bytes = Buffer.alloc(Math.min(stat.size, MOST_BYTES) + 1);
      let length = 0;
      for (let more = 1; more > 0; length += more)
        more = (await handle.read(bytes, length, bytes.length - length)).bytesRead;
      if (length > MOST_BYTES) throw invalid(path, `it is larger than ${MOST_BYTES} bytes`);
      if (length > stat.size) throw invalid(path, 'it grew while it was read');
      return { bytes: bytes.subarray(0, length), mode: stat.mode & 0o777 };
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw cause instanceof SpiffeError ? cause : unreadable(path, cause);
  }
}

function same(one: FileSet, other: FileSet): boolean {
  return (
    Buffer.compare(one.svid, other.svid) === 0 &&
    Buffer.compare(one.key, other.key) === 0 &&
    Buffer.compare(one.bundle, other.bundle) === 0 &&
    one.federated.size === other.federated.size &&
    Array.from(one.federated).every(([domain, held]) =>
      sameEntry(held, other.federated.get(domain)),
    )
  );
}

function sameEntry(
  one: Uint8Array | SpiffeError,
  other: Uint8Array | SpiffeError | undefined,
): boolean {
  return one instanceof SpiffeError
    ? other instanceof SpiffeError && one.message === other.message
    : other instanceof Uint8Array && Buffer.compare(one, other) === 0;
}

const WHAT_TO_DO: Partial<Record<string, string>> = {
  ENOENT: 'is it written there, and under this name?',
  EACCES: 'may this process read it?',
  ELOOP: 'does a link lead back to itself?',
};

function unreadable(path: string, cause: unknown): SpiffeError {
  const { code = 'unknown' } = cause as NodeJS.ErrnoException;
  const hint = WHAT_TO_DO[code];
  return invalid(path, `${code}${hint === undefined ? '' : `; ${hint}`}`, cause);
}

function invalid(path: string, why: string, cause?: unknown): SpiffeError {
  const message = `cannot read ${quote(path)}: ${why}`;
  return new SpiffeError('ERR_SPIFFE_FILES_INVALID', message, { cause });
}
