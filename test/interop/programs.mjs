// @ts-check
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Where `npm run interop:install` builds; ignored by git. */
export const DIRECTORY = join(ROOT, '.interop');

/** What to tell whoever lacks one of the programs. */
export const HOW_TO_INSTALL =
  '`npm run interop:install` builds it (needs Go, Rust with cargo, and Python 3 with venv; about 3 minutes)';

/** @typedef {'audit' | 'go' | 'grant' | 'python' | 'rust'} Language the folder of a program; `audit` and `grant` are in Go */

/**
 * @typedef Recipe
 * @property {readonly string[]} sources - what it is built of, files or folders, below the folder of its language.
 * @property {readonly string[]} toolchain - a command that shows that the language is there.
 * @property {readonly (readonly string[])[]} build - commands, run in the folder of its language.
 * @property {readonly string[]} command - what starts it.
 */

/** @param {Language} language */
export const folder = (language) => join(ROOT, 'test', 'interop', language);
/** @param {...string} parts */
const built = (...parts) => join(DIRECTORY, ...parts);

/** @type {Readonly<Record<Language, Recipe>>} */
export const RECIPES = {
  audit: {
    sources: [
      'go.mod',
      'go.sum',
      'main.go',
      'checkpoint.go',
      'endorsement.go',
      'log.go',
      'proof.go',
      'tree.go',
    ],
    toolchain: ['go', 'version'],
    build: [['go', 'build', '-trimpath', '-buildvcs=false', '-o', built('audit', 'audit'), '.']],
    command: [built('audit', 'audit')],
  },
  go: {
    sources: [
      'go.mod',
      'go.sum',
      'bench.go',
      'grpc.go',
      'main.go',
      'oracle.go',
      'peer.go',
      'read.go',
    ],
    toolchain: ['go', 'version'],
    build: [['go', 'build', '-trimpath', '-buildvcs=false', '-o', built('go', 'interop'), '.']],
    command: [built('go', 'interop')],
  },
  grant: {
    sources: ['go.mod', 'main.go', 'constraint.go', 'json.go', 'jws.go', 'profile.go', 'verify.go'],
    toolchain: ['go', 'version'],
    build: [['go', 'build', '-trimpath', '-buildvcs=false', '-o', built('grant', 'grant'), '.']],
    command: [built('grant', 'grant')],
  },
  python: {
    sources: ['requirements.txt'],
    toolchain: ['python3', '-m', 'venv', '--help'],
    build: [
      ['python3', '-m', 'venv', '--clear', built('python')],
      [
        built('python', 'bin', 'python'),
        '-m',
        'pip',
        'install',
        '--quiet',
        '-r',
        'requirements.txt',
      ],
    ],
    command: [built('python', 'bin', 'python'), join(folder('python'), 'interop.py')],
  },
  rust: {
    sources: ['Cargo.toml', 'Cargo.lock', 'src/main.rs'],
    toolchain: ['cargo', '--version'],
    build: [['cargo', 'build', '--locked', '--quiet', '--target-dir', built('rust')]],
    command: [built('rust', 'debug', 'interop')],
  },
};

/** @param {Language} language */
export function stampOf(language) {
  return built(`${language}.stamp`);
}

/**
 * Tells one state of the sources from every other.
 * @param {Language} language
 */
export function fingerprint(language) {
  const hash = createHash('sha256');
  for (const name of RECIPES[language].sources)
    hash.update(name).update(readFileSync(join(folder(language), name)));
  return hash.digest('hex');
}

/**
 * The command that starts the program; `undefined` when it was not built, or of other sources.
 * @param {Language} language
 * @returns {readonly string[] | undefined}
 */
export function findProgram(language) {
  const stamp = stampOf(language);
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== fingerprint(language)) return undefined;
  return RECIPES[language].command;
}

/**
 * Whether the language's own tools are on this machine.
 * @param {Language} language
 */
export function hasToolchain(language) {
  const [program = '', ...args] = RECIPES[language].toolchain;
  return spawnSync(program, args).status === 0;
}
