import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** The command as a process of its own: what it printed, and how it ended. */
export class Run {
  stdout = '';
  stderr = '';
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown[]>;

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const environment = { ...process.env, ...env };
    this.#child = spawn(process.execPath, [CLI, ...args], { env: environment });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.#exit = once(this.#child, 'close');
  }

  /** Resolves once this was printed on standard output. */
  async printed(what: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = what.exec(this.stdout);
      if (found !== null) return found;
      const more = this.#child.stdout === null ? [] : [once(this.#child.stdout, 'data')];
      const ended = this.#exit.then(() => {
        throw new Error(`it ended: ${this.stderr}`);
      });
      await Promise.race([...more, ended]);
    }
  }

  async stop(signal: NodeJS.Signals): Promise<{ code: unknown; signal: unknown }> {
    this.#child.kill(signal);
    const [code, by] = await this.#exit;
    return { code, signal: by };
  }
}

/** The same, to its end. */
export function runToEnd(...args: readonly string[]): {
  code: number | null;
  stdout: string;
  stderr: string;
} {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    encoding: 'utf8',
    timeout: 9000,
  });
  return { code: status, stdout, stderr };
}
