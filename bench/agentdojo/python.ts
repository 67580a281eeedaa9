import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Replayed, Run } from './replay.js';

const PACKAGE = 'agentdojo==0.1.35';
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SCRIPT = join(ROOT, 'bench/agentdojo/export.py');
const HOME = join(ROOT, '.bench/agentdojo');
const PYTHON = join(HOME, 'venv/bin/python');

/** Where the export lies. */
export const EXPORT: string = join(HOME, 'export');
/** Where the guard of the replay keeps its record. */
export const AUDIT: string = join(HOME, 'audit');

/** What the suite itself says of a run. */
export interface Judged {
  readonly utility: boolean;
  /** Whether the attacker got what they wanted; null without an attack. */
  readonly security: boolean | null;
}

/** Makes the Python environment, once, and the export. Needs Python 3.10 or newer, as `python3` or by `PYTHON`. */
export function prepare(): void {
  if (!existsSync(PYTHON)) {
    const python = process.env['PYTHON'] ?? 'python3';
    execFileSync(python, ['-m', 'venv', join(HOME, 'venv')], { stdio: 'inherit' });
  }
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', PACKAGE];
  execFileSync(PYTHON, pip, { stdio: 'inherit' });
  execFileSync(PYTHON, [SCRIPT, 'export', EXPORT], { stdio: 'inherit' });
}

/** Has the suite say of each run what came of the calls that were let through. */
export function judge(suite: string, all: readonly Replayed[]): (run: Run) => Judged {
  const runs = all.flatMap(({ honest, attacked }) => [...honest, ...attacked]);
  const verdicts = [...new Set(runs.map(verdictOf))];
  const input = `{${JSON.stringify(suite)}:[${verdicts.join(',')}]}`;
  const answer = execFileSync(PYTHON, [SCRIPT, 'judge'], {
    input,
    stdio: ['pipe', 'pipe', 'inherit'],
    maxBuffer: 1 << 26,
  });
  const judged = (JSON.parse(answer.toString()) as Record<string, Judged[]>)[suite];
  const byVerdict = new Map(verdicts.map((verdict, index) => [verdict, judged?.[index] as Judged]));
  return (run) => byVerdict.get(verdictOf(run)) as Judged;
}

function verdictOf({ user, injection, calls, refused }: Run): string {
  const position = calls.findIndex(({ by }) => by === 'injection');
  return JSON.stringify({
    user,
    injection,
    position: position === -1 ? null : position,
    allowed: refused.map((why) => why === undefined),
  });
}
