import { once } from 'node:events';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { type Identity, type JwtSvid, SpiffeError, type Verifier, WEB_PKI } from 'agent-spiffe';
import {
  type ClientOptions,
  createAgent,
  createDispatcher,
  createFetch,
  createServer,
  type PeerBinding,
  type Peers,
} from 'agent-spiffe/http';
import { expect } from 'chai';
import { interceptors, request as undiciRequest } from 'undici';
import { ca, held, ME, NotingServer, TOOLS, tokenFor } from '../../support/jwt-http.js';
import { listen } from '../../support/listen.js';
import { refusal } from '../../support/refusal.js';
import { rejection } from '../../support/rejection.js';
import { jwtIdentity } from '../../support/static-jwt.js';
import { closeServer, staticVerifier, WebCa, webServer } from '../../support/web.js';

const WANTED: PeerBinding = { id: TOOLS, jwtAudience: 'tools' };
const OWN = 'Bearer of-the-caller';

type Headers = Record<string, string>;

/** A way to send one request. */
interface Sender {
  readonly name: string;
  readonly send: (
    identity: Identity | Verifier,
    options: ClientOptions,
    url: string,
    request?: { readonly headers?: Headers; readonly body?: string; readonly signal?: AbortSignal },
  ) => Promise<string>;
}

const SENDERS: readonly Sender[] = [
  {
    name: 'createFetch',
    send: async (identity, options, url, { headers = {}, body, signal } = {}) => {
      await using fetch = createFetch(identity, options);
      const response = await fetch(url, {
        headers,
        ...(body === undefined ? {} : { method: 'POST', body }),
        ...(signal === undefined ? {} : { signal }),
      });
      return await response.text();
    },
  },
  {
    name: 'createDispatcher',
    send: async (identity, options, url, { headers = {}, body, signal } = {}) => {
      const dispatcher = createDispatcher(identity, options);
      try {
        const response = await undiciRequest(url, {
          dispatcher,
          headers,
          ...(body === undefined ? {} : { method: 'POST', body }),
          ...(signal === undefined ? {} : { signal }),
        });
        return await response.body.text();
      } finally {
        await dispatcher.close();
      }
    },
  },
  {
    name: 'createAgent',
    send: async (identity, options, url, { headers = {}, body, signal } = {}) => {
      const agent = createAgent(identity, options);
      const method = body === undefined ? 'GET' : 'POST';
      const sent = httpsRequest(url, {
        agent,
        headers,
        method,
        ...(signal === undefined ? {} : { signal }),
      });
      sent.end(body);
      try {
        return await text(await responseTo(sent));
      } finally {
        agent.destroy();
      }
    },
  },
];

async function responseTo(sent: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return response;
}

/** What a promise rejects with, whatever it is. */
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => expect.fail(`it did not fail: ${String(value)}`),
    (error: unknown) => error,
  );

/** The audience of each token that came, in order. */
function audiencesOf({ seen }: NotingServer): unknown[] {
  return seen.flatMap(({ authorizations }) =>
    authorizations.map((value) => {
      const payload = value.split('.')[1] ?? '';
      return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { aud: unknown }).aud;
    }),
  );
}

function wanting(jwtAudience: unknown): ClientOptions {
  return { peers: { 'https://a.example': { id: TOOLS, jwtAudience } as PeerBinding } };
}

/** One header in each form that undici takes. */
const forms = (name: string, value: string): unknown[] => [
  { [name]: value },
  { [name]: [value] },
  ['x-one', '1', name, value],
  [name, value],
  new Map([[name, value]]),
  new Headers([[name, value]]),
  [[name, value] as const][Symbol.iterator](),
];

