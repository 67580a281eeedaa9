import { spawn } from 'node:child_process';

/**
 * A line for people, on standard error: standard output is what a shell may evaluate.
 * @param {string} line
 */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

/**
 * Runs a script; what it throws becomes one readable line and exit code 1.
 * @param {string} name
 * @param {() => Promise<void>} work
 */
export async function script(name, work) {
  try {
    await work();
  } catch (error) {
    say(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

/**
 * Runs a program with this terminal.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env: NodeJS.ProcessEnv }} options
 * @returns {Promise<number>} Its exit code; 1 when a signal ended it.
 */
export function runToEnd(program, args, options) {
  return new Promise((resolve, reject) => {
    spawn(program, args, { ...options, stdio: 'inherit' })
      .once('error', reject)
      .once('exit', (code) => resolve(code ?? 1));
  });
}
