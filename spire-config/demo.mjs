import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findSpire, HOW_TO_INSTALL, SPIRE_VERSION } from './binaries.mjs';
import { end, until } from './processes.mjs';
import { Spire } from './spire.mjs';

/** All state of the demo's SPIRE: a directory, or a link to one with a shorter path. Ignored by git. */
const STATE = fileURLToPath(new URL('../.spire/run', import.meta.url));
/** A Unix socket's path may have 107 bytes on Linux and 103 on macOS. */
const LONGEST_SOCKET_PATH = 103;

/** @param {string} directory */
function fitsSockets(directory) {
  return Buffer.byteLength(join(directory, 'server/api.sock')) <= LONGEST_SOCKET_PATH;
}

/** @param {string} state */
function createState(state) {
  mkdirSync(dirname(state), { recursive: true });
  if (fitsSockets(join(realpathSync(dirname(state)), basename(state)))) {
    mkdirSync(state, { mode: 0o700 });
    return;
  }
  const short = mkdtempSync(join(realpathSync(tmpdir()), 'spire-'));
  symlinkSync(short, state);
  if (!fitsSockets(short))
    throw new Error(`the path ${short} is too long for a Unix socket: set TMPDIR to a shorter one`);
}

/**
 * @param {string} state
 * @param {import('./binaries.mjs').SpireBinaries} binaries
 */
function openState(state, binaries) {
  return new Spire({ binaries, directory: realpathSync(state) });
}

/** The entries of the demo, for processes of this user. */
function entries() {
  const text = readFileSync(new URL('entries.json', import.meta.url), 'utf8');
  return text.replaceAll('${UID}', String(process.getuid?.()));
}

/** @param {Spire} spire */
async function servesTheEntries(spire) {
  const { svids } = await spire.fetchX509();
  const served = new Set(svids.map((svid) => svid.spiffe_id));
  const wanted = [...entries().matchAll(/"spiffe_id": "([^"]+)"/g)].map(([, id]) => id ?? '');
  return wanted.every((id) => served.has(id));
}

/**
 * @param {Spire} spire
 * @returns {{ address: string, server: string }}
 */
function addressesOf({ address, serverAddress }) {
  return { address, server: serverAddress };
}

/** @param {Spire} spire */
async function addressesIfUp(spire) {
  const healthy = (await spire.healthy('server')) && (await spire.healthy('agent'));
  return healthy && (await servesTheEntries(spire)) ? addressesOf(spire) : undefined;
}

/**
 * Brings up the demo's SPIRE with its entries, to live on when this process ends; does nothing when it is up.
 * @param {object} [options]
 * @param {string} [options.state] - where all its state goes; `.spire/run` of this checkout unless given.
 * @param {(line: string) => void} [options.say] - told how far it is.
 * @returns {Promise<{ address: string, server: string, started: boolean }>} Where the Workload API is, and the server's API
 *   over TCP; `started`: it was not up before.
 */
export async function up({ state = STATE, say = () => {} } = {}) {
  const binaries = findSpire();
  if (!binaries) throw new Error(`no SPIRE ${SPIRE_VERSION} on this machine: ${HOW_TO_INSTALL}`);
  const addresses = existsSync(state) ? await addressesIfUp(openState(state, binaries)) : undefined;
  if (addresses !== undefined) return { ...addresses, started: false };
  if (await down(state)) say('Cleared away what an earlier run left.');
  createState(state);
  const spire = openState(state, binaries);
  try {
    await spire.startServer();
    say('The server is healthy.');
    await spire.admin(['entry', 'create', '-data', '-'], entries());
    await spire.startAgent();
    say('The agent has joined and is healthy.');
    await until(
      () => servesTheEntries(spire),
      () =>
        `the agent does not serve the identities of entries.json; its log is ${state}/agent/log`,
    );
  } catch (error) {
    // The logs stay for whoever reads the error; the next start clears them away.
    await spire.stop('agent');
    await spire.stop('server');
    throw error;
  }
  return { ...addressesOf(spire), started: true };
}

/**
 * Ends the demo's SPIRE and removes its state.
 * @param {string} [state] - `.spire/run` of this checkout unless given.
 * @returns {Promise<boolean>} Whether there was anything to end or remove.
 */
export async function down(state = STATE) {
  if (lstatSync(state, { throwIfNoEntry: false }) === undefined) return false;
  // The target of a link may be gone: temporary directories are cleared at times.
  if (existsSync(state)) {
    const directory = realpathSync(state);
    await end(join(directory, 'agent'));
    await end(join(directory, 'server'));
    rmSync(directory, { recursive: true, force: true });
  }
  rmSync(state, { force: true });
  return true;
}