for (const { name, send } of SENDERS) {
  describe(`jwtAudience, ${name}`, () => {
    it('sends a JWT-SVID for the audience as Authorization: Bearer (JWT-21), and none where it is not asked for', async () => {
      await using server = await NotingServer.open();
      const me = jwtIdentity(ca, ME);
      const svid = await tokenFor('tools');
      me.jwt.give = () => Promise.resolve(svid);
      const url = `${server.origin}/a?b=c`;
      expect(await send(me, { peers: { [server.origin]: WANTED } }, url)).to.equal('done');
      expect(await send(me, { peers: { [server.origin]: { id: TOOLS } } }, url)).to.equal('done');
      expect(server.seen.map(({ authorizations }) => authorizations)).to.deep.equal([
        [`Bearer ${svid.token}`],
        [],
      ]);
      expect(server.seen[0]?.url).to.equal('/a?b=c');
      expect(me.jwt.asked.map(({ audience }) => audience)).to.deep.equal(['tools']);
    });

    it('takes headers and a body along unchanged', async () => {
      await using server = await NotingServer.open();
      const me = jwtIdentity(ca, ME);
      for (const binding of [WANTED, TOOLS] satisfies PeerBinding[]) {
        await send(me, { peers: { [server.origin]: binding } }, `${server.origin}/`, {
          headers: { 'x-one': '1', 'proxy-authorization': 'other' },
          body: 'a body that is sent',
        });
      }
      const [withToken, without] = server.seen.map(({ headers, body }) => {
        const { authorization: _, ...rest } = headers;
        return { ...rest, body };
      });
      expect(withToken).to.deep.equal(without);
      expect(withToken).to.include({ 'x-one': '1', body: 'a body that is sent' });
      expect(server.seen[0]?.authorizations).to.have.length(1);
    });

    it('asks the source for each request', async () => {
      await using server = await NotingServer.open();
      const me = jwtIdentity(ca, ME);
      const tokens = [await tokenFor('tools'), await tokenFor('tools')];
      const left = [...tokens];
      me.jwt.give = () => Promise.resolve(left.shift() as JwtSvid);
      const options = { peers: { [server.origin]: WANTED } };
      for (const _ of tokens) await send(me, options, `${server.origin}/`);
      expect(server.seen.map(({ authorizations }) => authorizations)).to.deep.equal(
        tokens.map(({ token }) => [`Bearer ${token}`]),
      );
    });

    it('sends nothing to whoever is not the peer that is named (JWT-23)', async () => {
      await using other = await NotingServer.open('spiffe://example.org/other');
      const me = jwtIdentity(ca, ME);
      const outcome = send(me, { peers: { [other.origin]: WANTED } }, `${other.origin}/`);
      await rejection('ERR_SPIFFE_PEER_NOT_ALLOWED', outcome);
      expect(other.seen).to.deep.equal([]);
      const named: PeerBinding = { ...WANTED, id: 'spiffe://example.org/other' };
      expect(await send(me, { peers: { [other.origin]: named } }, `${other.origin}/`)).to.equal(
        'done',
      );
    });

    it('refuses a request with an Authorization of its own, and names neither value', async () => {
      await using server = await NotingServer.open();
      const me = jwtIdentity(ca, ME);
      for (const header of ['authorization', 'Authorization', 'AUTHORIZATION']) {
        const outcome = send(me, { peers: { [server.origin]: WANTED } }, `${server.origin}/`, {
          headers: { [header]: OWN },
        });
        const error = await rejection('ERR_SPIFFE_OPTION_INVALID', outcome);
        expect(error.message).to.include(server.origin).and.include('"tools"');
        expect(inspect(error)).not.to.include(OWN);
      }
      expect(server.seen).to.deep.equal([]);
      expect(me.jwt.asked).to.deep.equal([]);
      const peers: Peers = { [server.origin]: TOOLS };
      await send(me, { peers }, `${server.origin}/`, { headers: { Authorization: OWN } });
      expect(server.seen.map(({ authorizations }) => authorizations)).to.deep.equal([[OWN]]);
    });

    it('fails with the error of the source, and sends nothing', async () => {
      await using server = await NotingServer.open();
      const me = jwtIdentity(ca, ME);
      const denied = new SpiffeError('ERR_SPIFFE_WORKLOAD_API_DENIED', 'no such identity');
      me.jwt.give = () => Promise.reject(denied);
      const outcome = send(me, { peers: { [server.origin]: WANTED } }, `${server.origin}/`);
      expect(await rejection(denied.code, outcome)).to.equal(denied);
      expect(server.seen).to.deep.equal([]);
    });

    it('sends nothing when it is aborted while the token is on its way', async () => {
      await using server = await NotingServer.open();
      const me = jwtIdentity(ca, ME);
      const token = held(me);
      const abort = new AbortController();
      const outcome = failure(
        send(me, { peers: { [server.origin]: WANTED } }, `${server.origin}/`, {
          signal: abort.signal,
        }),
      );
      await token.asked;
      abort.abort(new Error('enough'));
      // Node tells of an abort when the request has a connection, and not before; and a fetch ends when all has ended.
      if (name !== 'createDispatcher') token.give(await tokenFor('tools'));
      const error = (await outcome) as Error;
      expect([error.message, (error.cause as Error | undefined)?.message]).to.include('enough');
      expect(server.seen).to.deep.equal([]);
    });

    it('shows the web a token where it is asked for, and no certificate', async () => {
      const web = new WebCa();
      const shown: (string | undefined)[] = [];
      await using server = await webServer(web.issue(), (req, res) => {
        shown.push(req.headers.authorization);
        res.end('hello');
      });
      const me = jwtIdentity(ca, ME);
      const svid = await tokenFor('gateway');
      me.jwt.give = () => Promise.resolve(svid);
      const origin = `https://localhost:${server.port}`;
      const binding: PeerBinding = { id: WEB_PKI, ca: web.pem, jwtAudience: 'gateway' };
      await send(me, { peers: { [origin]: binding } }, `${origin}/`);
      await send(me, { peers: { [origin]: { id: WEB_PKI, ca: web.pem } } }, `${origin}/`);
      expect(shown).to.deep.equal([`Bearer ${svid.token}`, undefined]);
      expect(server.shown).to.deep.equal([false, false]);
      const wrong: PeerBinding = { id: WEB_PKI, jwtAudience: 'gateway' };
      const refused = send(me, { peers: { [origin]: wrong } }, `${origin}/`);
      await rejection('ERR_SPIFFE_X509_UNTRUSTED', refused);
      expect(shown).to.have.length(2);
    });

    it('leaves no token in the error when the server breaks off', async () => {
      const broken = createServer(jwtIdentity(ca, TOOLS), { allow: ME }, (req) => {
        req.socket.destroy();
      });
      const origin = `https://localhost:${await listen(broken)}`;
      const me = jwtIdentity(ca, ME);
      const svid = await tokenFor('tools');
      me.jwt.give = () => Promise.resolve(svid);
      const error = await failure(send(me, { peers: { [origin]: WANTED } }, `${origin}/`));
      expect(inspect(error, { depth: 20 })).not.to.include(svid.token);
      await closeServer(broken);
    });

    it('refuses a jwtAudience where there is nobody to give tokens', async () => {
      const options = { peers: { 'https://a.example': WANTED } };
      const error = await rejection(
        'ERR_SPIFFE_OPTION_INVALID',
        send(staticVerifier(ca), options, 'https://a.example/'),
      );
      expect(error.message).to.include('https://a.example').and.include('jwtAudience');
      const asked: ClientOptions = { peers: () => WANTED };
      await rejection(
        'ERR_SPIFFE_OPTION_INVALID',
        send(staticVerifier(ca), asked, 'https://a.example/'),
      );
    });
  });
}

