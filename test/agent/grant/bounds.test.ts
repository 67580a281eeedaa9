import { SpiffeError } from 'agent-spiffe';
import { expect } from 'chai';
import { GrantUsage } from '#lib/agent/grant/grant-usage.js';
import { parseLimits } from '#lib/agent/grant/limits.js';
import { ReplayCache } from '#lib/agent/grant/replay-cache.js';
import type { TaskKey } from '#lib/agent/task-key.js';
import { expectStep, GrantWorld, later } from '../../support/grants.js';

const refused = (make: () => unknown): void => {
  expect(make).to.throw(SpiffeError).with.property('code', 'ERR_SPIFFE_OPTION_INVALID');
};

describe('what bounds a verifier of grants', () => {
  it('are the limits that the draft advises, unless told otherwise', () => {
    expect(parseLimits()).to.deep.equal({
      tokenBytes: 65_536,
      chainBytes: 262_144,
      depth: 8,
      skew: 30,
      lifetime: 7_776_000,
      proofWindow: 30,
    });
    expect(parseLimits({ depth: 9, skewMs: 5999, lifetimeMs: 60_000 })).to.include({
      depth: 9,
      skew: 5,
      lifetime: 60,
    });
    refused(() => parseLimits({ depth: 7 }));
    refused(() => parseLimits({ tokenBytes: 0 }));
    refused(() => parseLimits({ skewMs: Number.POSITIVE_INFINITY }));
    refused(() => parseLimits({ window: 1 } as object));
  });

  it('hold for the size of a token and of a chain, to the byte', () => {
    const world = new GrantWorld();
    const chain = world.chain();
    const sizes = chain.map(({ length }) => length);
    const longest = Math.max(...sizes);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const verify = (limits: Parameters<typeof parseLimits>[0]): unknown =>
      world.verify(world.present(chain), { limits: parseLimits(limits) });
    expectStep('2a', () => verify({ tokenBytes: longest - 1 }));
    expectStep('2b', () => verify({ chainBytes: total - 1 }));
    verify({ tokenBytes: longest, chainBytes: total });
  });

  it('hold for a chain that another verifier of the process took by wider ones', () => {
    const world = new GrantWorld();
    const root = world.root();
    world.verify(world.present([root]));
    const limits = parseLimits({ lifetimeMs: 599_000 });
    expectStep('3h', () => world.verify(world.present([root]), { limits }));
    world.verify(world.present([root]), { limits: parseLimits({ lifetimeMs: 600_000 }) });
  });

  it('hold for how old a proof may be', () => {
    const world = new GrantWorld();
    const root = world.root();
    const at = (proofWindowMs: number): unknown =>
      world.verify(world.present([root]), {
        now: later(10_000),
        limits: parseLimits({ proofWindowMs }),
      });
    expectStep('7g', () => at(9999));
    at(10_000);
  });

  it('are whole numbers for what is remembered', () => {
    for (const most of [0, -1, 1.5, Number.NaN, '5' as unknown as number]) {
      refused(() => new ReplayCache({ most }));
      refused(() => new ReplayCache({ mostOfPeer: most }));
      refused(() => new GrantUsage({ most }));
    }
    refused(() => new ReplayCache({ size: 5 } as object));
  });

  it('let the counts of tokens that have expired make room', () => {
    const world = new GrantWorld();
    const usage = new GrantUsage({ most: 1 });
    const counted = (ms: number, key: TaskKey): string =>
      world.root({
        holder: key.publicJwk,
        budget: { calls: 5 },
        now: later(ms),
        expiresAt: later(ms + 60_000),
      });
    const [key, other] = world.keys;
    const show = (ms: number, token: string, signer: TaskKey): void => {
      const now = later(ms);
      world.verify(world.present([token], { now, signer }), { usage, now });
    };
    const second = counted(50_000, other);
    show(0, counted(0, key), key);
    expectStep('budget', () => show(50_000, second, other));
    // What is made anew is counted for as long as it lives itself.
    show(50_000, counted(10_000, key), key);
    expectStep('budget', () => show(60_000, second, other));
    show(70_000, second, other);
    expect(usage.size).to.equal(1);
  });

  it('forget one peer’s proofs without another’s', () => {
    const world = new GrantWorld();
    const replay = new ReplayCache({ mostOfPeer: 2 });
    const [root = '', child = ''] = world.chain();
    world.verify(world.present([root]), { replay });
    world.verify(world.present([root]), { replay });
    expectStep('7i', () => world.verify(world.present([root]), { replay }));
    world.verify(world.present([root, child]), { replay });
    expect(replay.size).to.equal(3);
  });
});
