import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Mutation } from './mutations.js';
import type { Ring } from './rings.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** What is copied, and as what: the modules stand one by one in place of the joined files. */
const COPIED = {
  'package.json': 'package.json',
  'dist-modules': 'dist',
  'dist-test': 'dist-test',
  lib: 'lib',
  test: 'test',
};
/** A mutant that loops for ever is noticed by the clock. */
const LONGEST_MS = 60_000;
/** All tests of a ring, as they are. */
const LONGEST_RING_MS = 600_000;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** How the tests of a ring judged a mutant. */
export interface Verdict {
  /** The test file that noticed it. */
  readonly by: string | undefined;
  readonly ms: number;
}

/** The files of this kind that a list of files and folders holds. */
export function filesOf(base: string, parts: readonly string[], ending: string): string[] {
  return parts.flatMap((part) => {
    const path = join(root, base, part);
    if (!existsSync(path)) return [];
    if (statSync(path).isFile()) return [part];
    return readdirSync(path, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith(ending))
      .map((file) => join(part, file))
      .toSorted();
  });
}

/** How often a test file has noticed a mutant of a module. */
const noticed = new Map<string, number>();

/** A copy of what was built, in which one module at a time is changed and put back. */
export class Workshop {
  readonly #dir: string = mkdtempSync(join(tmpdir(), 'mutants-'));
  readonly #onSignal = (): void => {
    this.remove();
    process.exit(1);
  };

  constructor() {
    for (const [part, as] of Object.entries(COPIED))
      cpSync(join(root, part), join(this.#dir, as), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(this.#dir, 'node_modules'));
    for (const signal of SIGNALS) process.once(signal, this.#onSignal);
  }

  /** Runs one test file of the ring after another, the likeliest first, until one fails. */
  async judge(ring: Ring, module: string, mutation: Mutation): Promise<Verdict> {
    const path = join(this.#dir, 'dist', module);
    const original = readFileSync(path, 'utf8');
    const { start, end, replacement } = mutation;
    writeFileSync(path, original.slice(0, start) + replacement + original.slice(end));
    const begin = performance.now();
    try {
      const by = await this.#noticedBy(ring, module);
      return { by, ms: performance.now() - begin };
    } finally {
      writeFileSync(path, original);
    }
  }

  /** Whether all tests of the ring pass. */
  async run(ring: Ring): Promise<boolean> {
    return await this.#mocha(ring, filesOf('dist-test', ring.tests, '.test.js'), LONGEST_RING_MS);
  }

  async #noticedBy(ring: Ring, module: string): Promise<string | undefined> {
    const own = basename(module).replace(/\.js$/, '.test.js');
    const rank = (file: string): number =>
      (noticed.get(`${module} ${file}`) ?? 0) + Number(basename(file) === own);
    const files = filesOf('dist-test', ring.tests, '.test.js');
    for (const file of files.toSorted((one, other) => rank(other) - rank(one))) {
      if (await this.#mocha(ring, [file])) continue;
      noticed.set(`${module} ${file}`, (noticed.get(`${module} ${file}`) ?? 0) + 1);
      return file;
    }
    return undefined;
  }

  async #mocha(ring: Ring, files: readonly string[], longestMs = LONGEST_MS): Promise<boolean> {
    const paths = files.map((file) => join('dist-test', file));
    const without = ring.without === undefined ? [] : ['--grep', ring.without, '--invert'];
    const args = [
      'node_modules/mocha/bin/mocha.js',
      '--no-package',
      '--bail',
      '--exit',
      '--timeout',
      '10000',
      ...without,
      ...paths,
    ];
    const child = spawn(process.execPath, args, { cwd: this.#dir, stdio: 'ignore' });
    const timer = setTimeout(() => child.kill('SIGKILL'), longestMs);
    const code = await new Promise((resolve) => child.once('close', resolve));
    clearTimeout(timer);
    return code === 0;
  }

  remove(): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
