// @ts-check
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { say, script } from '../../spire-config/script.mjs';
import {
  DIRECTORY,
  findProgram,
  fingerprint,
  folder,
  hasToolchain,
  RECIPES,
  stampOf,
} from './programs.mjs';

const LONGEST_BUILD_MS = 10 * 60_000;

/**
 * @param {readonly string[]} command
 * @param {string} cwd
 * @returns {Promise<void>}
 */
function run([program = '', ...args], cwd) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, GOWORK: 'off' };
    spawn(program, args, { cwd, env, stdio: 'inherit', timeout: LONGEST_BUILD_MS })
      .once('error', reject)
      .once('exit', (code, signal) => {
        if (code === 0) resolve();
        else reject(new Error(`${program} ${args[0]} ended with ${code ?? signal}`));
      });
  });
}

/** @param {import('./programs.mjs').Language} language */
async function install(language) {
  if (findProgram(language)) return `The ${language} program is built.`;
  if (!hasToolchain(language)) {
    throw new Error(`no ${language}: ${RECIPES[language].toolchain.join(' ')} does not run`);
  }
  const since = Date.now();
  rmSync(stampOf(language), { force: true });
  for (const command of RECIPES[language].build) await run(command, folder(language));
  writeFileSync(stampOf(language), fingerprint(language));
  return `Built the ${language} program in ${Math.round((Date.now() - since) / 1000)} s.`;
}

await script('interop:install', async () => {
  mkdirSync(DIRECTORY, { recursive: true });
  /** @type {string[]} */
  const missing = [];
  for (const language of /** @type {const} */ (['go', 'audit', 'grant', 'python', 'rust'])) {
    try {
      say(await install(language));
    } catch (error) {
      missing.push(error instanceof Error ? error.message : String(error));
    }
  }
  if (missing.length > 0) throw new Error(missing.join('; '));
});
