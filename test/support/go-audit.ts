import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCES = fileURLToPath(new URL('../../test/interop/audit', import.meta.url));
const HOW = 'it is built with Go (https://go.dev), from modules that are downloaded once';

/** A verifier of audit logs that was written in Go, on libraries of others, and shares no code with ours. */
export class GoVerifier {
  readonly #directory: string = mkdtempSync(join(tmpdir(), 'go-audit-'));
  readonly #program: string = join(this.#directory, 'audit');

  constructor() {
    const { status, stderr } = spawnSync(
      'go',
      ['build', '-trimpath', '-buildvcs=false', '-o', this.#program, '.'],
      { cwd: SOURCES, encoding: 'utf8', env: { ...process.env, GOWORK: 'off' } },
    );
    if (status !== 0) throw new Error(`the Go verifier was not built: ${stderr}`);
  }

  /** What it found, or what it said was wrong. */
  run(args: readonly string[], input: string = ''): unknown {
    const { status, stdout, stderr } = spawnSync(this.#program, args, { encoding: 'utf8', input });
    return status === 0 ? JSON.parse(stdout) : new Error(stderr.trim());
  }

  close(): void {
    rmSync(this.#directory, { recursive: true });
  }
}

/** A suite with the Go verifier. Without Go it is pending and says so; on CI that is a failure. */
export function describeGo(title: string, suite: (this: Mocha.Suite) => void): void {
  if (process.env['CI'] || spawnSync('go', ['version']).status === 0) {
    describe(title, suite);
  } else {
    process.once('exit', () => console.error(`Left out, for want of Go: ${title}; ${HOW}.`));
    describe.skip(title, suite);
  }
}
