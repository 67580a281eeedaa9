import { inspect } from 'node:util';
import type { X509Snapshot } from 'agent-spiffe';
import { FakeClock, TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { parseWorkloadApiAddress } from '#lib/sources/workload-api/address.js';
import { resolveLimits } from '#lib/sources/workload-api/limits.js';
import type { X509SvidPick } from '#lib/sources/workload-api/pick.js';
import { FETCH_X509_SVID, type X509SvidEntry } from '#lib/sources/workload-api/proto.js';
import { WorkloadX509Source } from '#lib/sources/workload-api/x509-source.js';
import { FakeStreams } from '../../support/fake-streams.js';
import { memoryLogger } from '../../support/memory-logger.js';
import { refusal } from '../../support/refusal.js';

const HOUR_MS = 3600_000;
const OK = 0;
const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const UNAVAILABLE = 14;
const GONE = { unreachable: true, details: 'connect ENOENT /s' };

class World {
  readonly clock = new FakeClock(new Date('2026-11-01T12:00:00Z'));
  readonly ca = TestCa.create('example.org', { now: () => new Date(this.clock.now()) });
  readonly streams = new FakeStreams();
  readonly logger = memoryLogger();
  readonly source: WorkloadX509Source;
  readonly #states: Promise<string[]>;

  constructor(pick?: X509SvidPick) {
    this.source = new WorkloadX509Source({
      client: this.streams,
      address: parseWorkloadApiAddress('unix:/s'),
      pick,
      limits: resolveLimits(),
      clock: this.clock,
      logger: this.logger,
      random: () => 0,
    });
    this.#states = this.#record();
    this.source.start();
  }

  entry(path: string, hint = ''): X509SvidEntry {
    const spiffeId = `spiffe://example.org/${path}`;
    const { certificates, key } = this.ca.issueDer(spiffeId);
    return {
      spiffeId,
      x509Svid: certificates,
      x509SvidKey: key,
      bundle: this.ca.bundleDer,
      hint,
    };
  }

  /** A good message with these identities; `name:hint` gives one a hint. */
  send(...names: readonly string[]): void {
    const svids = names.map((name) => {
      const [path = '', hint = ''] = name.split(':');
      return this.entry(path, hint);
    });
    this.streams.call.send(
      FETCH_X509_SVID.response.encode({ svids, crl: [], federatedBundles: new Map() }),
    );
  }

  async newest(): Promise<X509Snapshot> {
    for await (const snapshot of this.source.updates()) return snapshot;
    throw new Error('there is always a present state');
  }

  /** Every state there was, each as its sequence and name. Closes the source. */
  states(): Promise<string[]> {
    this.source.close();
    return this.#states;
  }

  async #record(): Promise<string[]> {
    const seen: string[] = [];
    for await (const { sequence, state } of this.source.updates())
      seen.push(`${sequence} ${state}`);
    return seen;
  }
}

