import { spawnSync } from 'node:child_process';
import { findProgram } from '../interop/programs.mjs';

/**
 * Runs the verifier of audit logs that was written in Go, on libraries of others, and shares no code with ours; gives
 * what it found, or what it said was wrong.
 */
export function goVerifier(args: readonly string[], input: string = ''): unknown {
  const [program = '', ...first] = findProgram('audit') ?? [];
  const { status, stdout, stderr } = spawnSync(program, [...first, ...args], {
    encoding: 'utf8',
    input,
  });
  return status === 0 ? JSON.parse(stdout) : new Error(stderr.trim());
}
