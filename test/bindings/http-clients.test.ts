import { createFetch, createServer, peerOf } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { listen } from '../support/listen.js';
import { staticIdentity } from '../support/static-identity.js';

describe('createFetch', () => {
  it('calls the peer that is named for the origin', async () => {
    const ca = TestCa.create('example.org');
    const tools = staticIdentity(ca, 'spiffe://example.org/tools');
    const agent = staticIdentity(ca, 'spiffe://example.org/agent');
    const server = createServer(tools, { allow: 'spiffe://example.org/agent' }, (req, res) => {
      res.end(`hello ${peerOf(req).id}`);
    });
    const origin = `https://127.0.0.1:${await listen(server)}`;
    await using fetch = createFetch(agent, { peers: { [origin]: 'spiffe://example.org/tools' } });
    const response = await fetch(`${origin}/x`);
    expect(await response.text()).to.equal('hello spiffe://example.org/agent');
    await fetch.close();
    server.close();
  });
});
