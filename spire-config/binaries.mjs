import { spawnSync } from 'node:child_process';
import { delimiter, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The release that the configuration and the tests are for; `build/go.mod` pins the same. */
export const SPIRE_VERSION = '1.15.3';

/** Where `npm run spire:install` puts what it builds; ignored by git. */
export const INSTALL_DIRECTORY = fileURLToPath(new URL('../.spire/bin', import.meta.url));

/** What to tell whoever has no SPIRE. */
export const HOW_TO_INSTALL =
  '`npm run spire:install` builds it (needs Go and a C compiler, about 5 minutes)';

/** @typedef {{ readonly server: string, readonly agent: string }} SpireBinaries Paths of the two programs. */

/**
 * The release that a program says it is, such as `1.15.3`; `undefined` where there is no such program.
 * @param {string} path
 * @returns {string | undefined}
 */
function versionOf(path) {
  // It says so on standard error, with "-dev-unk" behind when built without the flags of a release.
  const { stdout, stderr } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  return /\d+\.\d+\.\d+/.exec(`${stdout}${stderr}`)?.[0];
}

/**
 * The two programs in one directory, their paths absolute, when both are of the release wanted.
 * @param {string} directory
 * @returns {SpireBinaries | undefined}
 */
export function spireIn(directory) {
  const found = {
    server: resolve(directory, 'spire-server'),
    agent: resolve(directory, 'spire-agent'),
  };
  const right = [found.agent, found.server].every((path) => versionOf(path) === SPIRE_VERSION);
  return right ? found : undefined;
}

/**
 * SPIRE on this machine: in `$SPIRE_BIN_DIR` when that is set and nowhere else then; else where
 * `npm run spire:install` puts it, or on the PATH.
 * @returns {SpireBinaries | undefined}
 */
export function findSpire() {
  const told = process.env['SPIRE_BIN_DIR'];
  if (told) return spireIn(told);
  const path = (process.env['PATH'] ?? '').split(delimiter).filter(Boolean);
  for (const directory of [INSTALL_DIRECTORY, ...path]) {
    const found = spireIn(directory);
    if (found) return found;
  }
  return undefined;
}
