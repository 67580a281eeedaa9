import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type ServiceError, status } from '@grpc/grpc-js';
import { UNAUTHENTICATED_CLIENTS, Workload } from 'agent-spiffe';
import { createChannelCredentials, peerIfAny, peerOf } from 'agent-spiffe/grpc';
import { TestCa, WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { EchoClient, EchoServer, failureOf } from '../../support/grpc.js';
import { refusal } from '../../support/refusal.js';
import { nextState } from '../../support/states.js';
import { staticIdentity } from '../../support/static-identity.js';
import { staticVerifier } from '../../support/web.js';

const AGENT = 'spiffe://example.org/agents/researcher';
const TOOLS = 'spiffe://example.org/tools/search';

/** Both ends, with identities from a Workload API of their own. */
class Pair implements AsyncDisposable {
  readonly api: WorkloadApiServer;
  readonly agent: Workload;
  readonly tools: Workload;

  private constructor(api: WorkloadApiServer, agent: Workload, tools: Workload) {
    this.api = api;
    this.agent = agent;
    this.tools = tools;
  }

  static async open(): Promise<Pair> {
    const api = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [
        { id: AGENT, hint: 'agent' },
        { id: TOOLS, hint: 'tools' },
      ],
    });
    const { address } = api;
    return new Pair(
      api,
      await Workload.open({ address, pick: 'agent' }),
      await Workload.open({ address, pick: 'tools' }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.agent.close(), this.tools.close()]);
    await this.api.close();
  }
}

describe('gRPC between two workloads', () => {
  let pair: Pair;
  before(async () => {
    pair = await Pair.open();
  });
  after(() => pair[Symbol.asyncDispose]());

  it('carries calls of every kind, and tells the handler who calls', async () => {
    await using echo = await EchoServer.open(pair.tools, { allow: AGENT });
    using credentials = createChannelCredentials(pair.agent, { peer: TOOLS });
    using client = new EchoClient(echo.target, credentials);
    expect(await client.unary('you')).to.equal('hello you');
    expect(await client.upload(['a', 'b', 'c'])).to.equal('a+b+c');
    const words: string[] = [];
    for await (const word of client.download('one two three')) words.push(word);
    expect(words).to.deep.equal(['one', 'two', 'three']);
    const talk = client.talk();
    talk.write('hey');
    expect(await once(talk, 'data')).to.deep.equal(['hey!']);
    talk.end();
    await once(talk, 'end');
    expect(credentials.lastFailure).to.equal(undefined);
    expect(echo.calls).to.have.length(4);
    for (const call of echo.calls) {
      const { id, chain } = peerOf(call);
      expect(id.toString()).to.equal(AGENT);
      expect(chain[0]).to.deep.equal(pair.agent.x509.svid().certificates[0]);
      expect(peerIfAny(call)).to.equal(peerOf(call));
    }
  });

  it('keeps a stream while the SVIDs of both ends rotate, and presents the new one on the next connection', async () => {
    await using echo = await EchoServer.open(pair.tools, { allow: AGENT });
    using credentials = createChannelCredentials(pair.agent, { peer: TOOLS });
    using client = new EchoClient(echo.target, credentials);
    const talk = client.talk();
    talk.write('before');
    expect(await once(talk, 'data')).to.deep.equal(['before!']);
    const old = pair.agent.x509.svid();
    const renewed = [pair.agent, pair.tools].map((workload) => {
      const { serialNumber } = workload.x509.svid();
      return nextState(workload, ({ svid }) => svid?.serialNumber !== serialNumber);
    });
    pair.api.rotateSvids();
    await Promise.all(renewed);
    talk.write('after');
    expect(await once(talk, 'data')).to.deep.equal(['after!']);
    talk.end();
    await once(talk, 'end');

    using others = createChannelCredentials(pair.agent, { peer: TOOLS });
    using second = new EchoClient(echo.target, others);
    await second.unary('again');
    const shown = echo.calls.map((call) => peerOf(call).chain[0]);
    expect(shown[0]).to.deep.equal(old.certificates[0]);
    expect(shown[1]).to.deep.equal(pair.agent.x509.svid().certificates[0]);
  });

  it('refuses calls while another than the peer answers, and says why', async () => {
    await using echo = await EchoServer.open(pair.tools, { allow: AGENT });
    using credentials = createChannelCredentials(pair.agent, { peer: AGENT });
    using client = new EchoClient(echo.target, credentials);
    const { code, details } = await failureOf(client.unary('you'));
    expect(code).to.equal(status.UNAVAILABLE);
    expect(details).to.include(`refused the server at ${echo.target}`).and.include(TOOLS);
    expect(details).to.include('[ERR_SPIFFE_PEER_NOT_ALLOWED]');
    expect(credentials.lastFailure).to.include({ code: 'ERR_SPIFFE_PEER_NOT_ALLOWED' });
    expect(echo.calls).to.deep.equal([]);
  });

  it('tells a client that the server does not let in what to look for', async () => {
    await using echo = await EchoServer.open(pair.tools, { allow: 'spiffe://example.org/other' });
    using credentials = createChannelCredentials(pair.agent, { peer: TOOLS });
    using client = new EchoClient(echo.target, credentials);
    const { code, details } = await failureOf(client.unary('you'));
    expect(code).to.equal(status.UNAVAILABLE);
    expect(details).to.include('[ERR_SPIFFE_REFUSED_BY_PEER]').and.include(AGENT);
    expect(echo.calls).to.deep.equal([]);
  });
});

