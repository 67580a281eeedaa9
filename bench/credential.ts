/**
 * `npm run bench:credential`: what it takes to start a task with an SVID of its own, from `guard.startTask` to the SVID
 * verified and on record, on real SPIRE: agent, authority and SPIRE are processes of their own. Arguments: seconds of
 * the sustained part (60). Exits 1 when a mark is missed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Workload } from 'agent-spiffe';
import {
  auditLog,
  createGuard,
  functionPolicy,
  type Guard,
  type Task,
  taskCredentials,
} from 'agent-spiffe/agent';
import { createFetch } from 'agent-spiffe/http';

const AUTHORITY = 'spiffe://example.org/task-authority';
const AT_ONCE = 20;
const PER_SECOND = 200;
const MARKS = { medianMs: 10, p99Ms: 40 };
const seconds = Number(process.argv[2] ?? 60);
const spire = process.env['SPIRE_SERVER_ADDRESS'];
if (spire === undefined) throw new Error('run it by `npm run bench:credential`');

const missed: string[] = [];
const directory = mkdtempSync(join(tmpdir(), 'credential-'));
const { child, origin } = await startAuthority(spire);
try {
  await using identity = await Workload.open({ pick: 'researcher' });
  await using fetch = createFetch(identity, { peers: { [origin]: AUTHORITY } });
  await using guard = await createGuard({
    identity,
    policy: functionPolicy(() => true),
    audit: auditLog(directory),
    credentials: taskCredentials({ authority: origin, fetch }),
  });
  for (let i = 0; i < 30; i++) await batch(guard, AT_ONCE);
  report('one after another', await rounds(guard, 1, 300), MARKS);
  report(`${AT_ONCE} starting at once`, await rounds(guard, AT_ONCE, 60), MARKS);
  await sustain(guard, seconds);
} finally {
  child.kill('SIGTERM');
  rmSync(directory, { recursive: true, force: true });
}
for (const line of missed) console.log(`MISSED: ${line}`);
if (missed.length > 0) process.exitCode = 1;

async function startAuthority(server: string): Promise<{ child: ChildProcess; origin: string }> {
  const cli = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
  const args = [
    '--spire',
    server,
    '--pick',
    'task-authority',
    '--allow',
    'spiffe://example.org/agents/*',
  ];
  const authority = spawn(
    process.execPath,
    [cli, 'authority', ...args, '--listen', '127.0.0.1:0', '--json'],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const [line] = (await once(createInterface(authority.stdout), 'line')) as [string];
  return { child: authority, origin: (JSON.parse(line) as { origin: string }).origin };
}

/** Starts one task; gives how long that took. */
async function startOne(guard: Guard): Promise<{ readonly task: Task; readonly took: number }> {
  const since = performance.now();
  const task = await guard.startTask({
    purpose: 'a measurement',
    tools: {},
    budget: { calls: 1 },
    ttlMs: 60_000,
    credential: 'svid',
  });
  const took = performance.now() - since;
  if (!task.identity.x509.svid().id.toString().endsWith(task.id)) throw new Error('a wrong SVID');
  return { task, took };
}

async function startAndEnd(guard: Guard): Promise<number> {
  const { task, took } = await startOne(guard);
  await task.end();
  return took;
}

/** Starts tasks at once, and ends them once all have started. */
async function batch(guard: Guard, atOnce: number): Promise<number[]> {
  const started = await Promise.all(Array.from({ length: atOnce }, () => startOne(guard)));
  await Promise.all(started.map(({ task }) => task.end()));
  return started.map(({ took }) => took);
}

async function rounds(guard: Guard, atOnce: number, count: number): Promise<number[]> {
  const all: number[] = [];
  for (let i = 0; i < count; i++) all.push(...(await batch(guard, atOnce)));
  return all;
}

function report(
  what: string,
  figures: readonly number[],
  marks?: { readonly medianMs: number; readonly p99Ms: number },
): void {
  const sorted = figures.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
  const [median, p99] = [at(0.5), at(0.99)];
  console.log(
    `${what}: median ${median.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms (${figures.length} tasks)`,
  );
  if (marks === undefined) return;
  if (median > marks.medianMs) missed.push(`${what}: median ${marks.medianMs} ms`);
  if (p99 > marks.p99Ms) missed.push(`${what}: p99 ${marks.p99Ms} ms`);
}

/** In megabytes, once what is under way is over. */
async function heap(): Promise<number> {
  await pause(500);
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

/** Starts and ends tasks at a steady rate, whether the earlier ones are done or not. */
async function sustain(guard: Guard, forSeconds: number): Promise<void> {
  const before = { heap: await heap(), resources: process.getActiveResourcesInfo().length };
  const running: Promise<number | undefined>[] = [];
  const begin = performance.now();
  const why = new Map<string, number>();
  const failure = (error: unknown): undefined => {
    const message = error instanceof Error ? error.message.slice(-200) : String(error);
    why.set(message, (why.get(message) ?? 0) + 1);
  };
  for (let started = 0; started < PER_SECOND * forSeconds; ) {
    const due = Math.floor(((performance.now() - begin) / 1000) * PER_SECOND);
    for (; started < Math.min(due, PER_SECOND * forSeconds); started++)
      running.push(startAndEnd(guard).catch(failure));
    await pause(5);
  }
  const figures = (await Promise.all(running)).filter((took) => took !== undefined);
  const failed = running.length - figures.length;
  const took = (performance.now() - begin) / 1000;
  report(`${PER_SECOND} a second for ${forSeconds} s`, figures);
  const after = { heap: await heap(), resources: process.getActiveResourcesInfo().length };
  const rate = figures.length / took;
  console.log(
    `  ${rate.toFixed(0)} a second done, ${failed} failed; left behind: ${guard.tasks.length} tasks, ${after.resources - before.resources} handles; heap ${before.heap.toFixed(1)} to ${after.heap.toFixed(1)} MB`,
  );
  for (const [message, times] of why) console.log(`  ${times} times: ${message}`);
  if (failed > 0 || rate < PER_SECOND * 0.98) missed.push(`${PER_SECOND} a second`);
  if (guard.tasks.length > 0 || after.resources > before.resources)
    missed.push('nothing left behind');
}
