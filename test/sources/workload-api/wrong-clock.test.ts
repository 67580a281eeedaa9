import { verifyX509Svid } from 'agent-spiffe';
import { FakeClock, WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import type { Clock } from '#lib/internal/clock.js';
import { parseWorkloadApiAddress } from '#lib/sources/workload-api/address.js';
import { WorkloadApiClient } from '#lib/sources/workload-api/client.js';
import { resolveLimits } from '#lib/sources/workload-api/limits.js';
import { WorkloadX509Source } from '#lib/sources/workload-api/x509-source.js';
import { type MemoryLogger, memoryLogger } from '../../support/memory-logger.js';
import { refusal } from '../../support/refusal.js';
import { nextState } from '../../support/states.js';
import { until } from '../../support/until.js';

const ID = 'spiffe://example.org/agents/researcher';
const MINUTE_MS = 60_000;
const TTL_MS = 5 * MINUTE_MS;
const NOON = new Date('2026-11-24T12:00:00Z');

/** Runs as the right one does, and shows another time. */
class WrongClock implements Clock {
  aheadMs = 0;
  readonly #right: FakeClock;

  constructor(right: FakeClock) {
    this.#right = right;
  }

  now(): number {
    return this.#right.now() + this.aheadMs;
  }

  setTimeout(callback: () => void, ms: number): number {
    return this.#right.setTimeout(callback, ms);
  }

  clearTimeout(timer: NodeJS.Timeout | number | undefined): void {
    this.#right.clearTimeout(timer);
  }
}

describe('a workload whose clock is wrong by minutes', () => {
  let right: FakeClock;
  let ours: WrongClock;
  let api: WorkloadApiServer;
  let client: WorkloadApiClient;
  let source: WorkloadX509Source;
  let logger: MemoryLogger;

  beforeEach(async () => {
    right = new FakeClock(NOON);
    ours = new WrongClock(right);
    api = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [ID],
      ttlMs: TTL_MS,
      autoRotate: false,
      clock: right,
    });
    const address = parseWorkloadApiAddress(api.address);
    const limits = resolveLimits();
    client = new WorkloadApiClient({ address, messageBytes: limits.messageBytes });
    logger = memoryLogger();
    source = new WorkloadX509Source({
      client,
      address,
      pick: undefined,
      limits,
      clock: ours,
      logger,
    });
  });
  afterEach(async () => {
    source.close();
    client.close();
    await api.close();
  });

  it('ahead: refuses an SVID that looks expired, says both times, and takes it once the clock is right', async () => {
    source.start();
    await nextState(source, ({ state }) => state === 'ready');
    const { serialNumber, notAfter } = source.svid();
    ours.aheadMs = 10 * MINUTE_MS;
    refusal('ERR_SPIFFE_SVID_EXPIRED', 'has expired at 2026-11-24T12:05:00.000Z', () =>
      source.svid(),
    );
    api.rotateSvids();
    await until(() => logger.at('warn').length > 0);
    expect(logger.at('warn')[0]?.message).to.match(
      /has expired at 2026-11-24T12:05:00.000Z, and here it is 2026-11-24T12:10:00.000Z; is a clock wrong\?/,
    );
    refusal('ERR_SPIFFE_SVID_EXPIRED', 'has expired at 2026-11-24T12:05:00.000Z', () =>
      source.svid(),
    );

    ours.aheadMs = 0;
    expect(source.svid().serialNumber).to.equal(serialNumber);
    const fresh = nextState(source, ({ svid }) => svid?.serialNumber !== serialNumber);
    right.advance(0.75 * TTL_MS);
    expect((await fresh).svid?.notAfter).to.deep.equal(notAfter);
    expect(source.svid().serialNumber).not.to.equal(serialNumber);
  });

  it('ahead from the start: has no SVID, and asks again until the clock is right', async () => {
    ours.aheadMs = 10 * MINUTE_MS;
    source.start();
    await until(() => logger.at('warn').length > 0);
    expect(source.state).to.equal('pending');
    refusal('ERR_SPIFFE_SVID_NOT_READY', 'is a clock wrong?', () => source.svid());
    ours.aheadMs = 0;
    right.advance(10_000);
    await nextState(source, ({ state }) => state === 'ready');
    expect(String(source.svid().id)).to.equal(ID);
  });

  it('behind: uses its SVID, which others judge by their clocks, and says to whom it refuses what may be wrong', async () => {
    ours.aheadMs = -10 * MINUTE_MS;
    source.start();
    await nextState(source, ({ state }) => state === 'ready');
    const { certificates } = source.svid();
    api.rotateSvids();
    await nextState(source, ({ svid }) => svid?.certificates !== certificates);
    const peer = api.ca.issue('spiffe://example.org/tools');
    const at = (now: number): unknown =>
      verifyX509Svid(peer.certificates, source.bundles, { now: new Date(now) });
    refusal(
      'ERR_SPIFFE_X509_EXPIRED',
      /is not valid before .* \(now: 2026-11-24T11:50:00.000Z; is a clock wrong\?\)/,
      () => at(ours.now()),
    );
    expect(at(right.now())).to.have.property('id');
  });
});
