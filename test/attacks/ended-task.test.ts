import { type PeerRule, SpiffeId, X509Bundles, type X509Svid } from 'agent-spiffe';
import {
  joinRevocationSources,
  liveTasks,
  type RevocationLists,
  type RevocationSource,
  type Task,
} from 'agent-spiffe/agent';
import { createFetch, createServer, requirePeer } from 'agent-spiffe/http';
import { expect } from 'chai';
import { uuidV7 } from '#lib/agent/grant/sign.js';
import { signList } from '#lib/agent/revocation/list.js';
import { openListsWith } from '#lib/agent/revocation/lists.js';
import { type HttpService, httpService } from '../support/http-service.js';
import { refusal } from '../support/refusal.js';
import { answerOf, type Endpoint, Endpoints } from '../support/revocations.js';
import {
  type StaticIdentity,
  StaticX509Source,
  staticIdentity,
} from '../support/static-identity.js';
import {
  AGENT,
  type CredentialBench,
  credentialBench,
  withSvid,
} from '../support/task-credential.js';
import { until } from '../support/until.js';

const SERVICE = 'spiffe://example.org/tools/search';
const TASKS = 'spiffe://example.org/agents/*/task/*';
const URL_OF_LIST = 'https://researcher.example.org/revocations';
const VALID_MS = 15_000;
const GRACE_MS = 15_000;

/** A service behind a rule, and those whom it lets in. */
async function letsIn(
  { ca }: CredentialBench,
  rule: PeerRule,
  callers: readonly StaticIdentity[],
): Promise<readonly boolean[]> {
  const service = await httpService(
    staticIdentity(ca, SERVICE),
    rule,
    (_, res) => void res.end('here'),
  );
  try {
    return await Promise.all(callers.map((caller) => getsThrough(caller, service)));
  } finally {
    await service.close();
  }
}

async function getsThrough(caller: StaticIdentity, { origin }: HttpService): Promise<boolean> {
  await using fetch = createFetch(caller, { peers: { [origin]: SERVICE } });
  return await fetch(origin).then(
    ({ ok }) => ok,
    () => false,
  );
}

const id = (text: string): SpiffeId => SpiffeId.parse(text);

