import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findSpire, INSTALL_DIRECTORY, SPIRE_VERSION, spireIn } from './binaries.mjs';
import { runToEnd, say, script } from './script.mjs';

const OTHER_WAY =
  'or put the programs of a release (https://github.com/spiffe/spire/releases) in a directory and set SPIRE_BIN_DIR to it';

/** @param {string} program */
function there(program) {
  return spawnSync(program, ['version']).error === undefined;
}

function checkBuildTools() {
  if (!there('go'))
    throw new Error(`Go is needed to build SPIRE: install Go 1.26.6 or newer, ${OTHER_WAY}`);
  // SPIRE's SQLite is C: built without a compiler, its server starts and then fails.
  const compiler = spawnSync('go', ['env', 'CC'], { encoding: 'utf8' }).stdout.trim();
  if (!there(compiler.split(' ')[0] ?? ''))
    throw new Error(
      `SPIRE needs a C compiler, and ${compiler} is not there: install it, ${OTHER_WAY}`,
    );
}

/** @param {string} into */
async function build(into) {
  const since = Date.now();
  const progress = setInterval(() => {
    say(`Still building (${Math.round((Date.now() - since) / 60_000)} min).`);
  }, 60_000);
  try {
    const code = await runToEnd('go', ['build', '-o', `${into}/`, 'tool'], {
      cwd: fileURLToPath(new URL('build', import.meta.url)),
      env: { ...process.env, CGO_ENABLED: '1', GOWORK: 'off' },
    });
    if (code !== 0)
      throw new Error('go build failed, and says why above; it must be Go 1.26.6 or newer');
  } finally {
    clearInterval(progress);
  }
}

await script('spire:install', async () => {
  const found = findSpire();
  if (found) {
    say(`SPIRE ${SPIRE_VERSION} is installed: ${dirname(found.server)}`);
    return;
  }
  const told = process.env['SPIRE_BIN_DIR'];
  if (told)
    throw new Error(
      `SPIRE_BIN_DIR=${told} has no spire-server and spire-agent of ${SPIRE_VERSION}; unset it to have them built`,
    );
  checkBuildTools();
  say(`Building SPIRE ${SPIRE_VERSION} with Go: about 5 minutes the first time.`);
  // Under another name until it is whole, so that a build cut short is not taken for an installation.
  const unfinished = `${INSTALL_DIRECTORY}.partial`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  try {
    await build(unfinished);
    if (!spireIn(unfinished)) throw new Error(`what Go built is not SPIRE ${SPIRE_VERSION}`);
    rmSync(INSTALL_DIRECTORY, { recursive: true, force: true });
    renameSync(unfinished, INSTALL_DIRECTORY);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  say(`SPIRE ${SPIRE_VERSION} is installed: ${INSTALL_DIRECTORY}`);
});