describe('jwtAudience', () => {
  it('is refused when it is given, not when it is used, unless it is one name', () => {
    const me = jwtIdentity(ca, ME);
    const { jwt: _, ...withoutJwt } = me;
    for (const create of [createFetch, createDispatcher, createAgent]) {
      for (const bad of ['', 5, null, [], ['a', 'b'], {}])
        refusal('ERR_SPIFFE_OPTION_INVALID', 'jwtAudience', () => create(me, wanting(bad)));
      refusal('ERR_SPIFFE_OPTION_INVALID', 'has none to give', () =>
        create(withoutJwt, wanting('tools')),
      );
      create(me, wanting('tools'));
      create(withoutJwt, wanting(undefined));
    }
  });

  it('does not cross a redirect: each hop has the token that its own binding names, or none', async () => {
    await using silent = await NotingServer.open();
    await using speaking = await NotingServer.open();
    for (const [end, binding, expected] of [
      [silent, TOOLS, []],
      [speaking, { id: TOOLS, jwtAudience: 'end' }, ['end']],
    ] as const) {
      await using start = await NotingServer.open(TOOLS, `${end.origin}/there`);
      const me = jwtIdentity(ca, ME);
      const peers: Peers = { [start.origin]: WANTED, [end.origin]: binding };
      await using fetch = createFetch(me, { peers, redirect: 'follow' });
      expect(await (await fetch(`${start.origin}/`)).text()).to.equal('done');
      const dispatcher = createDispatcher(me, { peers });
      const redirecting = dispatcher.compose(interceptors.redirect({ maxRedirections: 2 }));
      const { body } = await undiciRequest(`${start.origin}/`, { dispatcher: redirecting });
      expect(await body.text()).to.equal('done');
      await dispatcher.close();
      expect(audiencesOf(start)).to.deep.equal(['tools', 'tools']);
      expect(audiencesOf(end)).to.deep.equal([...expected, ...expected]);
    }
  });

  it("keeps the caller's own Authorization for the origins without jwtAudience, and off the others", async () => {
    await using end = await NotingServer.open();
    await using start = await NotingServer.open(TOOLS, `${end.origin}/there`);
    const me = jwtIdentity(ca, ME);
    const peers: Peers = { [start.origin]: TOOLS, [end.origin]: WANTED };
    await using fetch = createFetch(me, { peers, redirect: 'follow' });
    await (await fetch(`${start.origin}/`, { headers: { authorization: OWN } })).text();
    expect(start.seen[0]?.authorizations).to.deep.equal([OWN]);
    expect(audiencesOf(end)).to.deep.equal(['tools']);
  });
});

