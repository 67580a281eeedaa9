import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** How long a start, a stop or an admin call may take before it counts as failed. */
export const DEADLINE_MS = 30_000;

/**
 * Asks until the answer is there. Each question is a real one, so the pause between two sets only the load.
 * @template T
 * @param {() => T | Promise<T>} ask - falsy: not yet; a throw ends the wait.
 * @param {() => string} complaint - what the error says when the time is up.
 * @param {number} [deadlineMs]
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(ask, complaint, deadlineMs = DEADLINE_MS) {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`${complaint()} (waited ${deadlineMs / 1000} s)`);
    await pause(25);
  }
}

/**
 * The command line of a process; empty when it has ended, also when nobody has taken its exit status yet.
 * @param {number} pid
 * @returns {string}
 */
function commandLine(pid) {
  try {
    if (existsSync('/proc/self/cmdline')) return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
  } catch {
    return '';
  }
}

/** @returns {Promise<number>} A TCP port of the loopback that nobody uses; SPIRE takes no port 0. */
export async function freePort() {
  const probe = createServer();
  await new Promise((resolve, reject) => {
    probe.once('error', reject).listen(0, '127.0.0.1', () => resolve(undefined));
  });
  const address = probe.address();
  await new Promise((resolve) => {
    probe.close(() => resolve(undefined));
  });
  if (address === null || typeof address === 'string') throw new Error('no free TCP port');
  return address.port;
}

/**
 * Notes which process a directory belongs to, for {@link end} in this program or in a later one.
 * @param {string} directory
 * @param {number} pid
 * @param {string} program
 */
export function recordPid(directory, pid, program) {
  writeFileSync(join(directory, 'pid'), `${pid}\n${program}`);
}

/**
 * The process noted in a directory; `undefined` when it does not run.
 * @param {string} directory
 * @returns {number | undefined}
 */
function runningPid(directory) {
  const file = join(directory, 'pid');
  if (!existsSync(file)) return undefined;
  const [pid, program = ''] = readFileSync(file, 'utf8').split('\n');
  // A pid is given again after a reboot: only the same program in its place is ours.
  return commandLine(Number(pid)).startsWith(program) ? Number(pid) : undefined;
}

/**
 * Ends the process noted in a directory, by force when it does not go; resolves when it is gone.
 * @param {string} directory
 * @param {NodeJS.Signals} [signal] - what is tried first.
 * @returns {Promise<void>}
 */
export async function end(directory, signal = 'SIGTERM') {
  const pid = runningPid(directory);
  if (pid === undefined) return;
  const gone = () => runningPid(directory) === undefined;
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!gone()) throw error;
  }
  const patienceMs = signal === 'SIGKILL' ? DEADLINE_MS : 10_000;
  await until(
    gone,
    () => `process ${pid} (${directory}) does not end after ${signal}`,
    patienceMs,
  ).catch((error) => {
    if (signal === 'SIGKILL') throw error;
    return end(directory, 'SIGKILL');
  });
}
