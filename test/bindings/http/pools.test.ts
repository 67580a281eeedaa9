import { EventEmitter, once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Agent, get } from 'node:https';
import { text as textOf } from 'node:stream/consumers';
import { inspect } from 'node:util';
import type { Identity, PeerPredicate, PeerRule } from 'agent-spiffe';
import { createAgent, createDispatcher, createFetch, type Peers } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { type Dispatcher, request, fetch as undiciFetch } from 'undici';
import { codeOf } from '#lib/tls/refusal.js';
import { type HttpService, httpService } from '../../support/http-service.js';
import { refusal } from '../../support/refusal.js';
import { rejection } from '../../support/rejection.js';
import { type StaticIdentity, staticIdentity } from '../../support/static-identity.js';

const ca = TestCa.create('example.org');
const TOOLS = 'spiffe://example.org/tools';
const AGENT = 'spiffe://example.org/agent';

const only =
  (id: string): PeerPredicate =>
  (peer) =>
    peer.toString() === id;

/** A client that keeps connections. */
interface Pooling {
  get(url: string): Promise<string>;
  close(): Promise<void>;
}

async function getBy(agent: Agent, url: string): Promise<string> {
  const [response] = (await once(get(url, { agent }), 'response')) as [IncomingMessage];
  return await textOf(response);
}

/** Both with one connection at a time, so that a second one is seen. */
const CLIENTS: ReadonlyArray<readonly [string, (me: Identity, peers: Peers) => Pooling]> = [
  [
    'createFetch',
    (me, peers) => {
      const fetch = createFetch(me, { peers, pool: { connections: 1 } });
      return { get: async (url) => await (await fetch(url)).text(), close: () => fetch.close() };
    },
  ],
  [
    'createDispatcher',
    (me, peers) => {
      const dispatcher = createDispatcher(me, { peers, pool: { connections: 1 } });
      return {
        get: async (url) => await (await request(url, { dispatcher })).body.text(),
        close: () => dispatcher.close(),
      };
    },
  ],
  [
    'createAgent',
    (me, peers) => {
      const agent = createAgent(me, { peers });
      return { get: (url) => getBy(agent, url), close: async () => agent.destroy() };
    },
  ],
];