describe('jwtAudience, createDispatcher and its requests', () => {
  it('sees an Authorization in every form of headers that undici takes', async () => {
    await using server = await NotingServer.open();
    const me = jwtIdentity(ca, ME);
    const dispatcher = createDispatcher(me, { peers: { [server.origin]: WANTED } });
    const url = `${server.origin}/`;
    for (const headers of forms('Authorization', OWN)) {
      const refused = undiciRequest(url, { dispatcher, headers: headers as never });
      await rejection('ERR_SPIFFE_OPTION_INVALID', refused);
    }
    expect(server.seen).to.deep.equal([]);
    const good = [...forms('x-two', '2'), null, { authorization: undefined, 'x-two': '2' }];
    for (const headers of good)
      await (await undiciRequest(url, { dispatcher, headers: headers as never })).body.text();
    for (const [at, { authorizations, headers }] of server.seen.entries()) {
      expect(authorizations).to.have.length(1);
      expect(headers['x-two']).to.equal(good[at] === null ? undefined : '2');
      expect(headers).to.not.have.any.keys('1', '2', 'undefined');
    }
    expect(server.seen).to.have.length(good.length);
    await dispatcher.close();
  });

  it('tells of an abort at once, whether the token comes or not', async () => {
    await using server = await NotingServer.open();
    const me = jwtIdentity(ca, ME);
    const token = held(me);
    await using fetch = createFetch(me, { peers: { [server.origin]: WANTED } });
    const abort = new AbortController();
    const outcome = failure(fetch(`${server.origin}/`, { signal: abort.signal }));
    await token.asked;
    const reason = new Error('enough');
    abort.abort(reason);
    expect(await outcome).to.equal(reason);
    token.give(await tokenFor('tools'));
    await fetch.close();
    expect(server.seen).to.deep.equal([]);
  });

  it('ends when the requests that wait for a token have ended, and refuses others at once', async () => {
    await using server = await NotingServer.open();
    const me = jwtIdentity(ca, ME);
    const token = held(me);
    const fetch = createFetch(me, { peers: { [server.origin]: WANTED } });
    const waiting = fetch(`${server.origin}/`);
    await token.asked;
    let ended = false;
    const closing = (async () => {
      await fetch.close();
      ended = true;
    })();
    await rejection('ERR_SPIFFE_SOURCE_CLOSED', fetch(`${server.origin}/`));
    expect(ended).to.equal(false);
    token.give(await tokenFor('tools'));
    expect(await (await waiting).text()).to.equal('done');
    await closing;
    expect(server.seen).to.have.length(1);
  });

  it('gives up the requests that wait for a token when it is destroyed', async () => {
    await using server = await NotingServer.open();
    const me = jwtIdentity(ca, ME);
    for (const reason of [undefined, new Error('enough')]) {
      const token = held(me);
      const dispatcher = createDispatcher(me, { peers: { [server.origin]: WANTED } });
      const waiting = failure(undiciRequest(`${server.origin}/`, { dispatcher }));
      await token.asked;
      await dispatcher.destroy(reason ?? null);
      const error = await waiting;
      if (reason === undefined) expect(error).to.have.property('code', 'ERR_SPIFFE_SOURCE_CLOSED');
      else expect(error).to.equal(reason);
      token.give(await tokenFor('tools'));
    }
    expect(server.seen).to.deep.equal([]);
  });

  it('gives the token to no connection that was verified by another rule', async () => {
    await using server = await NotingServer.open();
    const me = jwtIdentity(ca, ME);
    const answers: PeerBinding[] = [
      TOOLS,
      { id: 'spiffe://example.org/other', jwtAudience: 'other' },
      WANTED,
    ];
    await using fetch = createFetch(me, { peers: () => answers.shift() });
    await (await fetch(`${server.origin}/`)).text();
    await rejection('ERR_SPIFFE_PEER_NOT_ALLOWED', fetch(`${server.origin}/`));
    await (await fetch(`${server.origin}/`)).text();
    expect(server.seen.map(({ authorizations }) => authorizations.length)).to.deep.equal([0, 1]);
  });
});
