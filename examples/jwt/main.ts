/**
 * The mail service asks the search tool on behalf of an agent. Mutual TLS tells the tool that it is mail who connects;
 * that it is for the agent, a JWT-SVID tells, which mail hands on and can use nowhere else. Tokens are renewed meanwhile
 * and no request fails. With SPIFFE_ENDPOINT_SOCKET set, the identities come from there (real SPIRE, say), else from a
 * development Workload API started here. Exits 1 when anything is not as told.
 */
import assert from 'node:assert/strict';
import type { IncomingMessage, RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Workload } from 'agent-spiffe';
import { createFetch, createServer, jwtOf, peerOf, requireJwt } from 'agent-spiffe/http';
import { pino } from 'pino';
import { tell } from '../quickstart/tell.js';
import { workloadApi } from '../quickstart/workload-api.js';

type Answer = { caller: string; through: string; expires: string };
const RESEARCHER = 'spiffe://example.org/agents/researcher';
const SEARCH = 'spiffe://example.org/tools/search';
const MAIL = 'spiffe://example.org/tools/mail';
const logger = pino({ level: process.env['LOG_LEVEL'] ?? 'warn' }, pino.destination(2));

await using api = await workloadApi(logger);
tell.title(`Identities come from ${api.description}`, api.address);
const open = (pick: string): Promise<Workload> =>
  Workload.open({ address: api.address, pick, logger });
await using agent = await open('researcher');
await using search = await open('search');
await using mail = await open('mail');

/** Serves over mutual TLS: who connects is verified before the handler is reached. */
async function serve(
  me: Workload,
  handler: RequestListener,
): Promise<AsyncDisposable & { origin: string }> {
  const server = createServer(me, { allow: 'spiffe://example.org/**' }, handler);
  await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening));
  return {
    origin: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => new Promise((closed) => void server.close(() => closed())),
  };
}
const whoAsks = (req: IncomingMessage): string => {
  const { id, expiresAt } = jwtOf(req);
  return JSON.stringify({ caller: id, through: peerOf(req).id, expires: expiresAt });
};

// The tool: for agents, whoever brings their request. Their token must be for this very tool.
const forSearch = requireJwt(search, {
  audience: 'search',
  allow: 'spiffe://example.org/agents/*',
});
await using searchTool = await serve(search, (req, res) => {
  forSearch(req, res, () => res.end(whoAsks(req)));
});

// Mail: hands on what the agent gave it for the tool; sends letters for whoever has a token for mail.
const forMail = requireJwt(mail, { audience: 'mail', allow: 'spiffe://example.org/agents/*' });
await using toSearch = createFetch(mail, { peers: { [searchTool.origin]: SEARCH } });
const relay = async ({ headers: { authorization = '' } }: IncomingMessage): Promise<string> =>
  (await toSearch(`${searchTool.origin}/find`, { headers: { authorization } })).text();
await using mailService = await serve(mail, (req, res) => {
  if (req.url === '/send') forMail(req, res, () => res.end(whoAsks(req)));
  else void relay(req).then((answer) => res.end(answer));
});

tell.step('The agent calls the tool. Its request carries a token that is for this tool alone.');
await using toTool = createFetch(agent, {
  peers: { [searchTool.origin]: { id: SEARCH, jwtAudience: 'search' } },
});
const ask = async (): Promise<Answer> =>
  (await (await toTool(`${searchTool.origin}/find?q=spiffe`)).json()) as Answer;
const direct = await ask();
assert.deepEqual([direct.caller, direct.through], [RESEARCHER, RESEARCHER]);
tell.fact(`the tool serves ${direct.caller}`, 'known by its connection and by its token');

tell.step(
  'The mail service asks the tool on behalf of the agent, with the token that it was given.',
);
await using viaMail = createFetch(agent, {
  peers: { [mailService.origin]: { id: MAIL, jwtAudience: 'search' } },
});
const relayed = (await (await viaMail(`${mailService.origin}/letter`)).json()) as Answer;
assert.deepEqual([relayed.caller, relayed.through], [RESEARCHER, MAIL]);
tell.fact(`the tool serves ${relayed.caller}`, `though it is ${relayed.through} who connects`);

tell.step('Without a token mail is nobody to the tool, whatever its own SVID.');
const bare = await toSearch(`${searchTool.origin}/find`);
assert.deepEqual(
  [bare.status, bare.headers.get('www-authenticate')],
  [401, 'Bearer realm="spiffe"'],
);
tell.fact(`${bare.status} ${await bare.text()}`.trim(), `${bare.headers.get('www-authenticate')}`);

tell.step('The tool has seen the token, and tries to send mail with it in the name of the agent.');
const { token } = await agent.jwt.fetch({ audience: 'search' });
await using toMail = createFetch(search, { peers: { [mailService.origin]: MAIL } });
const authorization = `Bearer ${token}`;
const replay = await toMail(`${mailService.origin}/send`, { headers: { authorization } });
assert.equal(replay.status, 401);
assert.match(`${replay.headers.get('www-authenticate')}`, /error="invalid_token"$/);
tell.fact(
  `${replay.status} ${await replay.text()}`.trim(),
  'the token is for search, not for mail',
);

tell.step('Tokens live for seconds here. The agent goes on calling while they are renewed.');
let calls = 0;
let renewals = 0;
for (let { expires } = direct; renewals < 2; calls++) {
  const answer = await ask();
  assert.equal(answer.caller, RESEARCHER);
  if (answer.expires === expires) continue;
  tell.fact(`a new token, good until ${answer.expires}`, `${calls} calls so far`);
  expires = answer.expires;
  renewals++;
}
tell.end(`${renewals} renewals, ${calls} calls, none failed. All was as told.`);