for (const [name, make] of CLIENTS) {
  describe(`the connections of ${name}`, () => {
    let me: StaticIdentity;
    let service: HttpService;
    /** What a request for `/slow` waits for, on either side. */
    let slow = new EventEmitter();

    beforeEach(async () => {
      me = staticIdentity(ca, AGENT);
      service = await httpService(staticIdentity(ca, TOOLS), AGENT, (incoming, response) => {
        if (incoming.url !== '/slow') {
          response.end('hi');
          return;
        }
        response.write('slow');
        slow.once('finish', () => response.end('ly'));
        slow.emit('arrived');
      });
    });
    afterEach(() => service.close());

    const slowRequest = (
      client: Pooling,
    ): { arrived: Promise<unknown>; answer: Promise<string> } => {
      slow = new EventEmitter();
      return { arrived: once(slow, 'arrived'), answer: client.get(`${service.origin}/slow`) };
    };

    it('are used again, also after our SVID was renewed; a new one presents the new SVID', async () => {
      const client = make(me, { [service.origin]: TOOLS });
      expect(await client.get(service.origin)).to.equal('hi');
      const renewed = ca.issue(AGENT);
      me.x509.set({ svids: [renewed] });
      expect(await client.get(service.origin)).to.equal('hi');
      expect(service.connections.length).to.equal(1);

      service.connections[0]?.destroy();
      await client.get(service.origin).catch(() => {});
      expect(await client.get(service.origin)).to.equal('hi');
      const leaf = service.connections.at(-1)?.getPeerX509Certificate()?.raw;
      expect(leaf).to.deep.equal(Buffer.from(renewed.certificates[0] ?? []));
      await client.close();
    });

    it('are used again while a function gives the same rule anew', async () => {
      const client = make(me, () => [TOOLS, 'spiffe://example.org/others/**']);
      for (let at = 0; at < 3; at += 1) expect(await client.get(service.origin)).to.equal('hi');
      expect(service.connections.length).to.equal(1);
      await client.close();
    });

    it('serve no request under another rule than that by which they were verified', async () => {
      // The exact ID and the list of it alone read the same, so they share a connection.
      const rules: PeerRule[] = [TOOLS, [TOOLS], only(TOOLS), only(TOOLS)];
      let rule: PeerRule = TOOLS;
      const client = make(me, () => rule);
      for (const next of rules) {
        rule = next;
        expect(await client.get(service.origin)).to.equal('hi');
      }
      expect(service.connections.length).to.equal(3);

      rule = 'spiffe://example.org/other';
      await rejection('ERR_SPIFFE_PEER_NOT_ALLOWED', client.get(service.origin));
      await client.close();
    });

    it('finish what is in flight when the rule changes', async () => {
      let rule: PeerRule = TOOLS;
      const client = make(me, () => rule);
      const { arrived, answer } = slowRequest(client);
      await arrived;
      rule = 'spiffe://example.org/*';
      expect(await client.get(service.origin)).to.equal('hi');
      slow.emit('finish');
      expect(await answer).to.equal('slowly');
      await client.close();
    });

    it('end when the identity is withdrawn, requests in flight with them, and no new one is made', async () => {
      const client = make(me, { [service.origin]: TOOLS });
      expect(await client.get(service.origin)).to.equal('hi');
      const { arrived, answer } = slowRequest(client);
      await arrived;
      me.x509.set({ state: 'revoked' });
      const error: unknown = await answer.catch((reason: unknown) => reason);
      // In the middle of an answer Node's own client says no more than that it ended.
      const ends = ['ERR_SPIFFE_TRUST_WITHDRAWN', 'ECONNRESET'];
      expect(ends).to.include(codeOf(error) || codeOf((error as Error).cause));
      await rejection('ERR_SPIFFE_SVID_REVOKED', client.get(service.origin));
      await client.close();
    });

    it('end while idle when the identity is withdrawn', async () => {
      const client = make(me, { [service.origin]: TOOLS });
      expect(await client.get(service.origin)).to.equal('hi');
      const [kept] = service.connections;
      const closed = kept === undefined ? Promise.reject(new Error('none')) : once(kept, 'close');
      me.x509.set({ state: 'revoked' });
      await closed;
      await rejection('ERR_SPIFFE_SVID_REVOKED', client.get(service.origin));
      await client.close();
    });

    it('serve their own origin alone, though two names lead to one server', async () => {
      const second = service.origin.replace('127.0.0.1', 'localhost');
      const client = make(me, { [service.origin]: TOOLS, [second]: AGENT });
      expect(await client.get(service.origin)).to.equal('hi');
      await rejection('ERR_SPIFFE_PEER_NOT_ALLOWED', client.get(second));
      await client.close();
    });

    it('serve their own origin alone, though two servers are one peer', async () => {
      const second = await httpService(staticIdentity(ca, TOOLS), AGENT, (_, response) => {
        response.end('second');
      });
      const client = make(me, { [service.origin]: TOOLS, [second.origin]: TOOLS });
      expect(await client.get(service.origin)).to.equal('hi');
      expect(await client.get(second.origin)).to.equal('second');
      expect(await client.get(service.origin)).to.equal('hi');
      await client.close();
      await second.close();
    });

    it('refuse an origin that is not named, one without TLS, and what no function answers', async () => {
      const client = make(me, { [service.origin]: TOOLS });
      const unnamed = 'https://127.0.0.1:8444/';
      await rejection('ERR_SPIFFE_TARGET_NOT_BOUND', client.get(unnamed));
      await client.close();
      const asking = make(me, () => undefined);
      await rejection('ERR_SPIFFE_TARGET_NOT_BOUND', asking.get(service.origin));
      await asking.close();
    });

    it('leave no loop behind when the client is closed', async () => {
      const client = make(me, { [service.origin]: TOOLS });
      expect(await client.get(service.origin)).to.equal('hi');
      const [kept] = service.connections;
      await client.close();
      if (kept !== undefined && !kept.closed) await once(kept, 'close');
      expect(me.x509.watchers).to.equal(0);
    });
  });
}

