import { SpiffeId, X509Bundles } from 'agent-spiffe';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { GrantUsage } from '#lib/agent/grant/grant-usage.js';
import { proveGrant } from '#lib/agent/grant/prove.js';
import { ReplayCache } from '#lib/agent/grant/replay-cache.js';
import { type GrantStatus, verifyGrant } from '#lib/agent/grant/verify.js';
import {
  ARGS,
  expectStep,
  GrantWorld,
  later,
  MAILER,
  NOW,
  ORCHESTRATOR,
  RESEARCHER,
  SERVER,
} from '../../support/grants.js';

const nonce = (text: string): boolean => text === 'n-1';

describe('a grant', () => {
  for (const keyType of ['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048'] as const) {
    it(`passes from hand to hand and allows a call, its root signed by an SVID of type ${keyType}`, () => {
      const world = new GrantWorld({ keyType, intermediate: true });
      const verified = world.verify(world.present(world.chain()));
      expect(verified.args).to.deep.equal({ to: 'ann@acme.example', body: 'hello' });
      expect(verified.issuer.toString()).to.equal(ORCHESTRATOR.toString());
      expect(verified.chain.map(({ by, sub }) => `${by.path} to ${sub.path}`)).to.deep.equal([
        '/agents/orchestrator to /agents/orchestrator',
        '/agents/orchestrator to /agents/researcher',
        '/agents/researcher to /agents/mailer',
      ]);
      expect(verified.leaf.tools).to.deep.equal(['send']);
      expect(JSON.parse(JSON.stringify(verified.leaf.constraintsOf('send')))).to.deep.equal({
        to: { constraint_type: 'exact', value: 'ann@acme.example' },
        body: { constraint_type: 'wildcard' },
      });
    });
  }

  let world: GrantWorld;

  beforeEach(() => {
    world = new GrantWorld();
  });

  it('may be shown by its first holder, and as a prefix of a longer chain', () => {
    const [root = '', child = ''] = world.chain();
    expect(world.verify(world.present([root])).chain).to.have.lengthOf(1);
    expect(world.verify(world.present([root, child])).chain).to.have.lengthOf(2);
  });

  it('is refused from any peer but the one that it was given to', () => {
    const chain = world.chain();
    for (const peer of [
      RESEARCHER,
      ORCHESTRATOR,
      SpiffeId.parse('spiffe://other.org/agents/mailer'),
    ])
      expectStep('peer', () => world.verify(world.present(chain), { peer }));
    world.verify(world.present(chain), { peer: MAILER });
  });

  it('expires with its SVID when that ends before the task', () => {
    const svid = world.ca.issue(ORCHESTRATOR, { ttlMs: 60_000 });
    const root = world.root({ svid, expiresAt: later(600_000) });
    const at = (ms: number): unknown => {
      const now = later(ms);
      const presentation = world.present([root], { now });
      return world.verify({ ...presentation, issuer: svid.certificates }, { now });
    };
    at(59_000);
    expectStep('issuer', () => at(61_000));
  });

  it('expires with its task when that ends before the SVID', () => {
    const root = world.root({ expiresAt: later(60_000) });
    const at = (ms: number): unknown =>
      world.verify(world.present([root], { now: later(ms) }), { now: later(ms) });
    at(59_000);
    expectStep('3e', () => at(60_000));
  });

  it('is refused when the SVID beside it is not of the signer, or of a trust domain that is not trusted', () => {
    const chain = world.chain();
    const other = world.ca.issue(ORCHESTRATOR);
    const stranger = TestCa.create('other.org', { now: () => NOW }).issue('spiffe://other.org/a');
    const presentation = world.present(chain);
    expectStep('3b', () => world.verify({ ...presentation, issuer: other.certificates }));
    expectStep('issuer', () => world.verify({ ...presentation, issuer: stranger.certificates }));
    expectStep('issuer', () => world.verify({ ...presentation, issuer: [] }));
    expectStep('issuer', () => world.verify(presentation, { bundles: X509Bundles.of() }));
    world.verify(presentation);
  });

  it('is refused when anything of its chain is revoked, or nobody knows', () => {
    const chain = world.chain();
    for (const [at, status] of [
      [0, 'revoked'],
      [1, 'revoked'],
      [2, 'revoked'],
      [1, 'unknown'],
    ] as const) {
      let asked = 0;
      const isRevoked = (): GrantStatus => (asked++ === at ? status : 'active');
      expectStep('revoked', () => world.verify(world.present(chain), { isRevoked }));
    }
    const ids: string[] = [];
    const isRevoked = (jti: string): GrantStatus => {
      ids.push(jti);
      return 'active';
    };
    const { chain: links } = world.verify(world.present(chain), { isRevoked });
    expect(ids).to.deep.equal(links.map(({ jti }) => jti));
  });

  describe('that was seen before', () => {
    it('is verified anew when a character of it, its SVID or the bundles are others', () => {
      const chain = world.chain();
      const presentation = world.present(chain);
      const other = new GrantWorld();
      const bundles = X509Bundles.of(world.ca.bundle);
      world.verify(presentation, { bundles });
      const [root = '', child = '', leaf = ''] = chain;
      // Another signature of the same text would do as well, had the signer made it.
      const bent = `${root.slice(0, -6)}AAAAA${root.at(-1)}`;
      const again = (): typeof presentation => world.present(chain);
      expectStep('3b', () => world.verify({ ...again(), chain: [bent, child, leaf] }, { bundles }));
      expectStep('4q', () =>
        world.verify({ ...again(), chain: [world.root(), child, leaf] }, { bundles }),
      );
      expectStep('3b', () =>
        world.verify(
          { ...again(), issuer: world.ca.issue(ORCHESTRATOR).certificates },
          { bundles },
        ),
      );
      expectStep('issuer', () =>
        world.verify(again(), { bundles: X509Bundles.of(other.ca.bundle) }),
      );
      expectStep('issuer', () => world.verify(again(), { bundles: X509Bundles.of() }));
      world.verify(again(), { bundles: X509Bundles.of(world.ca.bundle) });
    });

    it('is held to the clock, root and child', () => {
      const root = world.root();
      const child = world.child(root, { expiresAt: later(60_000) });
      const show = (ms: number, chain: readonly string[]): unknown =>
        world.verify(world.present(chain, { now: later(ms) }), { now: later(ms) });
      show(0, [root]);
      show(0, [root, child]);
      show(59_000, [root, child]);
      expectStep('4i', () => show(60_000, [root, child]));
      show(60_000, [root]);
      const young = world.root({ now: later(40_000) });
      show(40_000, [young]);
      expectStep('3f', () => show(9000, [young]));
      expectStep('3e', () => show(600_000, [root]));
      expectStep('3e', () => show(600_000, [root, child]));
    });

    it('gives nothing that a caller could change for the next', () => {
      const chain = world.chain();
      const { leaf } = world.verify(world.present(chain));
      leaf.expiresAt.setTime(0);
      (leaf.constraintsOf('send') as Record<string, unknown>)['to'] = undefined;
      expect(() => (leaf.tools as string[]).push('pay')).to.not.throw();
      const again = world.verify(world.present(chain)).leaf;
      expect(again.expiresAt.getTime()).to.equal(later(600_000).getTime());
      expect(again.constraintsOf('send')?.['to']).to.be.an('object');
      expect(again.tools).to.deep.equal(['send']);
      expect(Object.isFrozen(again) && Object.isFrozen(again.labels)).to.equal(true);
    });
  });

  describe('and its proof', () => {
    it('is taken once', () => {
      const presentation = world.present(world.chain());
      world.verify(presentation);
      expectStep('7i', () => world.verify(presentation));
      world.verify(world.present(presentation.chain));
    });

    it('is not used up by a call that was refused', () => {
      const presentation = world.present(world.chain());
      expectStep('6b', () => world.verify(presentation, { argsJson: '{"to":"eve@evil.example"}' }));
      expectStep('7f', () =>
        world.verify(presentation, { argsJson: '{"to":"ann@acme.example","body":"bye"}' }),
      );
      world.verify(presentation);
    });

    it('is for one receiver: another refuses it when it is passed on', () => {
      const presentation = world.present(world.chain());
      expectStep('7d', () =>
        world.verify(presentation, { audience: 'spiffe://example.org/tools/bank' }),
      );
      world.verify(presentation, { audience: ['https://mail.example.org', SERVER.toString()] });
    });

    it('names its receiver, unless the receiver does not ask for it', () => {
      const chain = world.chain();
      const { proof: named, ...rest } = world.present(chain);
      const proof = proveGrant({
        leaf: chain.at(-1) as string,
        signer: world.keys[2],
        tool: 'send',
        argsJson: ARGS,
        now: NOW,
      });
      expectStep('7d', () => world.verify({ ...rest, proof }));
      world.verify({ ...rest, proof }, { requireAudience: false });
      expectStep('7d', () =>
        world.verify(
          { ...rest, proof: named },
          { requireAudience: false, audience: 'spiffe://example.org/tools/bank' },
        ),
      );
    });

    it('is forgotten only when its time is over', () => {
      const presentation = world.present(world.chain());
      world.verify(presentation);
      expectStep('7i', () => world.verify(presentation, { now: later(30_999) }));
      expect(world.replay.size).to.equal(1);
      expectStep('7g', () => world.verify(presentation, { now: later(31_000) }));
      world.verify(world.present(presentation.chain, { now: later(31_000) }), {
        now: later(31_000),
      });
      expect(world.replay.size).to.equal(1);
      // A clock that is set back does not bring it back.
      expectStep('7i', () => world.verify(presentation, { now: NOW }));
    });

    it('is refused when there is no room to remember it, in all or of its peer', () => {
      for (const options of [{ most: 1 }, { mostOfPeer: 1 }]) {
        const replay = new ReplayCache(options);
        const chain = world.chain();
        world.verify(world.present(chain), { replay });
        expectStep('7i', () => world.verify(world.present(chain), { replay }));
        const now = later(31_000);
        world.verify(world.present(chain, { now }), { replay, now });
      }
    });

    it('has a nonce where one is asked for', () => {
      const chain = world.chain();
      expectStep('7h', () => world.verify(world.present(chain), { nonce }));
      expectStep('7h', () => world.verify(world.present(chain, { nonce: 'n-2' }), { nonce }));
      world.verify(world.present(chain, { nonce: 'n-1' }), { nonce });
    });
  });

  describe('and its budget', () => {
    it('is spent by all to whom it was passed on together', () => {
      const root = world.root({ budget: { calls: 3 } });
      const child = world.child(root, { budget: { calls: 2 } });
      const leaf = world.grandchild(child);
      world.verify(world.present([root, child]));
      world.verify(world.present([root, child, leaf]));
      expectStep('budget', () => world.verify(world.present([root, child])));
      expectStep('budget', () => world.verify(world.present([root, child, leaf])));
      world.verify(world.present([root]));
      expectStep('budget', () => world.verify(world.present([root])));
    });

    it('bounds single tools', () => {
      const root = world.root({ budget: { callsPerTool: { send: 1 } } });
      const search = { tool: 'search', argsJson: '{"q":"a"}' };
      world.verify(world.present([root]));
      expectStep('budget', () => world.verify(world.present([root])));
      world.verify(world.present([root], search), search);
    });

    it('costs nothing when the call is refused, and the proof can be shown again', () => {
      const root = world.root({ budget: { calls: 1 } });
      expectStep('6b', () => world.verify(world.present([root]), { argsJson: '{}' }));
      const presentation = world.present([root]);
      world.verify(presentation);
      const full = new GrantUsage({ most: 1 });
      const other = world.root({ budget: { calls: 2 } });
      world.verify(world.present([other]), { usage: full });
      const again = world.present([other, world.child(other, { budget: { calls: 1 } })]);
      expectStep('budget', () => world.verify(again, { usage: full }));
      world.verify(again, { usage: new GrantUsage() });
    });

    it('is not given a second time by a token that is made anew', () => {
      const rotated = world.ca.issue(ORCHESTRATOR);
      const roots = [world.svid, rotated].map((svid) => world.root({ svid, budget: { calls: 2 } }));
      const [before = '', after = ''] = roots;
      const anew = { ...world.present([after]), issuer: rotated.certificates };
      world.verify(world.present([before]));
      world.verify(anew);
      const again = { ...world.present([after]), issuer: rotated.certificates };
      expectStep('budget', () => world.verify(again));
      expectStep('budget', () => world.verify(world.present([before])));
      const root = world.root({ holder: world.keys[2].publicJwk, budget: { calls: 3 } });
      const child = (): string =>
        world.child(root, { signer: world.keys[2], budget: { calls: 1 } });
      world.verify(world.present([root, child()]));
      expectStep('budget', () => world.verify(world.present([root, child()])));
    });

    it('of who passes on to itself is spent once by a call', () => {
      const root = world.root({ budget: { calls: 2 } });
      const own = (parent: string): string =>
        world.child(parent, {
          holder: world.keys[0].publicJwk,
          holderId: ORCHESTRATOR,
          budget: { calls: 2 },
        });
      const child = own(root);
      const twice = [root, child, own(child)];
      const show = (): void => {
        world.verify(world.present(twice, { signer: world.keys[0] }), { peer: ORCHESTRATOR });
      };
      show();
      show();
      expectStep('budget', show);
    });

    it('is refused where nobody counts', () => {
      const presentation = world.present([world.root({ budget: { calls: 1 } })]);
      const options = {
        tool: 'send',
        argsJson: ARGS,
        bundles: X509Bundles.of(world.ca.bundle),
        peer: ORCHESTRATOR,
        audience: SERVER.toString(),
        replay: world.replay,
        now: NOW,
      };
      expectStep('budget', () => verifyGrant(presentation, options));
      verifyGrant(presentation, { ...options, usage: world.usage });
    });
  });

  it('carries what was read, and a later hand only adds to it', () => {
    const root = world.root({ labels: { confidentiality: 'internal', integrity: 'trusted' } });
    const child = world.child(root, {
      labels: { confidentiality: 'internal', integrity: 'untrusted' },
    });
    expect(world.verify(world.present([root, child])).labels).to.deep.equal({
      confidentiality: 'internal',
      integrity: 'untrusted',
    });
    expectStep('labels', () =>
      world.child(root, { labels: { confidentiality: 'public', integrity: 'trusted' } }),
    );
    expectStep('labels', () =>
      world.grandchild(child, { labels: { confidentiality: 'restricted', integrity: 'trusted' } }),
    );
  });

  it('judges arguments as they were written', () => {
    const root = world.root({
      tools: { pay: { amount: { constraint_type: 'range', max: 1e16 } } },
    });
    const call = (argsJson: string): unknown => {
      const shown = { tool: 'pay', argsJson: '{"amount":9007199254740992}' };
      return world.verify(world.present([root], shown), { tool: 'pay', argsJson });
    };
    call('{"amount":9007199254740992}');
    call('{ "amount": 9007199254740992.0 }');
    expectStep('6b', () => call('{"amount":9007199254740993}'));
    expectStep('6b', () => call('{"amount":1,"amount":9007199254740992}'));
    expectStep('6b', () => call('[1]'));
    expectStep('6b', () => call('{"amount":1e999}'));
  });
});
