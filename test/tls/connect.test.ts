import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { text } from 'node:stream/consumers';
import { createServer, peerOf } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { connect } from '#lib/tls/connect.js';
import { parseRule } from '#lib/tls/rule.js';
import { listen } from '../support/listen.js';
import { staticIdentity } from '../support/static-identity.js';

describe('connect', () => {
  it('gives a socket on which both ends are verified', async () => {
    const ca = TestCa.create('example.org');
    const tools = staticIdentity(ca, 'spiffe://example.org/tools');
    const agent = staticIdentity(ca, 'spiffe://example.org/agent');
    const server = createServer(tools, { allow: 'spiffe://example.org/agent' }, (req, res) => {
      res.end(`hello ${peerOf(req).id}`);
    });
    const port = await listen(server);
    const socket = await connect(agent, {
      host: '127.0.0.1',
      port,
      rule: parseRule('spiffe://example.org/tools'),
    });
    expect(String(peerOf(socket).id)).to.equal('spiffe://example.org/tools');
    const request = get({ createConnection: () => socket, host: 'tools', path: '/' });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    expect(await text(response)).to.equal('hello spiffe://example.org/agent');
    socket.destroy();
    server.close();
    await once(server, 'close');
  });
});