describe('attack: the certificate of an ended task', () => {
  let world: CredentialBench;
  let task: Task;
  let other: Task;
  /** With copies of the key and the certificates, out of the reach of the guard. */
  let thief: StaticIdentity;
  let twin: StaticIdentity;

  const copy = (svid: X509Svid): StaticIdentity => ({
    x509: new StaticX509Source([svid], X509Bundles.of(world.ca.bundle)),
  });
  /** What the handler of the guard answers. */
  const published: Endpoint = () => answerOf(world.guard.revocationHandler());
  const copyOf = (of: Task): StaticIdentity => copy(of.identity.x509.svid());

  beforeEach(async () => {
    world = await credentialBench();
    task = await world.guard.startTask(withSvid());
    other = await world.guard.startTask(withSvid());
    thief = copyOf(task);
    twin = copyOf(other);
  });

  afterEach(() => world.guard.close());

  it('is good until it expires where the rule does not ask, which is what there is to close', async () => {
    await task.end();
    expect(await letsIn(world, TASKS, [thief])).to.deep.equal([true]);
  });

  it('is refused at once in the process of the guard, and a task that lives is let in (twin)', async () => {
    const rule = liveTasks(TASKS, world.guard.revocations);
    expect(await letsIn(world, rule, [thief, twin])).to.deep.equal([true, true]);
    await task.end();
    expect(await letsIn(world, rule, [thief, twin])).to.deep.equal([false, true]);
  });

  it('is refused with each request of a connection that it opened before, by requirePeer', async () => {
    const { ca, guard } = world;
    const pass = requirePeer(liveTasks(TASKS, guard.revocations));
    const service = await httpService(staticIdentity(ca, SERVICE), TASKS, (req, res) =>
      pass(req, res, () => void res.end('here')),
    );
    const peers = { [service.origin]: SERVICE };
    await using stolen = createFetch(thief, { peers });
    await using own = createFetch(twin, { peers });
    const ask = async (): Promise<readonly number[]> => {
      const found: number[] = [];
      for (const fetch of [stolen, own]) {
        const response = await fetch(service.origin);
        await response.text();
        found.push(response.status);
      }
      return found;
    };
    expect(await ask()).to.deep.equal([200, 200]);
    await task.end();
    expect(await ask()).to.deep.equal([403, 200]);
    expect(service.connections).to.have.lengthOf(2);
    await service.close();
  });

  it('is refused also when it was renewed, and when another SVID of the same task came before', async () => {
    const { clock, credentials, guard } = world;
    credentials.ttlMs = 120_000;
    const short = await guard.startTask(withSvid());
    const first = copyOf(short);
    clock.advance(60_000);
    await until(() => short.identity.x509.svid() !== first.x509.svid());
    const renewed = copyOf(short);
    const rule = liveTasks(TASKS, guard.revocations);
    expect(rule(first.x509.svid().id)).to.equal(true);
    await short.end();
    // The first would have left by now: 120 s of its life, and 60 s.
    clock.advance(121_000);
    published();
    expect(rule(renewed.x509.svid().id)).to.equal(false);
    expect(guard.revocations.taskStatus?.(renewed.x509.svid().id)).to.equal('revoked');
  });

  describe('in another process', () => {
    let endpoints: Endpoints;
    let lists: RevocationLists;

    const open = (publishers: Record<string, string>): Promise<RevocationLists> =>
      openListsWith(
        {
          identity: staticIdentity(world.ca, SERVICE),
          fetch: endpoints.fetch,
          publishers,
          graceMs: GRACE_MS,
        },
        world.clock,
      );
    const judged = (by: RevocationSource = lists): readonly boolean[] => {
      const rule = liveTasks(TASKS, by);
      return [thief, twin].map(({ x509 }) => rule(x509.svid().id));
    };

    beforeEach(async () => {
      endpoints = new Endpoints();
      endpoints.put(URL_OF_LIST, published);
      lists = await open({ [AGENT]: URL_OF_LIST });
    });

    afterEach(() => lists.close());

    it('is refused with the next list, over mutual TLS, and a task that lives is let in (twin)', async () => {
      const { ca, clock, guard, identity } = world;
      const publisher = createServer(identity, { allow: SERVICE }, guard.revocationHandler());
      await new Promise<void>((resolve) => publisher.listen(0, '127.0.0.1', resolve));
      const address = publisher.address() as { readonly port: number };
      const url = `https://127.0.0.1:${address.port}`;
      const me = staticIdentity(ca, SERVICE);
      await using fetch = createFetch(me, { peers: { [url]: AGENT } });
      const polled = await openListsWith(
        { identity: me, fetch, publishers: { [AGENT]: url } },
        clock,
      );
      const rule = liveTasks(TASKS, polled);
      expect(await letsIn(world, rule, [thief, twin])).to.deep.equal([true, true]);
      await task.end();
      await polled.refresh();
      expect(await letsIn(world, rule, [thief, twin])).to.deep.equal([false, true]);
      await polled.close();
      publisher.closeAllConnections();
      publisher.close();
    });

    it('is refused, and the live one too, where nobody is named who answers for its agent', async () => {
      expect(judged()).to.deep.equal([true, true]);
      const nobody = await open({ 'spiffe://example.org/agents/other': URL_OF_LIST });
      expect(judged(nobody)).to.deep.equal([false, false]);
      await nobody.close();
    });

    it('is refused, and the live one too, when the last list and the grace are over, and not before (twin)', async () => {
      endpoints.put(URL_OF_LIST, () => {
        throw new Error('the network is cut');
      });
      world.clock.advance(VALID_MS + GRACE_MS - 1_000);
      expect(judged()).to.deep.equal([true, true]);
      world.clock.advance(1_000);
      expect(judged()).to.deep.equal([false, false]);
      endpoints.put(URL_OF_LIST, published);
      await lists.refresh();
      expect(judged()).to.deep.equal([true, true]);
      await lists.close();
      expect(judged()).to.deep.equal([false, false]);
    });

    it('stays refused though the list that says so is over', async () => {
      await task.end();
      await lists.refresh();
      endpoints.put(URL_OF_LIST, () => ({ status: 503, text: '' }));
      world.clock.advance(VALID_MS + GRACE_MS);
      expect(lists.taskStatus(thief.x509.svid().id)).to.equal('revoked');
    });

    it('of the process before is refused with the first list of the next one, whose own are let in (twin)', async () => {
      const { ca, clock, identity } = world;
      const since = clock.now() + 500;
      clock.advance(1_000);
      const text = signList(
        identity.x509.svid(),
        { since, sequence: 1, ids: [], ended: [] },
        clock.now(),
        VALID_MS,
      );
      endpoints.put(URL_OF_LIST, () => ({ status: 200, text }));
      await lists.refresh();
      expect(judged()).to.deep.equal([false, false]);
      twin = copy(ca.issue(`${AGENT}/task/${uuidV7(clock.now())}`));
      thief = copy(ca.issue(`${AGENT}/task/an-id-that-does-not-say-when`));
      expect(judged()).to.deep.equal([false, true]);
    });

    it('is refused, and the live one too, where the list says nothing of tasks', async () => {
      const { clock, identity } = world;
      const says = (more: { readonly ended?: readonly string[] }): void => {
        const content = { since: clock.now() - 1, sequence: 9, ids: [], ...more };
        const text = signList(identity.x509.svid(), content, clock.now(), VALID_MS);
        endpoints.put(URL_OF_LIST, () => ({ status: 200, text }));
      };
      says({});
      const old = await open({ [AGENT]: URL_OF_LIST });
      expect(judged(old)).to.deep.equal([false, false]);
      says({ ended: [task.id] });
      await old.refresh();
      expect(judged(old)).to.deep.equal([false, true]);
      await old.close();
    });

    it('is refused by sources that are joined when one of them says so', async () => {
      const joined = joinRevocationSources(world.guard.revocations, lists);
      expect(judged(joined)).to.deep.equal([true, true]);
      await task.end();
      expect(judged(joined)).to.deep.equal([false, true]);
      expect(judged(joinRevocationSources({ status: () => 'active' }))).to.deep.equal([
        false,
        false,
      ]);
    });
  });

  it('is one thing, the rule another: who is no task is left to the rule, and who is one must meet it too', () => {
    const agents = liveTasks('spiffe://example.org/agents/**', world.guard.revocations);
    expect(agents(id(AGENT))).to.equal(true);
    expect(agents(id(`${AGENT}/task/of-nobody`))).to.equal(false);
    expect(agents(id(SERVICE))).to.equal(false);
    const mine = twin.x509.svid().id;
    expect(agents(mine)).to.equal(true);
    expect(
      liveTasks('spiffe://example.org/agents/other/task/*', world.guard.revocations)(mine),
    ).to.equal(false);
  });

  it('needs a source that knows of tasks, and a rule that is one', () => {
    const { revocations } = world.guard;
    const needs = 'ERR_SPIFFE_OPTION_INVALID';
    refusal(needs, /knows of no tasks/, () => liveTasks(TASKS, { status: () => 'active' }));
    refusal(needs, /knows of no tasks/, () => liveTasks(TASKS, undefined as never));
    refusal('ERR_SPIFFE_PEER_RULE_INVALID', /empty list/, () => liveTasks([], revocations));
  });
});
