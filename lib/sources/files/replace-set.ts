import { constants } from 'node:fs';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
  unlink,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';
import { DATA_LINK } from './read-set.js';

/** One file of a set. */
export interface FileToWrite {
  /** Below the directory; at most one directory deep. */
  readonly path: string;
  readonly text: string;
  readonly mode: number;
}

/** What of ours stands beside the files: generations, and links on their way to a place. */
const OURS = '..svid-';

/**
 * Replaces all files of a directory at once, as Kubernetes does for its volumes: a new generation is written whole
 * beside the old one, then the link `..data` is moved from one to the other, and the names that users know lead through
 * that link. Whoever resolves `..data` once reads one generation. An end at any moment, of the process or of the
 * machine, leaves the old files or the new ones; what it may leave behind is removed by the next call.
 *
 * @throws SpiffeError `ERR_SPIFFE_FILES_NOT_WRITTEN`; the old files are in place then, and nothing of the new ones,
 * unless it was the first set, whose names are put in place after the link.
 */
export async function replaceSet(directory: string, files: readonly FileToWrite[]): Promise<void> {
  const names = topNames(files);
  let fresh: string | undefined;
  try {
    await mkdir(directory, { recursive: true });
    await checkPlace(directory, names);
    fresh = await mkdtemp(join(directory, OURS));
    await writeGeneration(fresh, files);
    await link(directory, DATA_LINK, basename(fresh));
    for (const name of names) await link(directory, name, join(DATA_LINK, name));
    await unlinkOthers(directory, names);
    await sync(directory);
    await sweep(directory);
  } catch (cause) {
    if (fresh !== undefined) await sweep(directory).catch(() => {});
    throw notWritten(directory, cause);
  }
}

/**
 * Takes the files away, all at once.
 *
 * @throws SpiffeError `ERR_SPIFFE_FILES_NOT_WRITTEN`
 */
export async function removeSet(directory: string): Promise<void> {
  try {
    if (!(await isOurs(directory))) return;
    await unlink(join(directory, DATA_LINK));
    await unlinkOthers(directory, []);
    await sync(directory);
    await sweep(directory);
  } catch (cause) {
    throw notWritten(directory, cause);
  }
}

function topNames(files: readonly FileToWrite[]): readonly string[] {
  return [...new Set(files.map(({ path }) => (dirname(path) === '.' ? path : dirname(path))))];
}

/** Looks before anything is written whether it can be put in place. */
async function checkPlace(directory: string, names: readonly string[]): Promise<void> {
  if (!(await isOurs(directory)) && (await statOf(join(directory, DATA_LINK))) !== undefined)
    throw new Error(`${DATA_LINK} there is that of another writer; give a directory of its own`);
  for (const name of names)
    if ((await statOf(join(directory, name)))?.isDirectory() === true)
      throw new Error(`${name} there is a directory; remove it`);
}

async function isOurs(directory: string): Promise<boolean> {
  return (await targetOf(join(directory, DATA_LINK)))?.startsWith(OURS) === true;
}

/** Removes the names of ours that lead to nothing any more. */
async function unlinkOthers(directory: string, names: readonly string[]): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (!names.includes(name) && (await targetOf(path)) === join(DATA_LINK, name))
      await unlink(path);
  }
}

async function statOf(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  return await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}

async function targetOf(path: string): Promise<string | undefined> {
  const stat = await statOf(path);
  return stat?.isSymbolicLink() === true ? await readlink(path) : undefined;
}

async function writeGeneration(directory: string, files: readonly FileToWrite[]): Promise<void> {
  // Whatever the umask: who may read what is said by each file.
  await chmod(directory, 0o755);
  const inner = new Set<string>();
  for (const { path, text, mode } of files) {
    const parent = dirname(path);
    if (parent !== '.' && !inner.has(parent)) {
      await mkdir(join(directory, parent));
      await chmod(join(directory, parent), 0o755);
      inner.add(parent);
    }
    await writeFile(join(directory, path), text, mode);
  }
  for (const parent of inner) await sync(join(directory, parent));
  await sync(directory);
}

async function writeFile(path: string, text: string, mode: number): Promise<void> {
  const { O_CREAT, O_EXCL, O_WRONLY } = constants;
  // Closed to others from the first instant, whatever the umask.
  const handle = await open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  try {
    await handle.writeFile(text);
    await handle.chmod(mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Puts a link in place of whatever had the name, in one step. */
async function link(directory: string, name: string, target: string): Promise<void> {
  const path = join(directory, name);
  if ((await targetOf(path)) === target) return;
  const temporary = join(directory, `${OURS}link-${name}`);
  await rm(temporary, { force: true });
  await symlink(target, temporary);
  await rename(temporary, path);
}

/** Removes what is ours and not in use. */
async function sweep(directory: string): Promise<void> {
  const used = await targetOf(join(directory, DATA_LINK));
  for (const name of await readdir(directory))
    if (name.startsWith(OURS) && name !== used)
      await rm(join(directory, name), { recursive: true, force: true });
}

/** A directory's entries outlive a power failure only when it was synced itself. */
async function sync(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function notWritten(directory: string, cause: unknown): SpiffeError {
  const why = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
  return new SpiffeError(
    'ERR_SPIFFE_FILES_NOT_WRITTEN',
    `cannot write an SVID into ${quote(directory)}: ${why}`,
    { cause },
  );
}
