/**
 * `npm run soak -- [seconds]`: one client and one server under full load while their SVIDs are replaced each second and
 * the authority each ten. Exits 1 when a request fails, or when memory grows in a run of five minutes or more. Ten minutes unless told otherwise.
 */
import { once } from 'node:events';
import { get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as after } from 'node:timers/promises';
import { Workload } from 'agent-spiffe';
import { createAgent, createFetch, createServer } from 'agent-spiffe/http';
import { WorkloadApiServer } from 'agent-spiffe/testing';

const seconds = Number(process.argv[2] ?? 600);
const CLIENT = 'spiffe://example.org/agents/researcher';
const SERVER = 'spiffe://example.org/tools/search';
const KEPT_IN_FLIGHT = 16;
const FRESH_IN_FLIGHT = 2;
const MOST_GROWTH = 0.1;
/** A shorter run is still warming up: its memory is shown, and judged by nobody. */
const LONG_ENOUGH_S = 300;

const api = await WorkloadApiServer.open({
  trustDomain: 'example.org',
  identities: [
    { id: CLIENT, hint: 'client' },
    { id: SERVER, hint: 'server' },
  ],
  autoRotate: false,
});
const client = await Workload.open({ address: api.address, pick: 'client' });
const service = await Workload.open({ address: api.address, pick: 'server' });
const server = createServer(service, { allow: CLIENT }, (_req, res) => res.end('ok')).listen(
  0,
  '127.0.0.1',
);
await once(server, 'listening');
const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
const fetch = createFetch(client, { peers: { [origin]: SERVER } });
const fresh = createAgent(client, { peers: { [origin]: SERVER }, keepAlive: false });

const stop = AbortSignal.timeout(seconds * 1000);
const count = { kept: 0, fresh: 0, failed: 0, rotations: 0, authorities: 0 };
const heaps: number[] = [];

await Promise.all([
  ...Array.from({ length: KEPT_IN_FLIGHT }, () => load('kept', overKept)),
  ...Array.from({ length: FRESH_IN_FLIGHT }, () => load('fresh', overFresh)),
  rotate(),
  sample(),
]);

const growth = judge(heaps);
console.log(
  `${seconds} s on Node ${process.version}: ${count.kept} requests on kept connections, ${count.fresh} on fresh ones, ` +
    `${count.failed} failed; ${count.rotations} rotations of both SVIDs, ${count.authorities} of the authority; ` +
    `heap after warm-up ${growth >= 0 ? '+' : ''}${(growth * 100).toFixed(1)} %`,
);
await fetch.close();
fresh.destroy();
server.close();
server.closeAllConnections();
await Promise.all([client.close(), service.close()]);
await api.close();
if (count.failed > 0 || (seconds >= LONG_ENOUGH_S && !(growth <= MOST_GROWTH)))
  process.exitCode = 1;

async function load(kind: 'kept' | 'fresh', request: () => Promise<void>): Promise<void> {
  while (!stop.aborted) {
    try {
      await request();
      count[kind]++;
    } catch (error) {
      count.failed++;
      console.error(error);
    }
  }
}

async function overKept(): Promise<void> {
  const response = await fetch(origin);
  await response.text();
}

function overFresh(): Promise<void> {
  return new Promise((resolve, reject) => {
    get(origin, { agent: fresh }, (response) => response.resume().once('end', resolve)).once(
      'error',
      reject,
    );
  });
}

async function rotate(): Promise<void> {
  for (let second = 1; await elapsed(1_000); second++) {
    if (second % 10 === 0) {
      api.rotateCa();
      count.authorities++;
    } else {
      api.rotateSvids();
    }
    count.rotations++;
  }
}

/** The heap each five seconds, what can be collected being collected first. */
async function sample(): Promise<void> {
  while (await elapsed(5_000)) {
    globalThis.gc?.();
    const { heapUsed, rss } = process.memoryUsage();
    heaps.push(heapUsed);
    console.log(`${JSON.stringify(count)} heap ${megabytes(heapUsed)} rss ${megabytes(rss)}`);
  }
}

/** Waits; `false` when the run is over. */
async function elapsed(ms: number): Promise<boolean> {
  await after(ms, undefined, { signal: stop }).catch(() => {});
  return !stop.aborted;
}

/** How much the heap has grown from the second fifth of the run, when all is warm, to the last. */
function judge(samples: readonly number[]): number {
  const fifth = Math.max(1, Math.floor(samples.length / 5));
  return median(samples.slice(-fifth)) / median(samples.slice(fifth, 2 * fifth)) - 1;
}

function median(part: readonly number[]): number {
  return part.toSorted((a, b) => a - b)[part.length >> 1] ?? Number.NaN;
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
