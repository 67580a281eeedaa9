import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { link, open, readdir, unlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';

const LOCK = /^lock\.([1-9][0-9]{0,14})$/;
/** Where the name of an open directory is short however long its path is: a socket's path holds 107 bytes. */
const OPEN_DIRECTORIES = '/proc/self/fd';

/** The right to write to a directory, held by one process at a time. */
export interface DirectoryLock {
  release(): Promise<void>;
}

/**
 * Takes the lock of a directory. It is a socket that its holder listens on: when a process ends, in whatever way, the
 * kernel closes it, so that a lock is stale exactly when a connection to it is refused. That holds across containers
 * which share a volume, where a process id would say nothing.
 *
 * Locks are numbered, and the one with the highest number counts. It is never removed, only followed by the next, so
 * that two who find the same one stale cannot both follow it.
 *
 * @throws SpiffeError `ERR_SPIFFE_AUDIT_UNAVAILABLE` when another holds it, or when no socket can be made there.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const handle = await open(directory, 'r');
  const place = process.platform === 'linux' ? `${OPEN_DIRECTORIES}/${handle.fd}` : directory;
  const mine = `listen.${randomBytes(8).toString('hex')}`;
  let server: Server | undefined;
  try {
    server = await listen(join(place, mine));
    const number = await follow(place, mine);
    await unlink(join(place, mine));
    await removeBelow(place, number);
  } catch (cause) {
    server?.close();
    throw unavailable(directory, cause);
  } finally {
    await handle.close();
  }
  const held = server;
  return {
    release: async () => {
      held.close();
      await once(held, 'close');
    },
  };
}

/** Puts our socket in the place after the highest lock, once that is known to be stale. */
async function follow(place: string, mine: string): Promise<number> {
  for (;;) {
    const before = await highest(place);
    if (before > 0 && (await isHeld(join(place, `lock.${before}`)))) throw new HeldError();
    const number = before + 1;
    try {
      await link(join(place, mine), join(place, `lock.${number}`));
    } catch (error) {
      if (hasCode(error, 'EEXIST')) continue;
      throw error;
    }
    // Whoever looked long ago may have taken a number that was passed and removed meanwhile.
    if ((await highest(place)) === number) return number;
    await unlink(join(place, `lock.${number}`));
  }
}

async function highest(place: string): Promise<number> {
  const numbers = (await readdir(place)).map((name) => Number(LOCK.exec(name)?.[1] ?? 0));
  return Math.max(0, ...numbers);
}

async function removeBelow(place: string, number: number): Promise<void> {
  for (const name of await readdir(place)) {
    if (Number(LOCK.exec(name)?.[1] ?? number) < number) await removeIfThere(join(place, name));
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

async function listen(path: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  server.listen(path);
  await once(server, 'listening');
  // The lock ends with the process; it does not keep it alive.
  return server.unref();
}

async function isHeld(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    // Anything else, a full queue for one, is not the answer of a socket without a process.
    return !hasCode(error, 'ECONNREFUSED') && !hasCode(error, 'ENOENT');
  } finally {
    socket.destroy();
  }
}

class HeldError extends Error {
  override readonly name = 'HeldError';
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function unavailable(directory: string, cause: unknown): SpiffeError {
  const why =
    cause instanceof HeldError
      ? 'another process, or another guard of this one, writes to it; give each a directory of its own'
      : 'no lock can be made there; it must be a local directory that this process may write to';
  return new SpiffeError(
    'ERR_SPIFFE_AUDIT_UNAVAILABLE',
    `cannot open the audit log in ${quote(directory)}: ${why}`,
    { cause },
  );
}
