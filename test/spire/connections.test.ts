import { once } from 'node:events';
import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import { type PeerRule, Workload } from 'agent-spiffe';
import { createFetch, createServer, peerOf, type SpiffeFetch } from 'agent-spiffe/http';
import { expect } from 'chai';
import { listen } from '../support/listen.js';
import { describeSpire, type EntryOptions, TestSpire } from '../support/spire.js';
import { nextState } from '../support/states.js';

const AGENT = 'spiffe://example.org/agents/researcher';
const SEARCH = 'spiffe://example.org/tools/search';
const MAIL = 'spiffe://example.org/tools/mail';

/** Begins an answer that does not end, and gives what happens to the connection at both ends. */
async function stream(
  fetch: SpiffeFetch,
  url: string,
  server: Server,
): Promise<Promise<unknown>[]> {
  const connected = once(server, 'secureConnection') as Promise<[Socket]>;
  const response = await fetch(`${url}/stream`);
  const [socket] = await connected;
  const reader = response.body?.getReader();
  await reader?.read();
  const ended = reader?.read().then(
    () => 'more came',
    () => 'closed',
  );
  return [once(socket, 'close').then(() => 'closed'), ended ?? Promise.resolve('no body')];
}

/** The code of the error that a request ends with. */
function codeOf(request: Promise<unknown>): Promise<unknown> {
  return request.then(
    () => 'no error',
    (error: unknown) => (error as { readonly code?: unknown }).code,
  );
}

describeSpire('real SPIRE: connections', () => {
  let spire: TestSpire;
  let workloads = 0;
  const cleanUp: (() => unknown)[] = [];
  const later = <T extends { close(): unknown }>(thing: T): T => {
    cleanUp.push(() => thing.close());
    return thing;
  };

  before(async () => {
    spire = await TestSpire.start();
  });
  after(() => spire.close());
  afterEach(async () => {
    for (const close of cleanUp.splice(0).toReversed()) await close();
  });

  /** A workload with an entry of its own, which the caller may delete. */
  async function workload(
    entry: EntryOptions,
    at: TestSpire = spire,
  ): Promise<{ readonly me: Workload; readonly withdraw: () => Promise<void> }> {
    // No hint serves twice: an entry that an earlier test deleted may still be served for a moment.
    const hint = `workload ${++workloads}`;
    const id = await at.createEntry({ hint, ...entry });
    let deleted = false;
    const withdraw = async (): Promise<void> => {
      if (!deleted) await at.deleteEntry(id);
      deleted = true;
    };
    cleanUp.push(withdraw);
    return { me: later(await Workload.open({ address: at.address, pick: hint })), withdraw };
  }

  /** Serves who calls at every path, and at /stream an answer that does not end. */
  async function serve(me: Workload, allow: PeerRule): Promise<{ url: string; server: Server }> {
    const server = createServer(me, { allow }, (req, res) => {
      if (req.url === '/stream') res.write('begun');
      else res.end(String(peerOf(req).id));
    });
    const url = `https://127.0.0.1:${await listen(server)}`;
    cleanUp.push(() => {
      server.close();
      server.closeAllConnections();
    });
    return { url, server };
  }

  it('carry calls, none failing, while the SVIDs at both ends are replaced', async () => {
    const { me: agent } = await workload({ spiffeId: AGENT, x509TtlSeconds: 10 });
    const { me: tool } = await workload({ spiffeId: SEARCH, x509TtlSeconds: 10 });
    const { url, server } = await serve(tool, AGENT);
    let connections = 0;
    server.on('secureConnection', () => connections++);
    const kept = later(createFetch(agent, { peers: { [url]: SEARCH } }));
    const serials = { agent: new Set<string>(), tool: new Set<string>() };
    while (serials.agent.size < 4 || serials.tool.size < 4) {
      const fresh = createFetch(agent, { peers: { [url]: SEARCH } });
      for (const fetch of [kept, fresh]) expect(await (await fetch(url)).text()).to.equal(AGENT);
      await fresh.close();
      serials.agent.add(agent.x509.svid().serialNumber);
      serials.tool.add(tool.x509.svid().serialNumber);
    }
    expect(connections).to.be.greaterThan(4);
  });

  it('are refused when a service with a good SVID answers in the place of another', async () => {
    const { me: agent } = await workload({ spiffeId: AGENT });
    const { me: mail } = await workload({ spiffeId: MAIL });
    const { url } = await serve(mail, AGENT);
    const wrong = later(createFetch(agent, { peers: { [url]: SEARCH } }));
    expect(await codeOf(wrong(url))).to.equal('ERR_SPIFFE_PEER_NOT_ALLOWED');
    const right = later(createFetch(agent, { peers: { [url]: MAIL } }));
    expect(await (await right(url)).text()).to.equal(AGENT);
  });

  for (const end of ['client', 'server'] as const) {
    it(`close when the ${end}'s entry is deleted, and no new one opens`, async () => {
      const agent = await workload({ spiffeId: AGENT });
      const tool = await workload({ spiffeId: SEARCH });
      const { url, server } = await serve(tool.me, AGENT);
      const fetch = later(createFetch(agent.me, { peers: { [url]: SEARCH } }));
      const ends = await stream(fetch, url, server);
      await (end === 'client' ? agent : tool).withdraw();
      expect(await Promise.all(ends)).to.deep.equal(['closed', 'closed']);
      const code = await codeOf(fetch(url));
      if (end === 'client') expect(code).to.equal('ERR_SPIFFE_SVID_REVOKED');
      else
        expect(code)
          .to.be.a('string')
          .and.to.match(/^ERR_SPIFFE_/);
    });
  }

  it('cross trust domains while these federate, and close when the bundle goes', async () => {
    const other = later(await TestSpire.start({ trustDomain: 'other.test' }));
    await other.setBundle('example.org', await spire.bundle());
    await spire.setBundle('other.test', await other.bundle());
    const { me: tool } = await workload(
      { spiffeId: 'spiffe://other.test/tools/search', federatesWith: ['example.org'] },
      other,
    );
    const { me: agent } = await workload({ spiffeId: AGENT, federatesWith: ['other.test'] });
    const { url, server } = await serve(tool, AGENT);
    const fetch = later(createFetch(agent, { peers: { [url]: 'spiffe://other.test/tools/*' } }));
    expect(await (await fetch(url)).text()).to.equal(AGENT);

    const again = later(createFetch(agent, { peers: { [url]: 'spiffe://other.test/tools/*' } }));
    const ends = await stream(again, url, server);
    await spire.deleteBundle('other.test');
    expect(await Promise.all(ends)).to.deep.equal(['closed', 'closed']);
    await nextState(agent, ({ state }) => state === 'ready');
    expect(await codeOf(again(url))).to.equal('ERR_SPIFFE_BUNDLE_NOT_FOUND');
  });
});
