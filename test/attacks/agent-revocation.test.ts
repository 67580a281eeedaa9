import { SpiffeId } from 'agent-spiffe';
import { FakeClock, TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { signList } from '#lib/agent/revocation/list.js';
import { expectStep, GrantWorld, later, NOW, ORCHESTRATOR, RESEARCHER } from '../support/grants.js';
import {
  asking,
  complaints,
  Endpoints,
  Publisher,
  type Verifying,
  verifying,
} from '../support/revocations.js';

/** The defaults that docs/grant.md states. */
const POLL_MS = 5_000;
const VALID_MS = 15_000;
const GRACE_MS = 15_000;

/** Of some token that the researcher has signed. */
const status = ({ lists }: Verifying): string =>
  lists.status({ jti: 'any', by: RESEARCHER, issuedAt: NOW });

describe('attack: a grant that was revoked', () => {
  let world: GrantWorld;
  let clock: FakeClock;
  let endpoints: Endpoints;
  let orchestrator: Publisher;
  let researcher: Publisher;
  let verifier: Verifying;
  let chain: readonly string[];

  beforeEach(async () => {
    world = new GrantWorld();
    clock = new FakeClock(NOW);
    endpoints = new Endpoints();
    orchestrator = new Publisher(world.ca, ORCHESTRATOR, clock);
    researcher = new Publisher(world.ca, RESEARCHER, clock);
    for (const publisher of [orchestrator, researcher])
      endpoints.put(publisher.url, () => publisher.answer());
    chain = world.chain();
    orchestrator.signed('task-1', chain[0] as string);
    orchestrator.signed('task-1', chain[1] as string);
    researcher.signed('task-2', chain[2] as string);
    verifier = await verifying(world.ca, clock, endpoints, [orchestrator, researcher]);
  });

  afterEach(() => verifier.lists.close());

  const now = (): Date => new Date(clock.now());
  const call = (): unknown =>
    world.verify(world.present(chain, { now: now() }), { ...asking(verifier.lists), now: now() });
  const refused = (why: RegExp): void => {
    expect(expectStep('revoked', call).message).to.match(why);
  };
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await verifier.lists.refresh();
  };

  const listAt = (ms: number, validForMs: number = VALID_MS): string =>
    signList(
      researcher.svid,
      { since: NOW.getTime() - 60_000, sequence: 9, ids: [] },
      NOW.getTime() + ms,
      validForMs,
    );
  const opened = async (text: string): Promise<Verifying> => {
    endpoints.put(researcher.url, () => ({ status: 200, text }));
    return await verifying(world.ca, clock, endpoints, [orchestrator, researcher]);
  };

  it('is refused at the next poll after the task that gave it has ended', async () => {
    call();
    orchestrator.grants.endTask('task-1');
    await pass(POLL_MS);
    refused(/is revoked/);
  });

  it('is refused when a task in its middle has ended, and others go on (twin)', async () => {
    const own = world.child(chain[0] as string);
    orchestrator.signed('task-1', own);
    researcher.grants.endTask('task-2');
    await pass(POLL_MS);
    refused(/is revoked/);
    const { isRevoked } = asking(verifier.lists);
    world.verify(world.present([chain[0] as string, own]), { isRevoked });
  });

  it('is refused where its publisher cannot be reached, when its last list and the grace are over, and not before (twin)', async () => {
    endpoints.put(researcher.url, () => {
      throw new Error('the network is cut');
    });
    await pass(VALID_MS + GRACE_MS - 1);
    call();
    await pass(1);
    refused(/not known to be active/);
    endpoints.put(researcher.url, () => researcher.answer());
    await pass(POLL_MS);
    call();
  });

  it('is refused where its publisher answers with errors, and has never answered', async () => {
    endpoints.put(researcher.url, () => ({ status: 500, text: researcher.answer().text }));
    const late = await verifying(world.ca, clock, endpoints, [orchestrator, researcher]);
    const { isRevoked } = asking(late.lists);
    expectStep('revoked', () => world.verify(world.present(chain), { isRevoked }));
    endpoints.put(researcher.url, () => researcher.answer());
    await late.lists.refresh();
    world.verify(world.present(chain), { isRevoked });
    await late.lists.close();
  });

  it('is refused when a stale list is all that there is, though it comes again and again', async () => {
    const { text } = researcher.answer();
    endpoints.put(researcher.url, () => ({ status: 200, text }));
    for (let at = 0; at < 5; at++) await pass(POLL_MS);
    // Stale since 15 s, told so, and still within the grace.
    expect(complaints(verifier)).to.contain('it is stale');
    call();
    await pass(POLL_MS);
    refused(/not known to be active/);
  });

  it('stays revoked when an older list, still in time, is put in the way of a newer one', async () => {
    const older = researcher.answer();
    researcher.grants.endTask('task-2');
    await pass(POLL_MS);
    refused(/is revoked/);
    endpoints.put(researcher.url, () => older);
    await pass(POLL_MS);
    refused(/is revoked/);
    expect(complaints(verifier)).to.contain('rolled back');
  });

  it('stays revoked when a list of the process before is put in the way of that of the next', async () => {
    const before = researcher.answer();
    clock.advance(1_000);
    const next = new Publisher(world.ca, RESEARCHER, clock);
    endpoints.put(researcher.url, () => next.answer());
    await pass(1_000);
    // What the process before has signed is of no task any more.
    refused(/not known to be active/);
    endpoints.put(researcher.url, () => before);
    await pass(1_000);
    refused(/not known to be active/);
    expect(complaints(verifier)).to.contain('rolled back');
  });

  it('is not brought back by a new process, and what that signs itself is taken (twin)', async () => {
    clock.advance(700);
    const next = new Publisher(world.ca, RESEARCHER, clock);
    endpoints.put(researcher.url, () => next.answer());
    await pass(0);
    refused(/not known to be active/);
    const [root = '', child = ''] = chain;
    // In the same second as what the process before has signed.
    chain = [root, child, world.grandchild(child, { now: now() })];
    next.signed('task-2', chain[2] as string);
    call();
  });

  it('is refused when the list is signed by someone else, be it another agent, an older key of one, or another domain', async () => {
    const content = { since: NOW.getTime(), sequence: 9, ids: [] };
    const at = (svid = researcher.svid): string => signList(svid, content, NOW.getTime(), VALID_MS);
    const expired = TestCa.create('example.org', { now: () => later(-7_200_000) });
    const others = [
      at(orchestrator.svid),
      at(world.ca.issue(`${RESEARCHER}/task/1`)),
      at(TestCa.create('example.org', { now: () => NOW }).issue(RESEARCHER)),
      at(
        TestCa.create('other.org', { now: () => NOW }).issue(
          'spiffe://other.org/agents/researcher',
        ),
      ),
      at(expired.issue(RESEARCHER, { ttlMs: 60_000 })),
    ];
    for (const text of others) {
      endpoints.put(researcher.url, () => ({ status: 200, text }));
      const late = await verifying(world.ca, clock, endpoints, [orchestrator, researcher]);
      const { isRevoked } = asking(late.lists);
      expectStep('revoked', () => world.verify(world.present(chain), { isRevoked }));
      await late.lists.close();
    }
    endpoints.put(researcher.url, () => ({ status: 200, text: at() }));
    await verifier.lists.refresh();
    call();
  });

  it('is not answered for by the list of another, who may revoke only what is its own', async () => {
    const mallory = new Publisher(
      world.ca,
      SpiffeId.parse('spiffe://example.org/agents/mallory'),
      clock,
    );
    endpoints.put(mallory.url, () => mallory.answer());
    for (const [at, token] of chain.entries()) mallory.signed(`task-${at}`, token);
    const all = await verifying(world.ca, clock, endpoints, [orchestrator, researcher, mallory]);
    for (const at of chain.keys()) mallory.grants.endTask(`task-${at}`);
    await all.lists.refresh();
    world.verify(world.present(chain), asking(all.lists));
    const alone = await verifying(world.ca, clock, endpoints, [mallory]);
    expectStep('revoked', () => world.verify(world.present(chain), asking(alone.lists)));
    await all.lists.close();
    await alone.lists.close();
  });

  it('stays revoked when the list is cut short, wherever it is cut', async () => {
    researcher.grants.endTask('task-2');
    const { text } = researcher.answer();
    const [header = '', payload = '', signature = ''] = text.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    const emptied = Buffer.from(JSON.stringify({ ...claims, revoked: [] })).toString('base64url');
    const cuts = [
      '',
      ...[1, 2, 3, 40, 200, 600].map((length) => text.slice(0, -length)),
      `${header}.${payload}`,
      `${header}.${payload}.`,
      `${header}.${emptied}.${signature}`,
      `${header}..${signature}`,
    ];
    for (const cut of cuts) {
      endpoints.put(researcher.url, () => ({ status: 200, text: cut }));
      const late = await verifying(world.ca, clock, endpoints, [orchestrator, researcher]);
      const { isRevoked } = asking(late.lists);
      expect(
        expectStep('revoked', () => world.verify(world.present(chain), { isRevoked })).message,
      ).to.match(/not known to be active/);
      await late.lists.close();
    }
    endpoints.put(researcher.url, () => ({ status: 200, text }));
    await pass(POLL_MS);
    refused(/is revoked/);
  });

  describe('with clocks that differ', () => {
    it('a list is taken that is up to 30 s ahead, and none further', async () => {
      expect(status(await opened(listAt(30_000)))).to.equal('active');
      expect(status(await opened(listAt(31_000)))).to.equal('unknown');
    });

    it('a list from ahead is believed no longer than its time, counted here', async () => {
      const ahead = await opened(listAt(30_000));
      endpoints.put(researcher.url, () => ({ status: 503, text: '' }));
      clock.advance(VALID_MS + GRACE_MS - 1);
      expect(status(ahead)).to.equal('active');
      clock.advance(1);
      expect(status(ahead)).to.equal('unknown');
    });

    it('a list from behind is taken until it has expired', async () => {
      expect(status(await opened(listAt(-14_000)))).to.equal('active');
      expect(status(await opened(listAt(-15_000)))).to.equal('unknown');
    });

    it('a list may not say that it is valid for longer than ten minutes', async () => {
      expect(status(await opened(listAt(0, 600_000)))).to.equal('active');
      expect(status(await opened(listAt(0, 601_000)))).to.equal('unknown');
    });

    it('a revocation is listed for a minute after the grant has expired, for verifiers that are behind', async () => {
      researcher.grants.endTask('task-2');
      // The grant expires at 600 s; the verifier is 30 s behind.
      clock.advance(629_999);
      await verifier.lists.refresh();
      expect(
        expectStep('revoked', () =>
          world.verify(world.present(chain, { now: later(599_000) }), {
            ...asking(verifier.lists),
            now: later(599_000),
          }),
        ).message,
      ).to.match(/is revoked/);
    });
  });
});