describe('createDispatcher', () => {
  const me = staticIdentity(ca, AGENT);

  it('binds each hop when undici itself follows a redirect', async () => {
    const other = await httpService(staticIdentity(ca, TOOLS), AGENT, (_, response) => {
      response.end('other');
    });
    const first = await httpService(staticIdentity(ca, TOOLS), AGENT, (_, response) => {
      response.writeHead(307, { location: other.origin }).end();
    });
    const dispatcher = createDispatcher(me, { peers: { [first.origin]: TOOLS } });
    const sent = undiciFetch(first.origin, { dispatcher });
    const error = (await sent.catch((reason: unknown) => reason)) as Error;
    expect(error.cause).to.have.property('code', 'ERR_SPIFFE_TARGET_NOT_BOUND');
    expect(other.connections.length).to.equal(0);
    await dispatcher.close();
    await first.close();
    await other.close();
  });

  it('closes what is idle under a rule that no longer holds for its origin', async () => {
    const service = await httpService(staticIdentity(ca, TOOLS), AGENT, (_, response) => {
      response.end('hi');
    });
    let rule: PeerRule = TOOLS;
    const dispatcher = createDispatcher(me, { peers: () => rule });
    await (await request(service.origin, { dispatcher })).body.text();
    const [first] = service.connections;
    const closed = first === undefined ? Promise.reject(new Error('none')) : once(first, 'close');
    rule = 'spiffe://example.org/*';
    await (await request(service.origin, { dispatcher })).body.text();
    await closed;
    await dispatcher.close();
    await service.close();
  });

  it('is closed only when what is in flight under a rule of before has ended', async () => {
    const arrivals = new EventEmitter();
    const service = await httpService(staticIdentity(ca, TOOLS), AGENT, (incoming, response) => {
      if (incoming.url === '/') response.end('hi');
      else arrivals.emit('one', response);
    });
    let rule: PeerRule = TOOLS;
    const dispatcher = createDispatcher(me, { peers: () => rule });
    const arrived = once(arrivals, 'one');
    const order: string[] = [];
    const slow = request(`${service.origin}/slow`, { dispatcher })
      .then(async ({ body }) => await body.text())
      .then((answer) => order.push(answer));
    const [response] = (await arrived) as [ServerResponse];
    rule = 'spiffe://example.org/*';
    await (await request(service.origin, { dispatcher })).body.text();
    const [, second] = service.connections;
    const secondClosed = second === undefined ? undefined : once(second, 'close');

    const closed = dispatcher.close().then(() => order.push('closed'));
    await secondClosed;
    response.end('slow');
    await Promise.all([slow, closed]);
    expect(order).to.deep.equal(['slow', 'closed']);
    await service.close();
  });

  it('is destroyed with what is in flight under a rule of before', async () => {
    const arrivals = new EventEmitter();
    const service = await httpService(staticIdentity(ca, TOOLS), AGENT, (incoming, response) => {
      if (incoming.url === '/') response.end('hi');
      else arrivals.emit('one');
    });
    let rule: PeerRule = TOOLS;
    const dispatcher = createDispatcher(me, { peers: () => rule });
    const arrived = once(arrivals, 'one');
    const hanging = request(`${service.origin}/hanging`, { dispatcher });
    const outcome = hanging.then(
      () => 'answered',
      (error: unknown) => error,
    );
    await arrived;
    rule = 'spiffe://example.org/*';
    await (await request(service.origin, { dispatcher })).body.text();

    const reason = new RangeError('mine');
    await dispatcher.destroy(reason);
    expect(await outcome).to.equal(reason);
    await service.close();
  });

  it('refuses http: as fetch does', async () => {
    const dispatcher = createDispatcher(me, { peers: { 'https://a': TOOLS } });
    await rejection('ERR_SPIFFE_TARGET_INSECURE', request('http://a/', { dispatcher }));
    await dispatcher.close();
  });

  it('ends by callback or by promise, closed or destroyed, and refuses what comes after', async () => {
    const service = await httpService(staticIdentity(ca, TOOLS), AGENT, () => {});
    const peers = { [service.origin]: TOOLS };
    const ends: ReadonlyArray<(dispatcher: Dispatcher) => Promise<unknown>> = [
      (dispatcher) => dispatcher.close(),
      (dispatcher) => new Promise<void>((resolve) => dispatcher.close(resolve)),
      (dispatcher) => dispatcher.destroy(),
      (dispatcher) => new Promise<void>((resolve) => dispatcher.destroy(resolve)),
      (dispatcher) => new Promise<void>((resolve) => dispatcher.destroy(null, resolve)),
    ];
    for (const end of ends) {
      const dispatcher = createDispatcher(me, { peers });
      await end(dispatcher);
      await rejection('ERR_SPIFFE_SOURCE_CLOSED', request(service.origin, { dispatcher }));
    }
    const dispatcher = createDispatcher(me, { peers });
    const reason = new RangeError('mine');
    const connected = once(service.server, 'secureConnection');
    const hanging = request(service.origin, { dispatcher });
    await connected;
    await Promise.all([
      dispatcher.destroy(reason),
      hanging.then(
        () => expect.fail('answered'),
        (error: unknown) => expect(error).to.equal(reason),
      ),
    ]);
    await service.close();
  });

  const BAD_POOLS: ReadonlyArray<readonly [pool: object, says: string]> = [
    [{ connect: {} }, 'cannot take "connect" as an option of pool: give any of bodyTimeout,'],
    [{ connections: 0 }, 'cannot take 0 as pool.connections: give a whole number from 1'],
    [{ connections: '2' }, 'cannot take "2" as pool.connections'],
    [{ headersTimeout: -1 }, 'cannot take -1 as pool.headersTimeout: give a whole number from 0'],
    [{ keepAliveTimeout: Number.NaN }, 'cannot take NaN as pool.keepAliveTimeout'],
    [
      { maxResponseSize: -2 },
      'cannot take -2 as pool.maxResponseSize: give a whole number from -1',
    ],
  ];
  const binding = { peers: { 'https://a': TOOLS } };
  for (const [pool, says] of BAD_POOLS) {
    it(`refuses the options ${inspect(pool)} for connections at once, as createFetch does`, () => {
      for (const make of [createDispatcher, createFetch])
        refusal('ERR_SPIFFE_OPTION_INVALID', says, () => make(me, { ...binding, pool }));
    });
  }

  it('takes the least of each option, and null where undici does', async () => {
    const pool = {
      bodyTimeout: 0,
      clientTtl: null,
      connections: 1,
      headersTimeout: 0,
      keepAliveMaxTimeout: 1,
      keepAliveTimeout: 1,
      maxHeaderSize: 1024,
      maxResponseSize: -1,
      pipelining: 0,
    };
    const service = await httpService(staticIdentity(ca, TOOLS), AGENT, (_, response) => {
      response.end('hi');
    });
    const dispatcher = createDispatcher(me, { peers: { [service.origin]: TOOLS }, pool });
    expect(await (await request(service.origin, { dispatcher })).body.text()).to.equal('hi');
    await dispatcher.close();
    await service.close();
  });
});

