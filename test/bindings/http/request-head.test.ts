import { once } from 'node:events';
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import type { JwtSvid, SpiffeError } from 'agent-spiffe';
import { createAgent, type PeerBinding } from 'agent-spiffe/http';
import { expect } from 'chai';
import { ca, held, ME, NotingServer, type Seen, TOOLS, tokenFor } from '../../support/jwt-http.js';
import { jwtIdentity, type StaticJwtIdentity } from '../../support/static-jwt.js';

const WANTED: PeerBinding = { id: TOOLS, jwtAudience: 'tools' };
const OWN = 'Bearer of-the-caller';

async function responseTo(sent: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return response;
}

function withBody(sent: ClientRequest): ClientRequest {
  sent.write('body');
  return sent.end();
}

describe('jwtAudience, createAgent and its requests', () => {
  let server: NotingServer;
  let me: StaticJwtIdentity;
  let svid: JwtSvid;
  before(async () => {
    server = await NotingServer.open();
    svid = await tokenFor('tools');
  });
  after(() => server[Symbol.asyncDispose]());
  beforeEach(() => {
    server.seen.length = 0;
    me = jwtIdentity(ca, ME);
    me.jwt.give = () => Promise.resolve(svid);
  });

  const start = (options: RequestOptions = {}): ClientRequest => {
    const agent = createAgent(me, { peers: { [server.origin]: WANTED } });
    const sent = httpsRequest(`${server.origin}/`, { ...options, agent });
    sent.once('close', () => agent.destroy());
    return sent;
  };
  const done = async (sent: ClientRequest): Promise<Seen | undefined> => {
    await text(await responseTo(sent));
    return server.seen.at(-1);
  };
  const expectToken = (seen: Seen | undefined): void => {
    expect(seen?.authorizations).to.deep.equal([`Bearer ${svid.token}`]);
  };

  it('adds the header to a head that the caller finished at once, or long after the token came', async () => {
    const early = await done(start({ method: 'POST' }).end('body'));
    expectToken(early);
    expect(early?.headers).to.include({ 'content-length': '4' });

    const sent = start({ method: 'POST' });
    await once(sent, 'socket');
    sent.setHeader('x-late', 'yes');
    const late = await done(sent.end('body'));
    expectToken(late);
    expect(late?.headers).to.include({ 'content-length': '4', 'x-late': 'yes' });
  });

  it('adds it once to a body in pieces, of text or of bytes, before and after the token', async () => {
    for (const piece of ['piece', Buffer.from('piece')]) {
      const token = held(me);
      const sent = start({ method: 'POST' });
      sent.write(piece);
      await token.asked;
      sent.write(piece);
      token.give(svid);
      await once(sent, 'socket');
      sent.write(piece);
      const seen = await done(sent.end(piece));
      expectToken(seen);
      expect(seen?.body).to.equal('piece'.repeat(4));
      expect(seen?.headers).to.include({ 'transfer-encoding': 'chunked' });
    }
  });

  it('adds it to a head that Node finished when the request was made', async () => {
    const host = ['Host', 'localhost'];
    const raw = { headers: [...host, 'X-Raw', 'yes'] as unknown as OutgoingHttpHeaders };
    const fromArray = await done(start(raw).end());
    expectToken(fromArray);
    expect(fromArray?.headers).to.include({ 'x-raw': 'yes', host: 'localhost' });

    const expecting = start({ method: 'POST', headers: { expect: '100-continue' } });
    expecting.flushHeaders();
    await once(expecting, 'continue');
    const continued = await done(expecting.end('body'));
    expectToken(continued);
    expect(continued?.body).to.equal('body');
  });

  it('adds it to each request on a connection that the agent keeps', async () => {
    const agent = createAgent(me, { peers: { [server.origin]: WANTED } });
    for (const reused of [false, true]) {
      const sent = httpsRequest(`${server.origin}/`, { agent }).end();
      const ended = once(sent, 'close');
      expectToken(await done(sent));
      await ended;
      expect(sent.reusedSocket).to.equal(reused);
    }
    agent.destroy();
  });

  it('leaves the token on nothing that a client prints', async () => {
    for (const pause of [false, true]) {
      const sent = start();
      if (pause) await once(sent, 'socket');
      expectToken(await done(sent.end()));
      const shown = inspect(sent, { depth: 3, showHidden: true });
      expect(shown).to.include('GET / HTTP/1.1').and.not.include(svid.token);
      expect(sent.getHeaders()).not.to.have.property('authorization');
    }
  });

  /** How, whether a token is asked for before it shows, and a request that does it. */
  const own: readonly (readonly [string, number, () => ClientRequest])[] = [
    ['in a list', 0, () => start({ headers: ['aUTHORIZATION', OWN] as never }).end()],
    ['in an object', 0, () => start({ headers: { aUTHORIZATION: OWN } }).end()],
    ['by auth', 0, () => start({ auth: 'user:password' }).end()],
    ['before it ends', 1, () => start().setHeader('Authorization', OWN).end()],
    [
      'before it writes',
      1,
      () => withBody(start({ method: 'POST' }).setHeader('authorization', OWN)),
    ],
  ];
  for (const [how, asked, send] of own) {
    it(`refuses an Authorization that the caller sets ${how}`, async () => {
      const [error] = (await once(send(), 'error')) as [SpiffeError];
      expect(error.code, error.message).to.equal('ERR_SPIFFE_OPTION_INVALID');
      expect(inspect(error)).not.to.include(OWN);
      expect(me.jwt.asked).to.have.length(asked);
      expect(server.seen).to.deep.equal([]);
    });
  }

  it('refuses one that the caller sets when the token has come', async () => {
    const sent = start();
    await once(sent, 'socket');
    sent.setHeader('Authorization', OWN);
    const failed = once(sent, 'error');
    sent.end();
    const [error] = (await failed) as [SpiffeError];
    expect(error.code).to.equal('ERR_SPIFFE_OPTION_INVALID');
    expect(server.seen).to.deep.equal([]);
  });

  it('says when a request is destroyed that waits for its token, and sends nothing', async () => {
    const token = held(me);
    const sent = start().end();
    await token.asked;
    const reason = new Error('enough');
    const failed = once(sent, 'error');
    sent.destroy(reason);
    token.give(svid);
    expect((await failed)[0]).to.equal(reason);
    expect(server.seen).to.deep.equal([]);
  });
});
