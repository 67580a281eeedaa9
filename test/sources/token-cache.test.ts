import { SpiffeError } from 'agent-spiffe';
import { FakeClock } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { JwtSvid } from '#lib/identity/jwt/svid.js';
import { TokenCache, type TokenRequest } from '#lib/sources/token-cache.js';
import { ID, NOW, token } from '../support/jwt-world.js';
import { memoryLogger } from '../support/memory-logger.js';
import { rejection } from '../support/rejection.js';

const LIFE_MS = 100_000;
const REPORTS: TokenRequest = { subject: ID, audience: ['reports'] };
const MAIL: TokenRequest = { subject: ID, audience: ['mail'] };

/** A call under way, in the test's hand. */
interface Load {
  readonly request: TokenRequest;
  readonly signal: AbortSignal;
  give(svid: JwtSvid): void;
  fail(error: unknown): void;
}

class World {
  readonly clock = new FakeClock(NOW);
  readonly logger = memoryLogger();
  readonly loads: Load[] = [];
  readonly cache: TokenCache;
  #made = 0;
  random = 0;

  constructor(most?: number) {
    this.cache = new TokenCache({
      clock: this.clock,
      logger: this.logger,
      random: () => this.random,
      load: (request, signal) =>
        new Promise((give, fail) => {
          this.loads.push({ request, signal, give, fail });
        }),
      ...(most === undefined ? {} : { most }),
    });
  }

  get now(): number {
    return this.clock.now() / 1000;
  }

  get load(): Load {
    const last = this.loads.at(-1);
    if (last === undefined) throw new Error('nothing was asked for');
    return last;
  }