describe('createAgent', () => {
  const me = staticIdentity(ca, AGENT);

  it('sends nothing to a Unix socket, whatever the host says', async () => {
    const agent = createAgent(me, { peers: { 'https://a': TOOLS } });
    const sent = get({ host: 'a', socketPath: '/nowhere', agent });
    await rejection('ERR_SPIFFE_OPTION_INVALID', once(sent, 'response'));
  });

  it('takes the path of a request for a path, whatever it looks like', async () => {
    const urls: unknown[] = [];
    const service = await httpService(staticIdentity(ca, TOOLS), AGENT, (incoming, response) => {
      urls.push(incoming.url);
      response.end('hi');
    });
    const agent = createAgent(me, { peers: { [service.origin]: TOOLS } });
    const path = '//elsewhere.example/x';
    const [response] = (await once(
      get({ host: '127.0.0.1', port: service.port, path, agent }),
      'response',
    )) as [IncomingMessage];
    expect(await textOf(response)).to.equal('hi');
    expect(urls).to.deep.equal([path]);
    agent.destroy();
    await service.close();
  });

  it('ignores what a request says about certificates and checks of its own', async () => {
    const service = await httpService(staticIdentity(ca, TOOLS), AGENT, (_, response) => {
      response.end('hi');
    });
    const agent = createAgent(me, { peers: { [service.origin]: AGENT } });
    const sent = get(service.origin, {
      agent,
      ca: 'x',
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
    await rejection('ERR_SPIFFE_PEER_NOT_ALLOWED', once(sent, 'response'));
    agent.destroy();
    await service.close();
  });

  it('closes each connection after its request when it keeps none', async () => {
    const service = await httpService(staticIdentity(ca, TOOLS), AGENT, (_, response) => {
      response.end('hi');
    });
    const agent = createAgent(me, { peers: { [service.origin]: TOOLS }, keepAlive: false });
    for (let at = 0; at < 3; at += 1) expect(await getBy(agent, service.origin)).to.equal('hi');
    expect(service.connections.length).to.equal(3);
    await service.close();
  });
});
