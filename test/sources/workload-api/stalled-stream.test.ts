import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Workload } from 'agent-spiffe';
import { FakeClock, WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { parseWorkloadApiAddress } from '#lib/sources/workload-api/address.js';
import { WorkloadApiClient } from '#lib/sources/workload-api/client.js';
import { resolveLimits } from '#lib/sources/workload-api/limits.js';
import { WorkloadX509Source } from '#lib/sources/workload-api/x509-source.js';
import { memoryLogger } from '../../support/memory-logger.js';
import { nextState } from '../../support/states.js';

const ID = 'spiffe://example.org/agents/researcher';
const HOUR_MS = 3600_000;
const NOON = new Date('2026-11-24T12:00:00Z');

describe('a stream that is up and silent', () => {
  let clock: FakeClock;
  let api: WorkloadApiServer;
  let client: WorkloadApiClient;
  let source: WorkloadX509Source;

  beforeEach(async () => {
    clock = new FakeClock(NOON);
    api = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [ID],
      ttlMs: HOUR_MS,
      autoRotate: false,
      clock,
    });
    const address = parseWorkloadApiAddress(api.address);
    const limits = resolveLimits();
    client = new WorkloadApiClient({ address, messageBytes: limits.messageBytes });
    const logger = memoryLogger();
    source = new WorkloadX509Source({ client, address, pick: undefined, limits, clock, logger });
    source.start();
    await nextState(source, ({ state }) => state === 'ready');
  });
  afterEach(async () => {
    source.close();
    client.close();
    await api.close();
  });

  it('is given up for a new one when three quarters of what was left of the SVID are over', async () => {
    const { serialNumber } = source.svid();
    const call = api.nextCall();
    clock.advance(0.75 * HOUR_MS - 1);
    expect(api.callCount()).to.equal(1);
    clock.advance(1);
    await call;
    expect(source.state).to.equal('ready');
    expect(source.svid().serialNumber).to.equal(serialNumber);
  });

  it('is left alone while new SVIDs come in time', async () => {
    const { serialNumber } = source.svid();
    clock.advance(0.5 * HOUR_MS);
    api.rotateSvids();
    await nextState(source, ({ svid }) => svid?.serialNumber !== serialNumber);
    clock.advance(0.5 * HOUR_MS);
    expect(api.callCount()).to.equal(1);
  });

  it('is replaced until an SVID comes, even after the last has expired', async () => {
    for (const ms of [0.75 * HOUR_MS, HOUR_MS, 10_000]) {
      const call = api.nextCall();
      clock.advance(ms);
      await call;
    }
    const { serialNumber } = (await nextState(source, () => true)).svid ?? {};
    api.rotateSvids();
    const { svid } = await nextState(source, (at) => at.svid?.serialNumber !== serialNumber);
    expect(source.svid()).to.equal(svid);
  });
});

describe('the socket of a Workload API', () => {
  it('may be replaced while a stream is up: when that ends, the new socket is called', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'spiffe-'));
    const address = `unix://${directory}/api.sock`;
    const options = { trustDomain: 'example.org', identities: [ID], address };
    await using first = await WorkloadApiServer.open(options);
    await using me = await Workload.open({ address });
    const { serialNumber } = me.x509.svid();
    renameSync(join(directory, 'api.sock'), join(directory, 'old.sock'));
    await using second = await WorkloadApiServer.open(options);
    expect(second.openStreams).to.equal(0);
    first.disconnect();
    const { svid } = await nextState(me, (at) => at.svid?.serialNumber !== serialNumber);
    expect(String(svid?.id)).to.equal(ID);
    expect(second.openStreams).to.equal(1);
    rmSync(directory, { recursive: true });
  });

  it('may close its half of a connection: the workload connects again', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'spiffe-'));
    const path = join(directory, 'api.sock');
    await using api = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [ID],
    });
    const { proxy, halves } = await relay(path, api.address.replace('unix://', ''));
    await using me = await Workload.open({ address: `unix://${path}` });
    const call = api.nextCall();
    for (const half of halves) half.end();
    await call;
    await nextState(me, ({ state }) => state === 'ready');
    proxy.close();
    rmSync(directory, { recursive: true });
  });
});

/** Stands between a workload and its Workload API, with the workload's halves of the connections in hand. */
async function relay(path: string, target: string): Promise<{ proxy: Server; halves: Socket[] }> {
  const halves: Socket[] = [];
  const proxy = createServer({ allowHalfOpen: true }, (socket) => {
    halves.push(socket);
    const onward = connect(target);
    socket.pipe(onward);
    onward.on('data', (bytes) => socket.writable && socket.write(bytes));
    for (const end of [socket, onward]) end.on('error', () => {});
  }).listen(path);
  await once(proxy, 'listening');
  return { proxy, halves };
}
