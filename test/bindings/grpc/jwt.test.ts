import { Metadata, status } from '@grpc/grpc-js';
import { SpiffeError } from 'agent-spiffe';
import { createChannelCredentials } from 'agent-spiffe/grpc';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { EchoClient, EchoServer, failureOf } from '../../support/grpc.js';
import { refusal } from '../../support/refusal.js';
import { staticIdentity } from '../../support/static-identity.js';
import { jwtIdentity } from '../../support/static-jwt.js';

const AGENT = 'spiffe://example.org/agents/researcher';
const TOOLS = 'spiffe://example.org/tools/search';
const ca = TestCa.create('example.org');

describe('JWT-SVIDs over gRPC', () => {
  let echo: EchoServer;
  beforeEach(async () => {
    echo = await EchoServer.open(staticIdentity(ca, TOOLS), { allow: AGENT });
  });
  afterEach(() => echo[Symbol.asyncDispose]());

  it('go with each call as metadata `authorization: Bearer`, as new as the source has them (JWT-22, JWT-23)', async () => {
    const me = jwtIdentity(ca, AGENT);
    using credentials = createChannelCredentials(me, { peer: TOOLS, jwtAudience: 'search' });
    using client = new EchoClient(echo.target, credentials);
    expect(await client.unary('one')).to.equal('hello one');
    expect(await client.upload(['a', 'b'])).to.equal('a+b');
    const tokens = echo.calls.map(({ metadata }) => metadata.get('authorization'));
    expect(tokens).to.have.length(2);
    for (const values of tokens) {
      expect(values).to.have.length(1);
      const [scheme, token = '', ...rest] = String(values[0]).split(' ');
      expect([scheme, ...rest]).to.deep.equal(['Bearer']);
      const { id, audience } = await me.jwt.verify(token, { audience: 'search' });
      expect(id.toString()).to.equal(AGENT);
      expect(audience).to.deep.equal(['search']);
    }
    expect(me.jwt.asked.map((asked) => asked.audience)).to.deep.equal(['search', 'search']);
  });

  it('are not asked for while another than the peer answers', async () => {
    const me = jwtIdentity(ca, AGENT);
    using credentials = createChannelCredentials(me, { peer: AGENT, jwtAudience: 'search' });
    using client = new EchoClient(echo.target, credentials);
    expect((await failureOf(client.unary('one'))).details).to.include('PEER_NOT_ALLOWED');
    expect(me.jwt.asked).to.deep.equal([]);
  });

  it('are left out without jwtAudience', async () => {
    const me = jwtIdentity(ca, AGENT);
    using credentials = createChannelCredentials(me, { peer: TOOLS });
    using client = new EchoClient(echo.target, credentials);
    await client.unary('one');
    expect(echo.calls[0]?.metadata.get('authorization')).to.deep.equal([]);
    expect(me.jwt.asked).to.deep.equal([]);
  });

  it('stand in the way of an authorization of the call’s own, which then fails and is not sent', async () => {
    using credentials = createChannelCredentials(jwtIdentity(ca, AGENT), {
      peer: TOOLS,
      jwtAudience: 'search',
    });
    using client = new EchoClient(echo.target, credentials);
    const metadata = new Metadata();
    metadata.set('authorization', 'Bearer mine');
    const { code, details } = await failureOf(client.unary('one', metadata));
    expect(code).to.equal(status.INTERNAL);
    expect(details).to.include('authorization');
    // By now the first would have come.
    await client.unary('two');
    expect(echo.calls).to.have.length(1);
    expect(echo.calls[0]?.metadata.get('authorization')).to.have.length(1);
  });

  it('fail the call as UNAVAILABLE when there is none to be had, and it is not sent', async () => {
    const me = jwtIdentity(ca, AGENT);
    me.jwt.give = () =>
      Promise.reject(new SpiffeError('ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE', 'nobody answers'));
    using credentials = createChannelCredentials(me, { peer: TOOLS, jwtAudience: 'search' });
    using client = new EchoClient(echo.target, credentials);
    const { code, details } = await failureOf(client.unary('one'));
    expect(code).to.equal(status.UNAVAILABLE);
    expect(details).to.include('nobody answers [ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE]');
    expect(echo.calls).to.deep.equal([]);
  });

  it('need an identity that gives them, and the name of one service', () => {
    const code = 'ERR_SPIFFE_OPTION_INVALID';
    const plain = staticIdentity(ca, AGENT);
    refusal(code, 'no JWT-SVID to give', () =>
      createChannelCredentials(plain, { peer: TOOLS, jwtAudience: 'search' }),
    );
    for (const jwtAudience of ['', ['a', 'b']]) {
      refusal(code, 'jwtAudience', () =>
        createChannelCredentials(jwtIdentity(ca, AGENT), {
          peer: TOOLS,
          jwtAudience: jwtAudience as string,
        }),
      );
    }
  });
});
