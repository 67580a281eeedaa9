import { once } from 'node:events';
import { createServer as createPlainServer, get, type IncomingMessage } from 'node:http';
import { createSecureServer, type Http2ServerRequest, connect as http2Connect } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { type PeerRule, SpiffeId } from 'agent-spiffe';
import { createFetch, peerOf, protect, requirePeer } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { capturePeer } from '#lib/identity/peer.js';
import { connect } from '#lib/tls/connect.js';
import { parseRule } from '#lib/tls/rule.js';
import { httpService } from '../../support/http-service.js';
import { listen } from '../../support/listen.js';
import { memoryLogger } from '../../support/memory-logger.js';
import { refusal } from '../../support/refusal.js';
import { staticIdentity } from '../../support/static-identity.js';

const ca = TestCa.create('example.org');
const TOOLS = 'spiffe://example.org/tools';
const ADMIN = 'spiffe://example.org/admin';
const AGENT = 'spiffe://example.org/agent';
const ALL = 'spiffe://example.org/**';

describe('peerOf', () => {
  it('refuses what did not pass a gate', () => {
    refusal('ERR_SPIFFE_PEER_UNKNOWN', 'did not pass a gate', () => peerOf(new PassThrough()));
  });

  it('refuses a request that came without TLS', async () => {
    const server = createPlainServer((request, response) => {
      refusal('ERR_SPIFFE_PEER_UNKNOWN', 'did not pass a gate', () => peerOf(request));
      response.end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const [response] = (await once(
      get({ port: (server.address() as AddressInfo).port, agent: false }),
      'response',
    )) as [{ resume(): void }];
    response.resume();
    server.close();
    await once(server, 'close');
  });

  it('reads the peer from a request, its socket and its response alike, on http2 until the session ends', async () => {
    const server = createSecureServer();
    protect(server, staticIdentity(ca, TOOLS), { allow: AGENT });
    const port = await listen(server);
    const socket = await connect(staticIdentity(ca, AGENT), {
      host: '127.0.0.1',
      port,
      rule: parseRule(TOOLS),
      alpn: ['h2'],
    });
    const session = http2Connect(`https://127.0.0.1:${port}`, { createConnection: () => socket });
    const answered = once(server, 'request');
    const stream = session.request({ ':path': '/' });
    const [request] = (await answered) as [Http2ServerRequest];
    for (const carrier of [request, request.socket, request.stream])
      expect(peerOf(carrier).id.toString()).to.equal(AGENT);
    const { stream: inner } = request;
    const proxies = [request.socket, inner.session?.socket ?? request.socket];
    stream.on('error', () => {});
    session.destroy();
    await once(inner, 'close');
    await new Promise((resolve) => setImmediate(resolve));
    for (const proxy of proxies)
      refusal('ERR_SPIFFE_PEER_UNKNOWN', 'connection is gone', () => peerOf(proxy));
    server.close();
    await once(server, 'close');
  });
});

async function ask(rule: PeerRule, as: string, logger = memoryLogger()) {
  const narrow = requirePeer(rule, { logger });
  let reached = 0;
  const service = await httpService(staticIdentity(ca, TOOLS), ALL, (request, response) => {
    narrow(request, response, () => {
      reached += 1;
      response.end('in');
    });
  });
  await using fetch = createFetch(staticIdentity(ca, as), { peers: { [service.origin]: TOOLS } });
  const response = await fetch(service.origin);
  const outcome = { status: response.status, body: await response.text(), reached };
  await fetch.close();
  await service.close();
  return outcome;
}

describe('requirePeer', () => {
  it('lets through the peers that meet the rule', async () => {
    expect(await ask(ADMIN, ADMIN)).to.deep.equal({ status: 200, body: 'in', reached: 1 });
  });

  it('answers all others with a 403 that does not say who would be let through', async () => {
    const logger = memoryLogger();
    const outcome = await ask(ADMIN, AGENT, logger);
    expect(outcome).to.deep.equal({ status: 403, body: 'Forbidden\n', reached: 0 });
    expect(logger.at('warn').map(({ fields }) => fields['peer'])).to.deep.equal([AGENT]);
  });

  for (const [title, rule] of [
    [
      'throws',
      () => {
        throw new TypeError('broken');
      },
    ],
    ['answers with a promise', (() => Promise.resolve(true)) as unknown as () => boolean],
  ] as ReadonlyArray<readonly [string, PeerRule]>) {
    it(`takes a rule that ${title} for a no`, async () => {
      const logger = memoryLogger();
      const outcome = await ask(rule, ADMIN, logger);
      expect(outcome).to.include({ status: 403, reached: 0 });
      expect(logger.at('warn').length).to.equal(1);
    });
  }

  it('takes a request that came without TLS for a no', () => {
    const narrow = requirePeer(ADMIN);
    const headers: string[] = [];
    const response = {
      statusCode: 200,
      setHeader: (name: string) => headers.push(name),
      end: () => {},
    };
    narrow(new PassThrough() as unknown as IncomingMessage, response, () => expect.fail('reached'));
    expect(response.statusCode).to.equal(403);
    expect(headers).to.deep.equal(['content-type']);
  });

  it('passes on what the next handler throws', () => {
    const request = new PassThrough();
    capturePeer(request, { id: SpiffeId.parse(ADMIN), chain: [] });
    const cause = new RangeError('mine');
    const respond = { statusCode: 200, setHeader: () => {}, end: () => expect.fail('ended') };
    expect(() =>
      requirePeer(ADMIN)(request as unknown as IncomingMessage, respond, () => {
        throw cause;
      }),
    ).to.throw(cause);
  });

  it('refuses a bad rule when it is given', () => {
    refusal('ERR_SPIFFE_PEER_RULE_INVALID', '"admin"', () => requirePeer('admin'));
  });
});
