import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { findProgram, HOW_TO_INSTALL, type Language } from '../interop/programs.mjs';

/** One line that a program printed. */
export interface Line {
  readonly error?: string;
  readonly [name: string]: unknown;
}

/** A program of another language that runs; it ends when its input does. */
export class Program {
  readonly #child: ChildProcess;
  readonly #reader: Interface;
  readonly #lines: AsyncIterator<string>;

  private constructor(command: readonly string[]) {
    const [program = '', ...args] = command;
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error(`${program} has no output`);
    this.#reader = createInterface({ input: this.#child.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  static start(language: Language, args: readonly string[]): Program {
    const command = findProgram(language);
    if (!command) throw new Error(`no ${language} program: ${HOW_TO_INSTALL}`);
    return new Program([...command, ...args]);
  }

  /** The next line; it is an error when there is none, or when the line tells of one. */
  async next(): Promise<Line> {
    const line = await this.#lines.next();
    if (line.done) throw new Error('the program ended and said nothing more');
    const said = JSON.parse(line.value) as Line;
    const { error, accept } = said;
    // With a verdict, an error is the reason for it.
    if (typeof error === 'string' && accept === undefined) throw new ProgramError(error);
    return said;
  }

  /** Every line that is left, whatever it tells. */
  async rest(): Promise<readonly Line[]> {
    const lines: Line[] = [];
    for (let line = await this.#lines.next(); !line.done; line = await this.#lines.next()) {
      lines.push(JSON.parse(line.value) as Line);
    }
    return lines;
  }

  /** Hands it a line. */
  write(line: string): boolean {
    return this.#child.stdin?.write(`${line}\n`) ?? false;
  }

  /** Until it takes more lines. */
  async drained(): Promise<void> {
    if (this.#child.stdin) await once(this.#child.stdin, 'drain');
  }

  /** Ends its input; resolves when it has ended. */
  async end(): Promise<void> {
    const ended = this.#child.exitCode === null ? once(this.#child, 'exit') : undefined;
    this.#child.stdin?.end();
    const patience = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(patience);
    this.#reader.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }
}

/** What a program itself says went wrong. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError';
}

/** Runs a program to its end and gives its first line. */
export async function ask(language: Language, ...args: readonly string[]): Promise<Line> {
  await using program = Program.start(language, args);
  return await program.next();
}

const leftOut: string[] = [];

/**
 * A suite with a program of another language. Where that was not built the suite is pending and one line at the very
 * end says so; on CI its absence is a failure.
 */
export function describeInterop(
  language: Language,
  title: string,
  suite: (this: Mocha.Suite) => void,
): void {
  if (findProgram(language)) {
    describe(title, function () {
      this.timeout(30_000);
      suite.call(this);
    });
  } else if (process.env['CI']) {
    describe(title, () => {
      it(`has the ${language} program to run with`, () => {
        throw new Error(`no ${language} program on this machine: ${HOW_TO_INSTALL}`);
      });
    });
  } else {
    if (leftOut.push(title) === 1) process.once('exit', sayWhatIsLeftOut);
    describe.skip(title, suite);
  }
}

function sayWhatIsLeftOut(): void {
  console.error(
    `Left out, for want of programs in other languages: ${leftOut.join(', ')}. To run them: ${HOW_TO_INSTALL}.`,
  );
}
