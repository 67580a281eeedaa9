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
const COPIED = ['package.json', 'dist', 'dist-test', 'lib', 'test'];
/** A mutant that loops for ever is noticed by the clock. */
const LONGEST_MS = 60_000;

/** How the tests of a ring judged a mutant. */
export interface Verdict {
  readonly noticed: boolean;
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

/** A copy of what was built, in which one module at a time is changed and put back. */
export class Workshop {
  readonly #dir: string = mkdtempSync(join(tmpdir(), 'mutants-'));

  constructor() {
    for (const part of COPIED) cpSync(join(root, part), join(this.#dir, part), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(this.#dir, 'node_modules'));
  }

  /** Runs the tests of the ring, those of the module first, until one fails. */
  async judge(ring: Ring, module: string, mutation: Mutation): Promise<Verdict> {
    const path = join(this.#dir, 'dist', module);
    const original = readFileSync(path, 'utf8');
    const { start, end, replacement } = mutation;
    writeFileSync(path, original.slice(0, start) + replacement + original.slice(end));
    const begin = performance.now();
    try {
      return { noticed: !(await this.run(ring, module)), ms: performance.now() - begin };
    } finally {
      writeFileSync(path, original);
    }
  }

  /** Whether all tests of the ring pass. */
  async run(ring: Ring, module = ''): Promise<boolean> {
    const all = filesOf('dist-test', ring.tests, '.test.js');
    const own = basename(module).replace(/\.js$/, '.test.js');
    const first = all.filter((file) => basename(file) === own);
    const rest = all.filter((file) => !first.includes(file));
    for (const files of [first, rest]) {
      if (files.length > 0 && !(await this.#mocha(ring, files))) return false;
    }
    return true;
  }

  async #mocha(ring: Ring, files: readonly string[]): Promise<boolean> {
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
    const timer = setTimeout(() => child.kill('SIGKILL'), LONGEST_MS);
    const code = await new Promise((resolve) => child.once('close', resolve));
    clearTimeout(timer);
    return code === 0;
  }

  remove(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
