import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer as createPlainServer, get } from 'node:http';
import { text } from 'node:stream/consumers';
import { acceptEither, callerOf, jwtOf, peerIfAny } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { type Answer, callWith, guardedServer } from '../../support/bearer-call.js';
import { listen } from '../../support/listen.js';
import { memoryLogger } from '../../support/memory-logger.js';
import { refusal } from '../../support/refusal.js';
import { jwtIdentity } from '../../support/static-jwt.js';

const A = 'spiffe://example.org/agents/a';
const B = 'spiffe://example.org/agents/b';
const MAIL = 'spiffe://example.org/mail';
const AGENTS = 'spiffe://example.org/agents/*';
const ca = TestCa.create('example.org');
const tools = jwtIdentity(ca, 'spiffe://example.org/tools');

const challenge = (error?: string): string =>
  `Bearer realm="spiffe"${error === undefined ? '' : `, error="${error}"`}`;
const FORBIDDEN: Answer = { status: 403, challenge: undefined, body: 'Forbidden\n' };
const NOTHING: Answer = { status: 401, challenge: challenge(), body: 'Unauthorized\n' };
const INVALID: Answer = { ...NOTHING, challenge: challenge('invalid_token') };
const MALFORMED: Answer = {
  status: 400,
  challenge: challenge('invalid_request'),
  body: 'Bad Request\n',
};
const INSUFFICIENT: Answer = { ...FORBIDDEN, challenge: challenge('insufficient_scope') };

/** What is shown on the connection and by the token, and what comes of it: who calls and by what, or the refusal. */
const CASES: readonly {
  readonly what: string;
  readonly svidOf?: string;
  readonly tokenOf?: string;
  readonly audience?: string;
  readonly outcome: string | Answer;
}[] = [
  { what: 'nothing', outcome: NOTHING },
  { what: 'an SVID', svidOf: A, outcome: `${A} by mtls` },
  { what: 'a token', tokenOf: A, outcome: `${A} by jwt` },
  { what: 'both of one caller', svidOf: A, tokenOf: A, outcome: `${A} by mtls` },
  { what: 'an SVID and the token of another', svidOf: A, tokenOf: B, outcome: FORBIDDEN },
  { what: 'an SVID that is not allowed', svidOf: MAIL, outcome: FORBIDDEN },
  { what: 'a token that is not allowed', tokenOf: MAIL, outcome: INSUFFICIENT },
  {
    what: 'an SVID that is not allowed and the token of one who is',
    svidOf: MAIL,
    tokenOf: A,
    outcome: FORBIDDEN,
  },
  {
    what: 'an SVID and a token of another who is not allowed',
    svidOf: A,
    tokenOf: MAIL,
    outcome: INSUFFICIENT,
  },
  { what: 'a token for another service', tokenOf: A, audience: 'mail', outcome: INVALID },
  {
    what: 'an SVID and a token for another service',
    svidOf: A,
    tokenOf: A,
    audience: 'mail',
    outcome: INVALID,
  },
];

const who = (request: IncomingMessage): string => {
  const caller = callerOf(request);
  if (caller.by === 'mtls') expect(caller.peer).to.equal(peerIfAny(request));
  else expect(caller.jwt).to.equal(jwtOf(request));
  expect(Object.isFrozen(caller)).to.equal(true);
  return `${caller.id} by ${caller.by}`;
};

describe('acceptEither', () => {
  for (const { what, svidOf, tokenOf, audience = 'tools', outcome } of CASES) {
    const verb = typeof outcome === 'string' ? 'takes' : `refuses with ${outcome.status}`;
    it(`${verb} ${what}`, async () => {
      const logger = memoryLogger();
      const middleware = acceptEither(tools, { audience: 'tools', allow: AGENTS, logger });
      await using server = await guardedServer(tools, middleware, who);
      const token = tokenOf === undefined ? undefined : await ca.issueJwt(tokenOf, { audience });
      const answer = await callWith(server, {
        ...(svidOf === undefined ? {} : { svid: ca.issue(svidOf) }),
        ...(token === undefined ? {} : { authorizations: [`Bearer ${token.token}`] }),
      });
      if (typeof outcome === 'string')
        expect([answer.status, answer.body]).to.deep.equal([200, outcome]);
      else expect(answer).to.deep.equal(outcome);
      expect(server.reached()).to.equal(typeof outcome === 'string' ? 1 : 0);
      expect(logger.at('warn')).to.have.length(1 - server.reached());
      expect(JSON.stringify(logger.lines)).not.to.include('eyJ');
    });
  }

  it('takes an SVID beside an Authorization that is no Bearer, and refuses one that is malformed', async () => {
    const middleware = acceptEither(tools, { audience: 'tools', allow: AGENTS });
    await using server = await guardedServer(tools, middleware, who);
    const svid = ca.issue(A);
    const { body } = await callWith(server, { svid, authorizations: ['Basic dTpw'] });
    expect(body).to.equal(`${A} by mtls`);
    for (const authorizations of [['Bearer'], ['Basic dTpw', 'Basic dTpw']])
      expect(await callWith(server, { svid, authorizations })).to.deep.equal(MALFORMED);
  });

  it('believes no header about who the caller is', async () => {
    const middleware = acceptEither(tools, { audience: 'tools', allow: AGENTS });
    await using server = await guardedServer(tools, middleware, who);
    const headers = { 'X-Forwarded-Client-Cert': `URI=${A}`, 'X-Spiffe-Id': A };
    expect(await callWith(server, { headers })).to.deep.equal(NOTHING);
    const { body } = await callWith(server, { headers, svid: ca.issue(B) });
    expect(body).to.equal(`${B} by mtls`);
  });

  it('takes tokens alone on connections that no gate has verified', async () => {
    const middleware = acceptEither(tools, { audience: 'tools', allow: AGENTS });
    const plain = createPlainServer((req, res) => {
      middleware(req, res, () => res.end(`${callerOf(req).id} by ${callerOf(req).by}`));
    });
    const port = await listen(plain);
    const { token } = await ca.issueJwt(A, { audience: 'tools' });
    for (const [headers, expected] of [
      [{}, 'Unauthorized\n'],
      [{ authorization: `Bearer ${token}` }, `${A} by jwt`],
    ] as const) {
      const [response] = (await once(get({ host: '127.0.0.1', port, headers }), 'response')) as [
        IncomingMessage,
      ];
      expect(await text(response)).to.equal(expected);
    }
    plain.close();
  });

  it('is what callerOf needs, and is held to its options as requireJwt is', () => {
    refusal('ERR_SPIFFE_PEER_UNKNOWN', 'acceptEither', () => callerOf({} as IncomingMessage));
    refusal('ERR_SPIFFE_OPTION_INVALID', 'audience', () =>
      acceptEither(tools, { audience: [], allow: AGENTS }),
    );
    refusal('ERR_SPIFFE_OPTION_INVALID', 'jwt', () =>
      acceptEither({}, { audience: 'tools', allow: AGENTS }),
    );
  });
});
