import { once } from 'node:events';
import { type ServiceError, status } from '@grpc/grpc-js';
import { Workload } from 'agent-spiffe';
import { createChannelCredentials, peerOf } from 'agent-spiffe/grpc';
import { expect } from 'chai';
import { EchoClient, EchoServer, failureOf } from '../support/grpc.js';
import { describeSpire, TestSpire } from '../support/spire.js';

const AGENT = 'spiffe://example.org/agents/researcher';
const SEARCH = 'spiffe://example.org/tools/search';

describeSpire('real SPIRE: gRPC', () => {
  let spire: TestSpire;
  before(async () => {
    spire = await TestSpire.start();
  });
  after(() => spire.close());

  it('carries calls and streams between two workloads, until the entry of one is deleted', async () => {
    const entry = await spire.createEntry({ spiffeId: AGENT, hint: 'agent' });
    await spire.createEntry({ spiffeId: SEARCH, hint: 'search' });
    await using agent = await Workload.open({ address: spire.address, pick: 'agent' });
    await using search = await Workload.open({ address: spire.address, pick: 'search' });
    await using echo = await EchoServer.open(search, { allow: AGENT });
    using credentials = createChannelCredentials(agent, { peer: SEARCH, jwtAudience: 'search' });
    using client = new EchoClient(echo.target, credentials);
    expect(await client.unary('you')).to.equal('hello you');
    const [call] = echo.calls;
    if (call === undefined) throw new Error('it was not called');
    expect(peerOf(call).id.toString()).to.equal(AGENT);
    const token = String(call.metadata.get('authorization')[0]).replace(/^Bearer /, '');
    const { id } = await search.jwt.verify(token, { audience: 'search' });
    expect(id.toString()).to.equal(AGENT);

    const held = client.download('hold');
    await once(held, 'data');
    const cut = once(echo.events, 'cancelled');
    const ended = once(held, 'error') as Promise<[ServiceError]>;
    await spire.deleteEntry(entry);
    const [[error]] = await Promise.all([ended, cut]);
    expect(error.code).to.equal(status.UNAVAILABLE);
    expect(error.details).to.include('[ERR_SPIFFE_TRUST_WITHDRAWN]');
    expect((await failureOf(client.unary('more'))).code).to.equal(status.UNAVAILABLE);
  });
});