/** Lets those who wait for a promise that is settled already run. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the state of an X.509 source', () => {
  it('is pending until the first good message, then ready', async () => {
    const world = new World();
    expect(world.source.state).to.equal('pending');
    refusal('ERR_SPIFFE_SVID_NOT_READY', /^no X\.509-SVID has come yet from unix:\/s/, () =>
      world.source.svid(),
    );
    refusal('ERR_SPIFFE_SVID_NOT_READY', '', () => world.source.svids());
    await settled();
    world.send('a');
    expect(world.source.state).to.equal('ready');
    expect(world.source.svid().id.toString()).to.equal('spiffe://example.org/a');
    await settled();
    expect(await world.states()).to.deep.equal(['0 pending', '1 ready', '2 closed']);
  });

  it('stays pending while the call is denied: the entry may come (WLE-15)', () => {
    const world = new World();
    world.streams.call.end(PERMISSION_DENIED, { details: 'no identity issued' });
    expect(world.source.state).to.equal('pending');
    const error = refusal('ERR_SPIFFE_SVID_NOT_READY', /no registration entry matches/, () =>
      world.source.svid(),
    );
    expect(error.cause).to.have.property('code', 'ERR_SPIFFE_WORKLOAD_API_DENIED');
    world.clock.advance(1000);
    world.send('a');
    expect(world.source.state).to.equal('ready');
  });

  it('stays ready over a clean end, after which it calls again at once', async () => {
    const world = new World();
    world.send('a');
    const held = await world.newest();
    world.clock.advance(2000);
    world.streams.call.end(OK);
    expect(world.streams.calls).to.have.lengthOf(2);
    expect(await world.newest()).to.equal(held);
  });

  it('is stale while the transport is lost, with the same material, and ready again after (A-18)', async () => {
    const world = new World();
    world.send('a');
    const { svid } = await world.newest();
    world.streams.call.end(UNAVAILABLE, GONE);
    const stale = await world.newest();
    expect([stale.sequence, stale.state, stale.svid]).to.deep.equal([2, 'stale', svid]);
    expect(world.source.svid()).to.equal(svid);
    expect(world.source.bundles.get('example.org')?.equals(world.ca.bundle)).to.equal(true);
    world.clock.advance(200);
    world.streams.call.end(UNAVAILABLE, GONE);
    expect(await world.newest(), 'one state however often it fails').to.equal(stale);
    world.clock.advance(400);
    world.send('a');
    expect((await world.newest()).state).to.equal('ready');
  });

  it('is ready again though the agent says only what it said before', async () => {
    const world = new World();
    const message = FETCH_X509_SVID.response.encode({
      svids: [world.entry('a')],
      crl: [],
      federatedBundles: new Map(),
    });
    world.streams.call.send(message);
    const { svid } = await world.newest();
    world.streams.call.end(UNAVAILABLE, GONE);
    world.clock.advance(200);
    world.streams.call.send(message);
    const ready = await world.newest();
    expect([ready.sequence, ready.state, ready.svid]).to.deep.equal([3, 'ready', svid]);
  });

  it('is revoked by PermissionDenied after data, and nothing is left (WLA-24, WLA-27)', async () => {
    const world = new World();
    world.send('a', 'b');
    world.streams.call.end(PERMISSION_DENIED, { details: 'no identity issued' });
    const { sequence, state, svid, svids, bundles } = await world.newest();
    expect([sequence, state, svid, svids]).to.deep.equal([2, 'revoked', undefined, []]);
    expect(bundles.get('example.org')).to.equal(undefined);
    expect(world.source.bundles.get('example.org')).to.equal(undefined);
    const error = refusal(
      'ERR_SPIFFE_SVID_REVOKED',
      /withdrawn; the Workload API at unix:\/s has no identity/,
      () => world.source.svid(),
    );
    expect(error.cause).to.have.property('grpcStatus', PERMISSION_DENIED);
    refusal('ERR_SPIFFE_SVID_REVOKED', '', () => world.source.svids());
  });

  it('is revoked also where the denial comes after a loss of transport', () => {
    const world = new World();
    world.send('a');
    world.streams.call.end(UNAVAILABLE, GONE);
    world.clock.advance(200);
    world.streams.call.end(PERMISSION_DENIED);
    expect(world.source.state).to.equal('revoked');
  });

  it('stays revoked when the transport is lost, and is ready again with the next identity', async () => {
    const world = new World();
    world.send('a');
    world.streams.call.end(PERMISSION_DENIED);
    world.clock.advance(1000);
    world.streams.call.end(UNAVAILABLE, GONE);
    expect(world.source.state).to.equal('revoked');
    world.clock.advance(200);
    world.send('a');
    expect(await world.newest()).to.include({ sequence: 3, state: 'ready' });
  });

  it('is failed, for good, after a refusal for good; readers end (WLE-12, A-25)', async () => {
    const world = new World();
    world.send('a');
    await settled();
    world.streams.call.end(INVALID_ARGUMENT, { details: 'security header missing' });
    refusal('ERR_SPIFFE_SOURCE_FAILED', /has failed for good; .*INVALID_ARGUMENT \(3\)/, () =>
      world.source.svid(),
    );
    expect(world.source.bundles.get('example.org')).to.equal(undefined);
    world.clock.advance(60_000);
    expect(world.streams.calls).to.have.lengthOf(1);
    await settled();
    expect(await world.states()).to.deep.equal(['0 pending', '1 ready', '2 failed']);
    expect(world.source.state).to.equal('closed');
  });

  it('is closed by its owner; nothing is left then, nor does anything follow', async () => {
    const world = new World();
    world.send('a');
    await settled();
    world.source.close();
    world.source.close();
    expect(world.streams.call.cancelled).to.equal(true);
    world.send('b');
    world.streams.call.end(UNAVAILABLE, GONE);
    expect(world.clock.pendingTimers).to.equal(0);
    refusal('ERR_SPIFFE_SOURCE_CLOSED', /the workload at unix:\/s was closed/, () =>
      world.source.svid(),
    );
    expect(world.source.bundles.get('example.org')).to.equal(undefined);
    expect(await world.states()).to.deep.equal(['0 pending', '1 ready', '2 closed']);
  });

  it('logs a hundred different faults in a row, then counts them until all is good', () => {
    const world = new World();
    const { logger } = world;
    const sendBad = (spiffeId: string): void => {
      const svids = [{ ...world.entry('a'), spiffeId }];
      world.streams.call.send(
        FETCH_X509_SVID.response.encode({ svids, crl: [], federatedBundles: new Map() }),
      );
    };
    const warnings = (): string[] => logger.at('warn').map(({ message }) => message);
    for (let nth = 0; nth < 300; nth += 1) sendBad(`no-id-${nth}`);
    expect(warnings()).to.have.lengthOf(101);
    expect(warnings().at(99)).to.include('no-id-99');
    expect(warnings().at(100)).to.match(/^more is wrong with what unix:\/s sends/);

    world.send('a');
    expect(logger.at('info').at(-1)?.fields).to.deep.equal({ faults: 200 });
    sendBad('another');
    expect(warnings()).to.have.lengthOf(102);
    expect(warnings().at(-1)).to.include('another');
  });
});

describe('the expiry of an SVID', () => {
  for (const state of ['ready', 'stale'] as const) {
    it(`ends its use while the source is ${state}; at its last instant it still serves`, () => {
      const world = new World();
      world.send('a');
      if (state === 'stale') world.streams.call.end(UNAVAILABLE, GONE);
      const svid = world.source.svid();
      world.clock.advance(svid.notAfter.getTime() - world.clock.now());
      expect(world.source.svid()).to.equal(svid);
      world.clock.advance(1);
      const error = refusal(
        'ERR_SPIFFE_SVID_EXPIRED',
        /spiffe:\/\/example\.org\/a has expired at 2026-11-01T13:00:00\.000Z and no newer one has come/,
        () => world.source.svid(),
      );
      if (state === 'stale') expect(error.message).to.match(/is the agent running/);
      refusal('ERR_SPIFFE_SVID_EXPIRED', '', () => world.source.svids());
      expect(world.source.state).to.equal(state);
    });
  }

  it('is over with the next message', () => {
    const world = new World();
    world.send('a');
    world.clock.advance(2 * HOUR_MS);
    world.send('a');
    expect(world.source.svid().notAfter.toISOString()).to.equal('2026-11-01T15:00:00.000Z');
  });
});

describe('the states given to readers', () => {
  it('come to each reader, the newest for a slow one, and end with closing', async () => {
    const world = new World();
    world.send('a');
    const slow = world.source.updates()[Symbol.asyncIterator]();
    expect((await slow.next()).value).to.include({ sequence: 1, state: 'ready' });
    world.send('b');
    world.send('c');
    const { value } = await slow.next();
    expect(value?.sequence).to.equal(3);
    expect(value?.svid?.id.path).to.equal('/c');
    world.source.close();
    expect((await slow.next()).value?.state).to.equal('closed');
    expect(await slow.next()).to.deep.equal({ done: true, value: undefined });
  });

  it('end by the signal of their reader, with its reason', async () => {
    const world = new World();
    const controller = new AbortController();
    const reader = world.source.updates({ signal: controller.signal })[Symbol.asyncIterator]();
    await reader.next();
    const step = reader.next();
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await step.catch((error: unknown) => error)).to.equal(reason);
    world.send('a');
    expect(world.source.state).to.equal('ready');
  });

  it('are frozen, and stay what they were', async () => {
    const world = new World();
    world.send('a');
    const first = await world.newest();
    world.send('b');
    expect(first).to.be.frozen;
    expect(first.svids).to.be.frozen;
    expect(first.svid?.id.path).to.equal('/a');
    expect(first.bundles.get('example.org')).not.to.equal(undefined);
  });

  it('leave the bundles of the source a view of the newest', () => {
    const world = new World();
    const { bundles } = world.source;
    expect(bundles.get('example.org')).to.equal(undefined);
    world.send('a');
    expect(bundles.get('example.org')?.equals(world.ca.bundle)).to.equal(true);
    world.streams.call.end(PERMISSION_DENIED);
    expect(bundles.get('example.org')).to.equal(undefined);
  });
});

describe('the identity picked', () => {
  it('is the one with the hint given (WLA-49)', () => {
    const world = new World('second');
    world.send('a:first', 'b:second');
    expect(world.source.svid().id.path).to.equal('/b');
    expect(world.source.svids()).to.have.lengthOf(2);
  });

  it('is the one that the function gives', () => {
    const world = new World((svids) => svids.find(({ id }) => id.path === '/b'));
    world.send('a', 'b');
    expect(world.source.svid().id.path).to.equal('/b');
  });

  it('is waited for where the first message does not have it', () => {
    const world = new World('second');
    world.send('a:first');
    expect(world.source.state).to.equal('pending');
    expect(world.source.bundles.get('example.org')).to.equal(undefined);
    const error = refusal(
      'ERR_SPIFFE_SVID_NOT_READY',
      /no X\.509-SVID with the hint "second"; of 1 it gives, .* spiffe:\/\/example\.org\/a \("first"\)/,
      () => world.source.svid(),
    );
    expect(error.cause).to.have.property('code', 'ERR_SPIFFE_SVID_NOT_FOUND');
    world.send('a:first', 'b:second');
    expect(world.source.svid().id.path).to.equal('/b');
  });

  it('is revoked when a new message does not have it, whatever else that holds (WLA-24)', async () => {
    const world = new World('second');
    world.send('a:first', 'b:second');
    world.send('a:first');
    expect(await world.newest()).to.include({ sequence: 2, state: 'revoked', svid: undefined });
    refusal('ERR_SPIFFE_SVID_REVOKED', /no X\.509-SVID with the hint "second"/, () =>
      world.source.svid(),
    );
    world.send('a:first');
    expect((await world.newest()).sequence).to.equal(2);
    world.send('b:second');
    expect(world.source.state).to.equal('ready');
  });

  for (const [what, pick] of [
    [
      'throws',
      () => {
        throw new Error('boom');
      },
    ],
    ['gives what it was not shown', () => TestCa.create('x').issue('spiffe://x/y')],
  ] as const) {
    it(`stays the last good one where the function ${what}`, async () => {
      let bad = false;
      const world = new World((svids) => (bad ? pick() : svids[0]));
      world.send('a');
      const held = await world.newest();
      bad = true;
      world.send('b');
      expect(await world.newest()).to.equal(held);
      expect(world.source.trouble?.code).to.equal('ERR_SPIFFE_OPTION_INVALID');
      bad = false;
      world.send('b');
      expect(world.source.svid().id.path).to.equal('/b');
    });
  }
});

describe('the private key of a source', () => {
  it('is in nothing that is printed, serialised, logged or thrown', async () => {
    const world = new World();
    world.send('a:main');
    const key = world.source.svid().privateKey;
    const der = key.export({ type: 'pkcs8', format: 'der' });
    const pieces = [
      der.toString('base64').slice(-40, -4),
      der.toString('hex').slice(-60),
      // The secret number of the key itself.
      String(key.export({ format: 'jwk' }).d),
      '-----BEGIN',
    ];
    const shown: string[] = [];
    const show = (value: unknown): void => {
      shown.push(
        inspect(value, {
          depth: 20,
          showHidden: true,
          maxStringLength: null,
          maxArrayLength: null,
        }),
      );
      shown.push(JSON.stringify(value) ?? '');
    };
    show(world.source);
    show(await world.newest());
    // A message with the right key beside the wrong leaf, and one that is cut off inside the key.
    const one = world.entry('b');
    const broken = FETCH_X509_SVID.response.encode({
      svids: [{ ...one, x509SvidKey: der }],
      crl: [],
      federatedBundles: new Map(),
    });
    for (const bytes of [broken, broken.subarray(0, one.x509Svid.length + 60)]) {
      world.streams.call.send(bytes);
      show(world.source.trouble);
    }
    world.streams.call.end(PERMISSION_DENIED);
    show(refusal('ERR_SPIFFE_SVID_REVOKED', '', () => world.source.svid()));
    show(world.logger.lines);
    expect(world.logger.at('warn')).to.have.lengthOf(3);
    for (const piece of pieces)
      for (const text of shown) expect(text.toLowerCase()).not.to.include(piece.toLowerCase());
    // The search finds what is there.
    expect(shown.join()).to.include('spiffe://example.org/a');
    expect(shown.at(-1)).to.include('does not belong to the leaf');
  });

  it('leaves the state readable as JSON', () => {
    const world = new World();
    world.send('a:main');
    expect(JSON.parse(JSON.stringify(world.source))).to.deep.equal({
      sequence: 1,
      state: 'ready',
      id: 'spiffe://example.org/a',
      svids: [{ id: 'spiffe://example.org/a', hint: 'main', notAfter: '2026-11-01T13:00:00.000Z' }],
    });
  });
});
