import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer as createPlainServer, get } from 'node:http';
import { connect as connectHttp2, createSecureServer } from 'node:http2';
import { text } from 'node:stream/consumers';
import {
  BundleSource,
  type Identity,
  type JwtSource,
  type PeerRule,
  SpiffeError,
  UNAUTHENTICATED_CLIENTS,
  type X509Svid,
} from 'agent-spiffe';
import { jwtOf, protect, type RequireJwtOptions, requireJwt } from 'agent-spiffe/http';
import { TestCa, WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { type Answer, callWith, guardedServer } from '../../support/bearer-call.js';
import { listen } from '../../support/listen.js';
import { memoryLogger } from '../../support/memory-logger.js';
import { refusal } from '../../support/refusal.js';
import { jwtIdentity } from '../../support/static-jwt.js';
import { until } from '../../support/until.js';

const TOOLS = 'spiffe://example.org/tools';
const AGENT = 'spiffe://example.org/agents/a';
const AGENTS = 'spiffe://example.org/agents/*';
const HOUR_MS = 3600_000;

let offsetMs = 0;
const ca = TestCa.create('example.org', { now: () => new Date(Date.now() + offsetMs) });
const partner = TestCa.create('partner.example');
const stranger = TestCa.create('stranger.example');
const impostor = TestCa.create('example.org');
const tools = jwtIdentity(ca, TOOLS, [partner]);

async function tokenOf(
  change: {
    readonly by?: TestCa;
    readonly id?: string;
    readonly audience?: string | readonly string[];
    readonly atMs?: number;
  } = {},
): Promise<string> {
  const { by = ca, id = AGENT, audience = 'tools', atMs = 0 } = change;
  offsetMs = atMs;
  try {
    return (await by.issueJwt(id, { audience })).token;
  } finally {
    offsetMs = 0;
  }
}

const bearer = async (change?: Parameters<typeof tokenOf>[0]): Promise<Call> => ({
  authorizations: [`Bearer ${await tokenOf(change)}`],
});

type Call = Parameters<typeof callWith>[1] & {};

interface Row {
  readonly what: string;
  readonly refused: Answer;
  readonly attack: () => Promise<Call>;
  readonly twin?: () => Promise<Call>;
  readonly allow?: PeerRule;
  /** What the log says of it. */
  readonly reason: RegExp;
}

const answer = (status: number, text_: string, error?: string): Answer => ({
  status,
  challenge: `Bearer realm="spiffe"${error === undefined ? '' : `, error="${error}"`}`,
  body: `${text_}\n`,
});
// RFC 6750 3.1
const NOTHING = answer(401, 'Unauthorized');
const INVALID = answer(401, 'Unauthorized', 'invalid_token');
const MALFORMED = answer(400, 'Bad Request', 'invalid_request');
const INSUFFICIENT = answer(403, 'Forbidden', 'insufficient_scope');

const ROWS: readonly Row[] = [
  {
    what: 'no token',
    refused: NOTHING,
    attack: () => Promise.resolve({}),
    reason: /shows no JWT-SVID/,
  },
  {
    what: 'a token for another audience',
    refused: INVALID,
    attack: () => bearer({ audience: 'reports' }),
    twin: () => bearer({ audience: ['reports', 'tools'] }),
    reason: /JWT_AUDIENCE/,
  },
  {
    what: 'a token for an audience that begins as ours does',
    refused: INVALID,
    attack: () => bearer({ audience: 'tools-admin' }),
    reason: /JWT_AUDIENCE/,
  },
  {
    what: 'a token for an audience that differs from ours in case',
    refused: INVALID,
    attack: () => bearer({ audience: 'Tools' }),
    reason: /JWT_AUDIENCE/,
  },
  {
    what: 'an expired token',
    refused: INVALID,
    attack: () => bearer({ atMs: -HOUR_MS }),
    reason: /JWT_EXPIRED/,
  },
  {
    what: 'a token of a trust domain without a bundle',
    refused: INVALID,
    attack: () => bearer({ by: stranger, id: 'spiffe://stranger.example/agents/a' }),
    twin: () => bearer({ by: partner, id: 'spiffe://partner.example/agents/a' }),
    allow: ['spiffe://partner.example/agents/*', 'spiffe://stranger.example/agents/*', AGENTS],
    reason: /BUNDLE_NOT_FOUND/,
  },
  {
    what: 'a token signed by another authority of that name',
    refused: INVALID,
    attack: () => bearer({ by: impostor }),
    reason: /JWT_UNTRUSTED/,
  },
  {
    what: 'a token whose subject was changed',
    refused: INVALID,
    attack: async () => {
      const [header, payload = '', signature] = (await tokenOf()).split('.');
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
      const forged = { ...claims, sub: 'spiffe://example.org/agents/b' };
      const changed = Buffer.from(JSON.stringify(forged)).toString('base64url');
      return { authorizations: [`Bearer ${header}.${changed}.${signature}`] };
    },
    reason: /JWT_UNTRUSTED/,
  },
  {
    what: 'what is no JWT',
    refused: INVALID,
    attack: () => Promise.resolve({ authorizations: ['Bearer opaque-token'] }),
    reason: /JWT_SVID_INVALID/,
  },
  {
    what: 'a valid token of a caller who is not allowed',
    refused: INSUFFICIENT,
    attack: () => bearer({ id: 'spiffe://example.org/mail' }),
    reason: /the rule says no/,
  },
  {
    what: 'a valid token, and a rule that throws',
    refused: INSUFFICIENT,
    attack: () => bearer({ id: 'spiffe://example.org/agents/broken' }),
    allow: (id) => {
      if (id.path.endsWith('broken')) throw new TypeError('broken');
      return true;
    },
    reason: /broken/,
  },
  {
    what: 'two Authorization headers, both good',
    refused: MALFORMED,
    attack: async () => {
      const value = `Bearer ${await tokenOf()}`;
      return { authorizations: [value, value] };
    },
    reason: /more than one/,
  },
  {
    what: 'two Authorization headers, one of another scheme',
    refused: MALFORMED,
    attack: async () => ({ authorizations: ['Basic dTpw', `Bearer ${await tokenOf()}`] }),
    reason: /more than one/,
  },
  {
    what: 'two tokens in one header',
    refused: MALFORMED,
    attack: async () => {
      const token = await tokenOf();
      return { authorizations: [`Bearer ${token}, Bearer ${token}`] };
    },
    reason: /not Bearer and one token/,
  },
  {
    what: 'a parameter beside the token',
    refused: MALFORMED,
    attack: async () => ({ authorizations: [`Bearer ${await tokenOf()} x=y`] }),
    reason: /not Bearer and one token/,
  },
  {
    what: 'the scheme without a token',
    refused: MALFORMED,
    attack: () => Promise.resolve({ authorizations: ['Bearer'] }),
    reason: /not Bearer and one token/,
  },
  {
    what: 'a tab for a blank',
    refused: MALFORMED,
    attack: async () => ({ authorizations: [`Bearer\t${await tokenOf()}`] }),
    reason: /not Bearer and one token/,
  },
  ...['Basic', 'Bearer-x', 'Bearerx', 'JWT', 'DPoP'].map(
    (scheme): Row => ({
      what: `the token as ${scheme}`,
      refused: NOTHING,
      attack: async () => ({ authorizations: [`${scheme} ${await tokenOf()}`] }),
      reason: /shows no JWT-SVID/,
    }),
  ),
  {
    what: 'the token without a scheme',
    refused: NOTHING,
    attack: async () => ({ authorizations: [await tokenOf()] }),
    reason: /shows no JWT-SVID/,
  },
  {
    what: 'the token in the query',
    refused: NOTHING,
    attack: async () => ({ path: `/?access_token=${await tokenOf()}` }),
    reason: /shows no JWT-SVID/,
  },
  {
    what: 'the token in the body',
    refused: NOTHING,
    attack: async () => ({
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: `access_token=${await tokenOf()}`,
    }),
    reason: /shows no JWT-SVID/,
  },
  {
    what: 'the token in other headers',
    refused: NOTHING,
    attack: async () => {
      const value = `Bearer ${await tokenOf()}`;
      return { headers: { 'Proxy-Authorization': value, 'X-Forwarded-Authorization': value } };
    },
    reason: /shows no JWT-SVID/,
  },
  {
    what: 'headers that say who the caller is',
    refused: NOTHING,
    attack: () =>
      Promise.resolve({
        headers: {
          'X-Forwarded-Client-Cert': `By=${TOOLS};URI=${AGENT}`,
          'X-Spiffe-Id': AGENT,
          'X-Peer-Id': AGENT,
        },
      }),
    reason: /shows no JWT-SVID/,
  },
];

const passing: readonly (readonly [string, (token: string) => Call])[] = [
  ['Bearer and the token', (token) => ({ authorizations: [`Bearer ${token}`] })],
  ['the scheme in lower case', (token) => ({ authorizations: [`bearer ${token}`] })],
  ['the scheme in upper case', (token) => ({ authorizations: [`BEARER ${token}`] })],
  [
    'a token beside headers that have the name of its header as their value',
    (token) => ({
      headers: { 'x-one': 'Authorization', 'x-two': 'authorization' },
      authorizations: [`Bearer ${token}`],
    }),
  ],
  ['several blanks', (token) => ({ authorizations: [`Bearer   ${token}`] })],
];

const TOKEN_PART = /eyJ|opaque-token/;

const who = (request: IncomingMessage): string => {
  const { id, audience } = jwtOf(request);
  return `${id} for ${audience.join()}`;
};

describe('requireJwt', () => {
  for (const { what, refused, attack, twin = bearer, allow = AGENTS, reason } of ROWS) {
    it(`refuses ${what} with ${refused.status}, and takes its twin`, async () => {
      const logger = memoryLogger();
      const middleware = requireJwt(tools, { audience: 'tools', allow, logger });
      await using server = await guardedServer(tools, middleware, who);
      expect(await callWith(server, await attack())).to.deep.equal(refused);
      expect(server.reached()).to.equal(0);
      const [line, ...more] = logger.lines;
      expect(more).to.deep.equal([]);
      expect(line?.level).to.equal('warn');
      const { code, reason: said } = line?.fields ?? {};
      expect(`${String(code)} ${String(said)}`).to.match(reason);
      expect(JSON.stringify(logger.lines)).not.to.match(TOKEN_PART);

      const passed = await callWith(server, await twin());
      expect(passed.body).to.match(/^spiffe:.*tools$/);
      expect([passed.status, passed.challenge]).to.deep.equal([200, undefined]);
      expect(server.reached()).to.equal(1);
    });
  }

  for (const [what, call] of passing) {
    it(`takes ${what}`, async () => {
      const middleware = requireJwt(tools, { audience: 'tools', allow: AGENTS });
      await using server = await guardedServer(tools, middleware, who);
      const { status, body } = await callWith(server, call(await tokenOf()));
      expect([status, body]).to.deep.equal([200, `${AGENT} for tools`]);
    });
  }

  it('takes no token at another service that was taken at the first', async () => {
    const mail = jwtIdentity(ca, 'spiffe://example.org/mail');
    await using first = await guardedServer(
      tools,
      requireJwt(tools, { audience: 'tools', allow: AGENTS }),
      who,
    );
    await using second = await guardedServer(
      mail,
      requireJwt(mail, { audience: ['mail', 'post'], allow: AGENTS }),
      who,
    );
    const replayed = await bearer();
    expect((await callWith(first, replayed)).status).to.equal(200);
    expect(await callWith(second, replayed)).to.deep.equal(INVALID);
    for (const audience of ['mail', 'post'])
      expect((await callWith(second, await bearer({ audience }))).status).to.equal(200);
  });

  it('answers the same whatever is wrong with a token', async () => {
    const middleware = requireJwt(tools, { audience: 'tools', allow: AGENTS });
    await using server = await guardedServer(tools, middleware, who);
    const answers = await Promise.all(
      ROWS.filter(({ refused }) => refused === INVALID).map(async ({ attack }) =>
        JSON.stringify(await callWith(server, await attack())),
      ),
    );
    expect(new Set(answers).size).to.equal(1);
  });

  it('takes no SVID of a connection in place of a token', async () => {
    const middleware = requireJwt(tools, { audience: 'tools', allow: AGENTS });
    await using server = await guardedServer(tools, middleware, who);
    const svid: X509Svid = ca.issue(AGENT);
    expect(await callWith(server, { svid })).to.deep.equal(NOTHING);
    expect((await callWith(server, { svid, ...(await bearer()) })).status).to.equal(200);
  });

  it('names the realm that it is given', async () => {
    const middleware = requireJwt(tools, { audience: 'tools', allow: AGENTS, realm: 'the tools' });
    await using server = await guardedServer(tools, middleware, who);
    expect((await callWith(server)).challenge).to.equal('Bearer realm="the tools"');
  });

  it('answers 503, without a challenge, while it has nothing to verify by', async () => {
    const codes = ['ERR_SPIFFE_SVID_NOT_READY', 'ERR_SPIFFE_SOURCE_CLOSED'] as const;
    for (const error of [
      ...codes.map((code) => new SpiffeError(code, 'no bundles')),
      new TypeError('eyJ-a-message-that-nobody-vouches-for'),
    ]) {
      const logger = memoryLogger();
      const jwt: JwtSource = {
        bundles: tools.jwt.bundles,
        fetch: () => Promise.reject(error),
        verify: () => Promise.reject(error),
      };
      const middleware = requireJwt({ jwt }, { audience: 'tools', allow: AGENTS, logger });
      await using server = await guardedServer(tools, middleware, who);
      const unavailable = { status: 503, challenge: undefined, body: 'Service Unavailable\n' };
      expect(await callWith(server, await bearer())).to.deep.equal(unavailable);
      expect(server.reached()).to.equal(0);
      expect(JSON.stringify(logger.lines)).not.to.match(TOKEN_PART);
      expect(await callWith(server)).to.deep.equal(NOTHING);
    }
  });

  it('verifies by bundles alone, for a process without an SVID', async () => {
    const middleware = requireJwt({ jwt: tools.jwt.bundles }, { audience: 'tools', allow: AGENTS });
    await using server = await guardedServer(tools, middleware, who);
    expect((await callWith(server, await bearer())).body).to.equal(`${AGENT} for tools`);
    expect(await callWith(server, await bearer({ by: impostor }))).to.deep.equal(INVALID);
    expect(await callWith(server, await bearer({ audience: 'mail' }))).to.deep.equal(INVALID);
  });

  it('answers 503, and not that the token is bad, when a BundleSource lost its bundles', async () => {
    await using api = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [TOOLS],
    });
    await using bundles = await BundleSource.open({ address: api.address });
    const logger = memoryLogger();
    const options = { audience: 'tools', allow: AGENTS, logger };
    await using server = await guardedServer(tools, requireJwt(bundles, options), who);
    const call = async (): Promise<Answer> => callWith(server, await bearer({ by: api.ca }));
    const unavailable = { status: 503, challenge: undefined, body: 'Service Unavailable\n' };
    expect((await call()).status).to.equal(200);
    api.withdraw();
    await until(() => bundles.jwt.state === 'revoked');
    expect(await call()).to.deep.equal(unavailable);
    api.restore();
    await until(() => bundles.jwt.state === 'ready');
    expect((await call()).status).to.equal(200);
    await api.goOffline();
    await until(() => bundles.jwt.state === 'stale');
    expect((await call()).status).to.equal(200);
    await bundles.close();
    expect(await call()).to.deep.equal(unavailable);
    expect(logger.lines.map(({ fields }) => fields['reason'])).to.deep.equal([
      'the source of our JWT bundles is revoked',
      'the source of our JWT bundles is closed',
    ]);
  });

  it('works with http2, and where TLS has ended before', async () => {
    const middleware = requireJwt(tools, { audience: 'tools', allow: AGENTS });
    const secure = createSecureServer();
    protect(secure, tools, { allow: UNAUTHENTICATED_CLIENTS });
    secure.on('request', (req, res) => {
      middleware(req, res, () => res.end(jwtOf(req).id.toString()));
    });
    const session = connectHttp2(`https://localhost:${await listen(secure)}`, {
      rejectUnauthorized: false,
    });
    const authorization = `Bearer ${await tokenOf()}`;
    expect(await text(session.request({ authorization }))).to.equal(AGENT);
    const refused = session.request({ ':path': '/' });
    refused.resume();
    const [headers] = (await once(refused, 'response')) as [Record<string, string>];
    expect(headers[':status']).to.equal(401);
    expect(headers['www-authenticate']).to.equal(NOTHING.challenge);
    session.close();
    await once(session, 'close');
    secure.close();

    const plain = createPlainServer((req, res) => {
      middleware(req, res, () => res.end(who(req)));
    });
    const port = await listen(plain);
    const sent = get({ host: '127.0.0.1', port, headers: { authorization } });
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    expect(await text(response)).to.equal(`${AGENT} for tools`);
    plain.close();
  });

  it('keeps the body of a request for the handler', async () => {
    const middleware = requireJwt(tools, { audience: 'tools', allow: AGENTS });
    let body = '';
    await using server = await guardedServer(tools, middleware, (request) => {
      request.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      return 'ok';
    });
    await callWith(server, { ...(await bearer()), body: 'a body' });
    expect(body).to.equal('a body');
  });

  const bad: readonly (readonly [string, Partial<RequireJwtOptions>, RegExp])[] = [
    ['no audience', { audience: undefined as unknown as string }, /audience/],
    ['an empty audience', { audience: '' }, /audience/],
    ['an empty list of audiences', { audience: [] }, /audience/],
    ['an empty audience in a list', { audience: ['tools', ''] }, /audience/],
    ['an audience that is no text', { audience: [5] as unknown as string[] }, /audience/],
    ['a realm that ends its quotes', { realm: 'x", error="' }, /realm/],
    ['a realm with a line break', { realm: 'x\r\ny' }, /realm/],
    ['an empty realm', { realm: '' }, /realm/],
    ['a realm that is no text', { realm: 5 as unknown as string }, /realm/],
  ];
  for (const [what, change, says] of bad) {
    it(`refuses ${what} when it is given`, () => {
      const good: RequireJwtOptions = { audience: 'tools', allow: AGENTS };
      refusal('ERR_SPIFFE_OPTION_INVALID', says, () => requireJwt(tools, { ...good, ...change }));
      requireJwt(tools, good);
    });
  }

  it('has no default for who is allowed, and refuses a bad rule when it is given', () => {
    for (const allow of [undefined, [], 'example.org'])
      refusal('ERR_SPIFFE_PEER_RULE_INVALID', /rule/, () =>
        requireJwt(tools, { audience: 'tools', allow: allow as PeerRule }),
      );
  });

  it('refuses an identity that cannot verify tokens, and none', () => {
    const identity: Identity = { x509: tools.x509 };
    for (const one of [identity, undefined as unknown as Identity])
      refusal('ERR_SPIFFE_OPTION_INVALID', 'jwt', () =>
        requireJwt(one, { audience: 'tools', allow: AGENTS }),
      );
  });

  it('refuses to be made without options', () => {
    const none = undefined as unknown as RequireJwtOptions;
    refusal('ERR_SPIFFE_OPTION_INVALID', 'audience', () => requireJwt(tools, none));
  });

  it('is what jwtOf needs: without it there is nobody to tell of', async () => {
    refusal('ERR_SPIFFE_PEER_UNKNOWN', 'requireJwt', () => jwtOf({} as IncomingMessage));
    await using server = await guardedServer(
      tools,
      (_request, _response, next) => next(),
      (request) => {
        refusal('ERR_SPIFFE_PEER_UNKNOWN', 'requireJwt', () => jwtOf(request));
        return 'none';
      },
    );
    expect((await callWith(server, await bearer())).body).to.equal('none');
  });
});