  /** A token issued now. */
  svid(change: Record<string, unknown> = {}): JwtSvid {
    const jti = String(this.#made++);
    const claims = { jti, iat: this.now, exp: this.now + LIFE_MS / 1000, ...change };
    return JwtSvid.parseUnverified(token({ claims }));
  }

  get(request: TokenRequest = REPORTS, signal?: AbortSignal): Promise<JwtSvid> {
    return this.cache.get(request, signal);
  }

  /** Asks where nothing is at hand, and gives this one. */
  async obtain(request: TokenRequest = REPORTS, svid: JwtSvid = this.svid()): Promise<JwtSvid> {
    const waiting = this.get(request);
    this.load.give(svid);
    expect(await waiting).to.equal(svid);
    return svid;
  }
}

/** Lets those who wait for a promise that is settled already run. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const DENIED = new SpiffeError('ERR_SPIFFE_WORKLOAD_API_DENIED', 'denied');
const AWAY = new SpiffeError('ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE', 'away');
const REVOKED = new SpiffeError('ERR_SPIFFE_SVID_REVOKED', 'revoked');

describe('tokens at hand', () => {
  it('are got once for each subject and audience', async () => {
    const world = new World();
    const reports = await world.obtain();
    const mail = await world.obtain(MAIL);
    const other = { subject: 'spiffe://example.org/other', audience: ['reports'] };
    await world.obtain(other);
    const both = { subject: ID, audience: ['mail', 'reports'] };
    await world.obtain(both);
    expect(world.loads.map(({ request }) => request)).to.deep.equal([REPORTS, MAIL, other, both]);
    expect(await world.get()).to.equal(reports);
    expect(await world.get(MAIL)).to.equal(mail);
    expect(world.loads).to.have.length(4);
    expect(world.cache.size).to.equal(4);
  });

  it('are not mixed up by names that run together', async () => {
    const world = new World();
    await world.obtain({ subject: ID, audience: ['a', 'b'] });
    await world.obtain({ subject: ID, audience: ['a","b'] });
    await world.obtain({ subject: ID, audience: ['a,b'] });
    expect(world.loads).to.have.length(3);
  });

  it('set no timer', async () => {
    const world = new World();
    await world.obtain();
    expect(world.clock.pendingTimers).to.equal(0);
  });

  it('are no more than told; the one that was not asked for the longest goes', async () => {
    const world = new World(2);
    const reports = await world.obtain();
    await world.obtain(MAIL);
    expect(await world.get()).to.equal(reports);
    await world.obtain({ subject: ID, audience: ['third'] });
    expect(world.cache.size).to.equal(2);
    expect(await world.get()).to.equal(reports);
    await world.obtain(MAIL);
  });
});

describe('callers who want the same token at the same time', () => {
  it('wait for one call', async () => {
    const world = new World();
    const waiting = [world.get(), world.get(), world.get()];
    expect(world.loads).to.have.length(1);
    const svid = world.svid();
    world.load.give(svid);
    expect(await Promise.all(waiting)).to.deep.equal([svid, svid, svid]);
  });

  it('all hear of a failure, and the next one asks anew', async () => {
    const world = new World();
    const waiting = [world.get(), world.get()];
    world.load.fail(AWAY);
    for (const one of waiting) await rejection('ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE', one);
    expect(world.logger.lines).to.deep.equal([]);
    await world.obtain();
    expect(world.loads).to.have.length(2);
  });

  it('are not ended by one of them who leaves', async () => {
    const world = new World();
    const leaving = new AbortController();
    const left = world.get(REPORTS, leaving.signal).catch((reason: unknown) => reason);
    const staying = world.get();
    const reason = new Error('enough');
    leaving.abort(reason);
    expect(await left).to.equal(reason);
    expect(world.load.signal.aborted).to.equal(false);
    const svid = world.svid();
    world.load.give(svid);
    expect(await staying).to.equal(svid);
  });

  it('leave a token for the next one when all have left', async () => {
    const world = new World();
    const leaving = new AbortController();
    const left = world.get(REPORTS, leaving.signal).catch(() => 'left');
    leaving.abort();
    expect(await left).to.equal('left');
    const svid = world.svid();
    world.load.give(svid);
    await settled();
    expect(await world.get()).to.equal(svid);
    expect(world.loads).to.have.length(1);
  });

  it('end nothing by an error that nobody waits for', async () => {
    const world = new World();
    const leaving = new AbortController();
    const left = world.get(REPORTS, leaving.signal).catch(() => 'left');
    leaving.abort();
    await left;
    world.load.fail(AWAY);
    await settled();
    await world.obtain();
  });

  it('ask for nothing under a signal that has aborted', async () => {
    const world = new World();
    await world.obtain();
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    for (const request of [REPORTS, MAIL])
      expect(await world.get(request, signal).catch((error: unknown) => error)).to.equal(reason);
    expect(world.loads).to.have.length(1);
  });
});

describe('a token past half of its life', () => {
  it('serves on while the next one is got, once', async () => {
    const world = new World();
    const first = await world.obtain();
    world.clock.advance(LIFE_MS / 2 - 1);
    expect(await world.get()).to.equal(first);
    expect(world.loads).to.have.length(1);
    world.clock.advance(1);
    expect(await world.get()).to.equal(first);
    expect(await world.get()).to.equal(first);
    expect(world.loads).to.have.length(2);
    const second = world.svid();
    world.load.give(second);
    await settled();
    expect(await world.get()).to.equal(second);
    expect(world.loads).to.have.length(2);
  });

  it('is renewed a little later at random, so that not all ask at once', async () => {
    const world = new World();
    world.random = 0.999;
    await world.obtain();
    world.clock.advance(0.599 * LIFE_MS);
    await world.get();
    expect(world.loads).to.have.length(1);
    world.clock.advance(0.001 * LIFE_MS);
    await world.get();
    expect(world.loads).to.have.length(2);
  });

  it('serves on when the next one cannot be had, which is tried again ever later and logged', async () => {
    const world = new World();
    const first = await world.obtain();
    world.clock.advance(LIFE_MS / 2);
    for (const wait of [1000, 2000, 4000]) {
      await world.get();
      world.load.fail(AWAY);
      await settled();
      const { length } = world.loads;
      world.clock.advance(wait - 1);
      expect(await world.get()).to.equal(first);
      expect(world.loads).to.have.length(length);
      world.clock.advance(1);
    }
    expect(world.logger.at('warn')).to.have.length(3);
    expect(world.logger.lines[0]).to.deep.equal({
      level: 'warn',
      fields: { code: AWAY.code, id: ID, audience: ['reports'] },
      message: 'cannot renew a JWT-SVID: away',
    });
    for (const part of first.token.split('.'))
      expect(JSON.stringify(world.logger.lines)).not.to.include(part);
  });

  it('WLA-31: is let go of when the next one is denied', async () => {
    const world = new World();
    await world.obtain();
    world.clock.advance(LIFE_MS / 2);
    await world.get();
    world.load.fail(DENIED);
    await settled();
    const waiting = world.get();
    world.load.fail(DENIED);
    await rejection('ERR_SPIFFE_WORKLOAD_API_DENIED', waiting);
  });

  it('is waited for again half of what is left later, where the issuer gives it again', async () => {
    const world = new World();
    const svid = world.svid({ iat: world.now - 60, exp: world.now + 40 });
    await world.obtain(REPORTS, svid);
    world.clock.advance(19_999);
    await world.get();
    expect(world.loads).to.have.length(1);
    world.clock.advance(1);
    await world.get();
    expect(world.loads).to.have.length(2);
  });
});

describe('a token near its end', () => {
  it('is never handed out within 5 seconds of exp; who asks waits for another', async () => {
    const world = new World();
    const first = await world.obtain();
    world.clock.advance(LIFE_MS - 5001);
    expect(await world.get()).to.equal(first);
    world.load.fail(AWAY);
    await settled();
    world.clock.advance(1);
    const waiting = world.get();
    expect(world.loads).to.have.length(3);
    const second = world.svid();
    world.load.give(second);
    expect(await waiting).to.equal(second);
  });

  it('is given up with an error when there is no other', async () => {
    const world = new World();
    await world.obtain();
    world.clock.advance(LIFE_MS - 5000);
    const waiting = world.get();
    world.load.fail(AWAY);
    await rejection('ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE', waiting);
  });

  it('keeps a tenth of its life where that is shorter than 5 seconds', async () => {
    const world = new World();
    const short = await world.obtain(REPORTS, world.svid({ exp: world.now + 10 }));
    world.clock.advance(8999);
    expect(await world.get()).to.equal(short);
    world.clock.advance(1);
    await world.obtain();
  });

  for (const iat of [undefined, 'yesterday', 1e12, -1e308]) {
    it(`is known by exp alone where iat is ${iat}`, async () => {
      const world = new World();
      const svid = await world.obtain(REPORTS, world.svid({ iat }));
      world.clock.advance(LIFE_MS / 2 - 1);
      expect(await world.get()).to.equal(svid);
      expect(world.loads).to.have.length(1);
      world.clock.advance(LIFE_MS / 2 - 5000);
      expect(await world.get()).to.equal(svid);
      expect(world.loads).to.have.length(2);
      world.clock.advance(1);
      const waiting = world.get();
      world.load.give(world.svid());
      expect(await waiting).not.to.equal(svid);
    });
  }
});

describe('tokens of an identity that goes', () => {
  const other: TokenRequest = { subject: 'spiffe://example.org/other', audience: ['reports'] };

  it('go with it, those under way included; those of others stay', async () => {
    const world = new World();
    await world.obtain();
    const sub = other.subject;
    const kept = await world.obtain(other, world.svid({ sub }));
    const underWay = world.get(MAIL);
    const load = world.load;
    world.cache.forget(ID, REVOKED);
    await rejection('ERR_SPIFFE_SVID_REVOKED', underWay);
    expect(load.signal.reason).to.equal(REVOKED);
    expect(world.cache.size).to.equal(1);
    expect(await world.get(other)).to.equal(kept);
    await world.obtain();
  });

  it('go all, and what comes too late is not kept', async () => {
    const world = new World();
    await world.obtain(other, world.svid({ sub: other.subject }));
    const underWay = world.get();
    const late = world.load;
    world.cache.clear(REVOKED);
    expect(world.cache.size).to.equal(0);
    const again = world.get();
    expect(world.loads).to.have.length(3);
    late.give(world.svid());
    await rejection('ERR_SPIFFE_SVID_REVOKED', underWay);
    expect(world.cache.size).to.equal(0);
    const svid = world.svid();
    world.load.give(svid);
    expect(await again).to.equal(svid);
    expect(await world.get()).to.equal(svid);
  });

  it('go without a word in the log where one was being renewed', async () => {
    const world = new World();
    await world.obtain();
    world.clock.advance(LIFE_MS / 2);
    await world.get();
    world.cache.clear(REVOKED);
    world.load.fail(REVOKED);
    await settled();
    expect(world.logger.lines).to.deep.equal([]);
  });
});
