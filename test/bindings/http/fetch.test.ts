import { once } from 'node:events';
import { createServer as createPlainServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text as textOf } from 'node:stream/consumers';
import type { BoundFetch } from 'agent-spiffe';
import { createFetch, type FetchInit, peerOf } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { type HttpService, httpService } from '../../support/http-service.js';
import { refusal } from '../../support/refusal.js';
import { rejection } from '../../support/rejection.js';
import { staticIdentity } from '../../support/static-identity.js';

const ca = TestCa.create('example.org');
const TOOLS = 'spiffe://example.org/tools';
const MAIL = 'spiffe://example.org/mail';
const AGENT = 'spiffe://example.org/agent';

describe('createFetch', () => {
  const tools = staticIdentity(ca, TOOLS);
  const mail = staticIdentity(ca, MAIL);
  const seen: { url: string; method: string; headers: IncomingMessage['headers']; body: string }[] =
    [];
  let service: HttpService;
  let mailService: HttpService;
  let plainHits = 0;
  const plain = createPlainServer((_request, response) => {
    plainHits += 1;
    response.end('plain');
  });
  let plainOrigin = '';

  before(async () => {
    service = await httpService(tools, AGENT, async (request, response) => {
      const url = request.url ?? '';
      const body = await textOf(request);
      seen.push({ url, method: request.method ?? '', headers: request.headers, body });
      const to = new URL(url, service.origin).searchParams.get('to');
      if (to !== null) {
        response.writeHead(Number(url.slice(1, 4)), { location: to });
        response.end('moved');
        return;
      }
      response.end(`tools to ${peerOf(request).id}`);
    });
    mailService = await httpService(mail, AGENT, async (request, response) => {
      const body = await textOf(request);
      seen.push({ url: 'mail', method: request.method ?? '', headers: request.headers, body });
      response.end(`mail to ${peerOf(request).id}`);
    });
    plain.listen(0, '127.0.0.1');
    await once(plain, 'listening');
    plainOrigin = `http://127.0.0.1:${(plain.address() as AddressInfo).port}`;
  });
  beforeEach(() => {
    seen.length = 0;
    plainHits = 0;
  });
  after(async () => {
    await service.close();
    await mailService.close();
    plain.close();
    await once(plain, 'close');
  });

  const agent = () => staticIdentity(ca, AGENT);
  const bound = () =>
    createFetch(agent(), { peers: { [service.origin]: TOOLS, [mailService.origin]: MAIL } });
  const toolsOnly = () => createFetch(agent(), { peers: { [service.origin]: TOOLS } });

  const via = (status: number, to: string): string =>
    `${service.origin}/${status}?to=${encodeURIComponent(to)}`;

  it('calls each origin as the peer that is named for it, from one end to the other', async () => {
    await using fetch = bound();
    const response = await fetch(`${service.origin}/x`, { method: 'POST', body: 'hello' });
    expect(response.status).to.equal(200);
    expect(await response.text()).to.equal(`tools to ${AGENT}`);
    expect(seen[0]).to.include({ url: '/x', method: 'POST', body: 'hello' });
    expect(await (await fetch(new URL(mailService.origin))).text()).to.equal(`mail to ${AGENT}`);
  });

  it('is a BoundFetch, which code above this ring is handed', async () => {
    await using fetch = bound();
    const handed: BoundFetch = fetch;
    expect(handed.peerRule(service.origin)).to.equal(TOOLS);
    const init = { method: 'POST', headers: { a: 'b' }, body: new Uint8Array([104, 105]) };
    const response = await handed(service.origin, init);
    expect(response.ok).to.equal(true);
    expect(response.headers.get('content-length')).to.be.a('string');
    expect(seen[0]?.body).to.equal('hi');
  });

  it('uses a connection again', async () => {
    const before = service.connections.length;
    const pool = { connections: 1 };
    await using fetch = createFetch(agent(), { peers: { [service.origin]: TOOLS }, pool });
    for (let at = 0; at < 3; at += 1) await (await fetch(service.origin)).text();
    expect(service.connections.length - before).to.equal(1);
  });

  it('refuses an authorised peer that answers at the address of another, and sends it nothing', async () => {
    const swapped = { [service.origin]: MAIL, [mailService.origin]: TOOLS };
    await using fetch = createFetch(agent(), { peers: swapped });
    const sent = fetch(service.origin, { headers: { authorization: 'Bearer for-mail' } });
    const error = await rejection('ERR_SPIFFE_PEER_NOT_ALLOWED', sent);
    expect(error.message).to.include(`expected ${MAIL}, but it is ${TOOLS}`);
    expect(seen).to.deep.equal([]);
  });

  it('refuses an origin that is not named, and one without TLS, before anything is sent', async () => {
    await using fetch = toolsOnly();
    const before = mailService.connections.length;
    await rejection('ERR_SPIFFE_TARGET_NOT_BOUND', fetch(mailService.origin));
    await rejection('ERR_SPIFFE_TARGET_INSECURE', fetch(plainOrigin));
    await rejection('ERR_SPIFFE_TARGET_INSECURE', fetch(service.origin.replace('https', 'http')));
    await rejection('ERR_SPIFFE_TARGET_INSECURE', fetch('data:text/plain,hello'));
    await rejection('ERR_SPIFFE_OPTION_INVALID', fetch('/search'));
    expect(mailService.connections.length).to.equal(before);
    expect(plainHits).to.equal(0);
  });

  it('takes no dispatcher for one request, which would go around the gate', async () => {
    await using fetch = toolsOnly();
    const init = { dispatcher: {} } as unknown as FetchInit;
    await rejection('ERR_SPIFFE_OPTION_INVALID', fetch(service.origin, init));
  });

  describe('and redirects', () => {
    for (const status of [301, 302, 303, 307, 308]) {
      it(`hands out a ${status} unless asked to follow it`, async () => {
        await using fetch = bound();
        const response = await fetch(via(status, mailService.origin));
        expect(response.status).to.equal(status);
        expect(response.headers.get('location')).to.equal(mailService.origin);
        expect(await response.text()).to.equal('moved');
        expect(seen.map(({ url }) => url)).to.not.include('mail');
      });

      it(`follows a ${status} to a peer that is named for its origin, when asked`, async () => {
        await using fetch = bound();
        const init = { redirect: 'follow', method: 'POST', body: 'hello' } as const;
        const response = await fetch(via(status, mailService.origin), init);
        expect(await response.text()).to.equal(`mail to ${AGENT}`);
        const kept = status === 307 || status === 308;
        expect(seen.at(-1)).to.include({
          url: 'mail',
          method: kept ? 'POST' : 'GET',
          body: kept ? 'hello' : '',
        });
      });

      it(`refuses a ${status} to http: and one to a peer that is not named, also when asked to follow`, async () => {
        await using fetch = toolsOnly();
        const init = { redirect: 'follow', method: 'POST', body: 'secret' } as const;
        const insecure = fetch(via(status, plainOrigin), init);
        const error = await rejection('ERR_SPIFFE_REDIRECT_REFUSED', insecure);
        expect(error.cause).to.have.property('code', 'ERR_SPIFFE_TARGET_INSECURE');
        const unnamed = fetch(via(status, mailService.origin), init);
        const second = await rejection('ERR_SPIFFE_REDIRECT_REFUSED', unnamed);
        expect(second.cause).to.have.property('code', 'ERR_SPIFFE_TARGET_NOT_BOUND');
        expect(second.message).to.include(mailService.origin);
        expect(plainHits).to.equal(0);
        expect(seen.map(({ url }) => url)).to.not.include('mail');
      });

      it(`fails on a ${status} when told that redirects are errors`, async () => {
        await using fetch = bound();
        const sent = fetch(via(status, mailService.origin), { redirect: 'error' });
        await rejection('ERR_SPIFFE_REDIRECT_REFUSED', sent);
        expect(seen.map(({ url }) => url)).to.not.include('mail');
      });
    }

    it('lets no credentials cross to another origin, and keeps them at their own', async () => {
      await using fetch = bound();
      const headers = { authorization: 'Bearer token', cookie: 'a=b', 'x-trace': '1' };
      const init = { redirect: 'follow', headers } as const;
      await (await fetch(via(307, `${service.origin}/here`), init)).text();
      expect(seen.at(-1)?.headers).to.include(headers);
      await (await fetch(via(307, mailService.origin), init)).text();
      expect(seen.at(-1)?.headers).to.include({ 'x-trace': '1' });
      expect(seen.at(-1)?.headers).to.not.have.any.keys('authorization', 'cookie');
    });

    it('verifies who answers at the end of a redirect', async () => {
      const peers = { [service.origin]: TOOLS, [mailService.origin]: TOOLS };
      await using fetch = createFetch(agent(), { peers, redirect: 'follow' });
      await rejection('ERR_SPIFFE_PEER_NOT_ALLOWED', fetch(via(307, mailService.origin)));
      expect(seen.map(({ url }) => url)).to.not.include('mail');
    });

    it('follow the mode of the whole where a request does not say', async () => {
      const peers = { [service.origin]: TOOLS, [mailService.origin]: MAIL };
      await using following = createFetch(agent(), { peers, redirect: 'follow' });
      const response = await following(via(302, mailService.origin));
      expect(await response.text()).to.equal(`mail to ${AGENT}`);
      const manual = await following(via(302, mailService.origin), { redirect: 'manual' });
      expect(manual.status).to.equal(302);
      await manual.text();
      await using failing = createFetch(agent(), { peers, redirect: 'error' });
      await rejection('ERR_SPIFFE_REDIRECT_REFUSED', failing(via(302, mailService.origin)));
      expect(await (await failing(service.origin)).text()).to.equal(`tools to ${AGENT}`);
    });

    it('hold up no connection when they are errors, however long their body is', async () => {
      const long = await httpService(tools, AGENT, (request, response) => {
        if (request.url === '/end') response.end('end');
        else response.writeHead(302, { location: '/end' }).end('x'.repeat(4_000_000));
      });
      const peers = { [long.origin]: TOOLS };
      await using fetch = createFetch(agent(), { peers, pool: { connections: 1 } });
      const sent = fetch(long.origin, { redirect: 'error' });
      await rejection('ERR_SPIFFE_REDIRECT_REFUSED', sent);
      expect(await (await fetch(`${long.origin}/end`)).text()).to.equal('end');
      await fetch.close();
      await long.close();
    });

    it('know no other mode', async () => {
      const redirect = 'sometimes' as 'manual';
      refusal('ERR_SPIFFE_OPTION_INVALID', 'sometimes', () =>
        createFetch(agent(), { peers: { [service.origin]: TOOLS }, redirect }),
      );
      await using fetch = bound();
      await rejection('ERR_SPIFFE_OPTION_INVALID', fetch(service.origin, { redirect }));
    });
  });

  it('rejects with the reason of the signal', async () => {
    await using fetch = toolsOnly();
    const reason = new RangeError('mine');
    const sent = fetch(service.origin, { signal: AbortSignal.abort(reason) });
    expect(await sent.catch((error: unknown) => error)).to.equal(reason);
  });

  it('refuses everything after close, also when nothing was sent before', async () => {
    const unused = toolsOnly();
    await unused.close();
    await rejection('ERR_SPIFFE_SOURCE_CLOSED', unused(service.origin));
    const used = toolsOnly();
    await (await used(service.origin)).text();
    await used.close();
    await used.close();
    await rejection('ERR_SPIFFE_SOURCE_CLOSED', used(service.origin));
  });

  it('leaves failures that are not ours as undici gives them', async () => {
    const broken = await httpService(tools, AGENT, (request) => {
      request.socket.destroy();
    });
    const peers = { [broken.origin]: TOOLS };
    await using fetch = createFetch(agent(), { peers, pool: { headersTimeout: 30 } });
    const hanging = await httpService(tools, AGENT, () => {});
    await using patient = createFetch(agent(), {
      peers: { [hanging.origin]: TOOLS },
      pool: { headersTimeout: 30 },
    });
    await rejection('ERR_SPIFFE_REFUSED_BY_PEER', fetch(broken.origin));
    const error: unknown = await patient(hanging.origin).catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(TypeError);
    expect((error as Error).cause).to.have.property('code', 'UND_ERR_HEADERS_TIMEOUT');
    await broken.close();
    await hanging.close();
  });

  it('takes only those options of undici that make no connections', () => {
    for (const name of ['connect', 'factory', 'socketPath', 'tls', 'interceptors', 'allowH2']) {
      const pool = { [name]: true } as object;
      refusal('ERR_SPIFFE_OPTION_INVALID', name, () =>
        createFetch(agent(), { peers: { 'https://a': TOOLS }, pool }),
      );
    }
  });
});
