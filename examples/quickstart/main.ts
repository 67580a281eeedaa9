/**
 * An agent calls a tool over mutual TLS; another service at another address is not mistaken for it; SVIDs rotate
 * meanwhile and no request fails. With SPIFFE_ENDPOINT_SOCKET set, the identities come from there (real SPIRE, say),
 * else from a development Workload API started here. Exits 1 when anything is not as told.
 */
import assert from 'node:assert/strict';
import { SpiffeError, Workload } from 'agent-spiffe';
import { createFetch } from 'agent-spiffe/http';
import { pino } from 'pino';
import { tell } from './tell.js';
import { startTool } from './tool-service.js';
import { workloadApi } from './workload-api.js';

type Answer = { served: string; caller: string };
const SEARCH = 'spiffe://example.org/tools/search';
const logger = pino({ level: process.env['LOG_LEVEL'] ?? 'warn' }, pino.destination(2));

await using api = await workloadApi(logger);
tell.title(`Identities come from ${api.description}`, api.address);

tell.step('Each party asks the Workload API who it is. Nobody was given a secret.');
const open = (hint: string): Promise<Workload> =>
  Workload.open({ address: api.address, pick: hint, logger });
await using agent = await open('researcher');
await using search = await open('search');
await using mail = await open('mail');
for (const who of [agent, search, mail]) tell.fact(who.id, `valid for ${tell.seconds(who)} s`);

tell.step('The agent calls the search tool. Both prove who they are before a byte is sent.');
await using tool = await startTool(search);
await using other = await startTool(mail);
await using fetch = createFetch(agent, {
  peers: { [tool.origin]: SEARCH, [other.origin]: SEARCH }, // the second address is a mistake, or an attack
});
const answer = (await (await fetch(`${tool.origin}/find?q=spiffe`)).json()) as Answer;
assert.deepEqual(answer, { served: SEARCH, caller: 'spiffe://example.org/agents/researcher' });
tell.fact(`the tool saw ${answer.caller}`, `the agent saw ${answer.served}`);

tell.step(
  'At another address a service of the same trust domain answers, with a valid SVID of its own.',
);
const refusal: unknown = await fetch(`${other.origin}/find?q=spiffe`).then(
  () => undefined,
  (error: unknown) => error,
);
assert(
  refusal instanceof SpiffeError && refusal.code === 'ERR_SPIFFE_PEER_NOT_ALLOWED',
  String(refusal),
);
tell.fact('refused, nothing was sent', refusal.message);

tell.step('SVIDs live for seconds here. The agent goes on calling while they are replaced.');
let calls = 0;
let rotations = 0;
const rotated = new AbortController();
const calling = (async () => {
  for (; !rotated.signal.aborted; calls++)
    assert.equal(
      ((await (await fetch(`${tool.origin}/find?q=spiffe`)).json()) as Answer).served,
      SEARCH,
    );
})();
let serial = agent.x509.svid().serialNumber;
for await (const { svid } of agent.updates()) {
  if (svid === undefined || svid.serialNumber === serial) continue;
  tell.fact(
    `new SVID ${svid.serialNumber.slice(0, 12)}…`,
    `replaces ${serial.slice(0, 12)}…, ${calls} calls so far`,
  );
  serial = svid.serialNumber;
  if (++rotations === 2) break;
}
rotated.abort();
await calling;
tell.end(`${rotations} rotations, ${calls} calls, none failed. All was as told.`);
