import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { get, type Server } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { inspect } from 'node:util';
import { createServer, peerOf } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { capturePeer } from '#lib/identity/peer.js';
import { writePem } from '#lib/internal/pem.js';
import { connect } from '#lib/tls/connect.js';
import { secureContextOf, secureContextOptions, webContextOf } from '#lib/tls/context.js';
import { parseRule, parseWebRule, type WebRule } from '#lib/tls/rule.js';
import { listen } from '../support/listen.js';
import { rejection } from '../support/rejection.js';
import { staticIdentity } from '../support/static-identity.js';

const ca = TestCa.create('example.org');
const TOOLS = 'spiffe://example.org/tools';
const AGENT = 'spiffe://example.org/agent';
const rule = parseRule(TOOLS);
const host = '127.0.0.1';

async function ask(socket: TLSSocket): Promise<string> {
  const request = get({ createConnection: () => socket, host: 'tools', path: '/' });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return await text(response);
}

const timers = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

describe('connect', () => {
  const tools = staticIdentity(ca, TOOLS);
  let server: Server;
  let port = 0;
  before(async () => {
    server = createServer(tools, { allow: AGENT }, (request, response) => {
      const { id, chain } = peerOf(request);
      response.end(`${id} ${Buffer.from(chain[0] ?? []).toString('base64')}`);
    });
    port = await listen(server);
  });
  after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  it('gives a socket on which both ends are verified', async () => {
    const agent = staticIdentity(ca, AGENT);
    const socket = await connect(agent, { host, port, rule });
    expect(peerOf(socket).id.toString()).to.equal(TOOLS);
    const leaf = tools.x509.svid().certificates[0];
    expect(peerOf(socket).chain[0]).to.deep.equal(Buffer.from(leaf ?? []));
    expect(peerOf(socket).chain.at(-1)).to.deep.equal(ca.bundle.authorities[0]);
    expect(await ask(socket)).to.match(/^spiffe:\/\/example\.org\/agent /);
  });

  it('presents the newest SVID each time', async () => {
    const agent = staticIdentity(ca, AGENT);
    for (const svid of [agent.x509.svid(), ca.issue(AGENT), ca.issue(AGENT)]) {
      agent.x509.set({ svids: [svid] });
      const socket = await connect(agent, { host, port, rule });
      const leaf = Buffer.from(svid.certificates[0] ?? []).toString('base64');
      expect(await ask(socket)).to.equal(`${AGENT} ${leaf}`);
    }
  });

  it('judges by the newest bundles each time', async () => {
    const agent = staticIdentity(TestCa.create('other.example'), 'spiffe://other.example/agent');
    await rejection('ERR_SPIFFE_BUNDLE_NOT_FOUND', connect(agent, { host, port, rule }));
    agent.x509.set({ bundles: tools.x509.bundles });
    const socket = await connect(agent, { host, port, rule });
    expect(peerOf(socket).id.toString()).to.equal(TOOLS);
    socket.destroy();
  });

  it('keeps the peer where nobody can change or list it', async () => {
    const socket = await connect(staticIdentity(ca, AGENT), { host, port, rule });
    const peer = peerOf(socket);
    expect(() => capturePeer(socket, { ...peer })).to.throw(TypeError);
    expect([peer, peer.chain].every(Object.isFrozen)).to.equal(true);
    expect(Object.keys(socket)).to.not.include('peer');
    expect(inspect(socket, { depth: 8, showHidden: true })).to.not.include('PRIVATE KEY');
    socket.destroy();
  });

  it('fails with the code of the source while there is no SVID, and touches no network', async () => {
    const agent = staticIdentity(ca, AGENT);
    agent.x509.set({ state: 'revoked' });
    const nowhere = { host: '256.256.256.256', port: 1, rule };
    await rejection('ERR_SPIFFE_SVID_REVOKED', connect(agent, nowhere));
  });

  it('rejects with the reason of a signal that is aborted before', async () => {
    const reason = new RangeError('mine');
    const signal = AbortSignal.abort(reason);
    const outcome = connect(staticIdentity(ca, AGENT), { host, port, rule, signal });
    expect(await outcome.catch((error: unknown) => error)).to.equal(reason);
  });

  it('rejects with the reason of a signal that is aborted meanwhile, and hangs up', async () => {
    const silent = createTcpServer();
    const controller = new AbortController();
    const reason = new RangeError('mine');
    const at = { host, port: await listen(silent), rule, signal: controller.signal };
    const outcome = connect(staticIdentity(ca, AGENT), at);
    const [accepted] = (await once(silent, 'connection')) as [TLSSocket];
    controller.abort(reason);
    expect(await outcome.catch((error: unknown) => error)).to.equal(reason);
    await once(accepted.resume(), 'close');
    silent.close();
  });

  it('lets a connection live on when the signal is aborted after it was made', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const socket = await connect(staticIdentity(ca, AGENT), { host, port, rule, signal });
    controller.abort();
    expect(await ask(socket)).to.include(AGENT);
  });

  it('leaves no timer behind', async () => {
    const { key = '', cert = '' } = secureContextOptions(tools.x509.svid());
    const echo = createTlsServer({ key, cert }, (socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.write('x'));
    });
    const at = { host, port: await listen(echo), rule };
    const before = timers();
    const socket = await connect(staticIdentity(ca, AGENT), at);
    socket.write('x');
    await once(socket, 'data');
    expect(timers()).to.equal(before);
    socket.destroy();
    echo.close();
    await once(echo, 'close');
  });

  it('survives an error on a connection that nobody listens to', async () => {
    const socket = await connect(staticIdentity(ca, AGENT), { host, port, rule });
    socket.destroy(new Error('unheard'));
    await new Promise((resolve) => socket.once('close', resolve));
  });

  it('sends the host as SNI, another name when told, and no name for an address', async () => {
    const names: unknown[] = [];
    const { key = '', cert = '' } = secureContextOptions(tools.x509.svid());
    const named = createTlsServer({ key, cert, ALPNProtocols: ['a', 'b'] }, (socket) => {
      names.push([socket.servername, socket.alpnProtocol]);
      socket.on('error', () => {}).resume();
    });
    const at = { port: await listen(named), rule };
    const agent = staticIdentity(ca, AGENT);
    for (const options of [
      { host: 'localhost' },
      { host: 'localhost', servername: 'tools.example' },
      { host, alpn: ['b'] },
    ]) {
      const socket = await connect(agent, { ...at, ...options });
      socket.end();
      await once(socket.resume(), 'close').catch(() => {});
    }
    named.close();
    await once(named, 'close');
    expect(names).to.deep.equal([
      ['localhost', false],
      ['tools.example', false],
      [false, 'b'],
    ]);
  });

  it('writes an IPv6 address in brackets where it tells of it', async () => {
    const gone = createTcpServer();
    gone.listen(0, '::1');
    await once(gone, 'listening');
    const { port: free } = gone.address() as { port: number };
    await new Promise((resolve) => gone.close(resolve));
    const outcome = connect(staticIdentity(ca, AGENT), { host: '::1', port: free, rule });
    const error = await rejection('ERR_SPIFFE_CONNECT_FAILED', outcome);
    expect(error.message).to.include(`[::1]:${free}`);
  });

  it('says that a host was not reached when not even its TCP answered in time', async () => {
    const at = { host, port, rule, timeoutMs: 1 };
    const [attempt] = await new Promise<readonly [Promise<unknown>]>((resolve) => {
      // After this phase of the event loop come its timers, and only then what happened on sockets.
      setImmediate(() => {
        resolve([connect(staticIdentity(ca, AGENT), at)]);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
      });
    });
    const error = await rejection('ERR_SPIFFE_CONNECT_FAILED', attempt);
    expect(error.message).to.include('not reached within 1 ms');
  });

  it('refuses a server that speaks TLS 1.1 alone', async () => {
    const { key = '', cert = '' } = secureContextOptions(tools.x509.svid());
    const old = createTlsServer({
      key,
      cert,
      minVersion: 'TLSv1.1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    const at = { host, port: await listen(old), rule };
    await rejection('ERR_SPIFFE_HANDSHAKE_FAILED', connect(staticIdentity(ca, AGENT), at));
    old.close();
    await once(old, 'close');
  });
});

describe('the context in which an SVID is presented', () => {
  it('is made once for each SVID', () => {
    const [one, two] = [ca.issue(AGENT), ca.issue(AGENT)];
    expect(secureContextOf(one)).to.equal(secureContextOf(one));
    expect(secureContextOf(one)).to.not.equal(secureContextOf(two));
  });

  it('is made once for each rule about the web, in which reading the roots takes long', () => {
    const [one, two] = [ca, TestCa.create('other.org')].map(({ bundle }) =>
      parseWebRule(bundle.authorities.map((der) => writePem(der, 'CERTIFICATE'))),
    ) as [WebRule, WebRule];
    expect(webContextOf(one)).to.equal(webContextOf(one));
    expect(webContextOf(one)).to.not.equal(webContextOf(two));
  });

  it('trusts none of the roots of the web', () => {
    expect(secureContextOptions(ca.issue(AGENT)).ca).to.deep.equal([]);
  });
});