describe('gRPC, when the trust under a connection goes', () => {
  const ca = TestCa.create('example.org');
  const partner = TestCa.create('partner.example');
  const THEIRS = 'spiffe://partner.example/agent';

  const losses = [
    { title: 'identity is withdrawn', change: { state: 'revoked' } },
    { title: 'source is closed', change: { state: 'closed' } },
    {
      title: 'peer’s trust domain leaves the bundles',
      change: { bundles: staticVerifier().x509.bundles },
    },
  ] as const;
  for (const end of ['client', 'server'] as const) {
    for (const { title, change } of losses) {
      it(`ends the streams of the ${end} whose ${title}, and lets no further call through`, async () => {
        const server = staticIdentity(ca, TOOLS, [partner]);
        const client = staticIdentity(partner, THEIRS, [ca]);
        await using echo = await EchoServer.open(server, { allow: THEIRS });
        using credentials = createChannelCredentials(client, { peer: TOOLS });
        using stub = new EchoClient(echo.target, credentials);
        const held = stub.download('hold');
        expect(await once(held, 'data')).to.deep.equal(['hold']);
        const cut = once(echo.events, 'cancelled');
        const ended = once(held, 'error') as Promise<[ServiceError]>;
        (end === 'client' ? client : server).x509.set(change);
        const [error] = await ended;
        await cut;
        expect(error.code, error.details).to.equal(status.UNAVAILABLE);
        if (end === 'client')
          expect(error.details).to.include(TOOLS).and.include('[ERR_SPIFFE_TRUST_WITHDRAWN]');
        expect((await failureOf(stub.unary('more'))).code).to.equal(status.UNAVAILABLE);
        expect(echo.calls).to.have.length(1);
      });
    }
  }

  it('serves again on the same channel once the identity is back', async () => {
    const server = staticIdentity(ca, TOOLS);
    const client = staticIdentity(ca, AGENT);
    const { svids, bundles } = { svids: client.x509.svids(), bundles: client.x509.bundles };
    await using echo = await EchoServer.open(server, { allow: AGENT });
    using credentials = createChannelCredentials(client, { peer: TOOLS });
    using stub = new EchoClient(echo.target, credentials, {
      'grpc.initial_reconnect_backoff_ms': 100,
    });
    await stub.unary('one');
    const [call] = echo.calls;
    client.x509.set({ state: 'revoked' });
    const { code, details } = await failureOf(stub.unary('two'));
    expect(code).to.equal(status.UNAVAILABLE);
    expect(details).to.match(/SVID_REVOKED|TRUST_WITHDRAWN/);
    expect(call && peerOf(call).id.toString(), 'known after the end').to.equal(AGENT);
    client.x509.set({ state: 'ready', svids, bundles });
    await new Promise<void>((resolve, reject) => {
      stub.waitForReady(Date.now() + 5000, (error) => (error ? reject(error) : resolve()));
    });
    expect(await stub.unary('three')).to.equal('hello three');
  });

  it('closes an idle connection with its client, and lets a call in flight end', async () => {
    await using echo = await EchoServer.open(staticIdentity(ca, TOOLS), { allow: AGENT });
    const me = staticIdentity(ca, AGENT);
    const accepted = once(echo.port, 'secureConnection') as Promise<[Socket]>;
    using client = new EchoClient(echo.target, createChannelCredentials(me, { peer: TOOLS }));
    const talk = client.talk();
    talk.write('before');
    expect(await once(talk, 'data')).to.deep.equal(['before!']);
    const closed = once((await accepted)[0], 'close');
    client.close();
    talk.write('after');
    expect(await once(talk, 'data')).to.deep.equal(['after!']);
    talk.end();
    talk.resume();
    await Promise.all([once(talk, 'end'), closed]);
  });

  it('closes every connection at once with its credentials, and makes no other', async () => {
    await using echo = await EchoServer.open(staticIdentity(ca, TOOLS), { allow: AGENT });
    const credentials = createChannelCredentials(staticIdentity(ca, AGENT), { peer: TOOLS });
    using client = new EchoClient(echo.target, credentials);
    const held = client.download('hold');
    await once(held, 'data');
    const cut = once(echo.events, 'cancelled');
    const ended = once(held, 'error');
    credentials.close();
    await Promise.all([cut, ended]);
    const { details } = await failureOf(client.unary('more'));
    expect(details).to.include('[ERR_SPIFFE_SOURCE_CLOSED]');
    expect(echo.calls).to.have.length(1);
  });

  it('shares no connection between credentials of two rules', async () => {
    await using echo = await EchoServer.open(staticIdentity(ca, TOOLS), { allow: AGENT });
    const client = staticIdentity(ca, AGENT);
    using right = createChannelCredentials(client, { peer: TOOLS });
    using wrong = createChannelCredentials(client, { peer: 'spiffe://example.org/other' });
    using first = new EchoClient(echo.target, right);
    using second = new EchoClient(echo.target, wrong);
    expect(await first.unary('you')).to.equal('hello you');
    expect((await failureOf(second.unary('you'))).details).to.include('PEER_NOT_ALLOWED');
    expect(echo.calls).to.have.length(1);
  });
});

describe('a gRPC client without an SVID', () => {
  const ca = TestCa.create('example.org');

  it('is served where UNAUTHENTICATED_CLIENTS are allowed, and is nobody there', async () => {
    await using echo = await EchoServer.open(staticIdentity(ca, TOOLS), {
      allow: UNAUTHENTICATED_CLIENTS,
    });
    using credentials = createChannelCredentials(staticVerifier(ca), { peer: TOOLS });
    using client = new EchoClient(echo.target, credentials);
    expect(await client.unary('you')).to.equal('hello you');
    const [call] = echo.calls;
    if (call === undefined) throw new Error('it was not called');
    expect(peerIfAny(call)).to.equal(undefined);
    refusal('ERR_SPIFFE_PEER_NO_CERTIFICATE', 'peerIfAny', () => peerOf(call));
  });

  it('is refused elsewhere', async () => {
    await using echo = await EchoServer.open(staticIdentity(ca, TOOLS), { allow: AGENT });
    using credentials = createChannelCredentials(staticVerifier(ca), { peer: TOOLS });
    using client = new EchoClient(echo.target, credentials);
    expect((await failureOf(client.unary('you'))).code).to.equal(status.UNAVAILABLE);
    expect(echo.calls).to.deep.equal([]);
  });
});
