/**
 * An agent reads a ticket in which somebody has planted orders, and obeys all of them, as a model may. A guard ties each
 * of its calls to a task: one is refused by the purpose of the task, two by an argument; and the chain of read the
 * prompt, call the internal API, fetch a secret, send it outside is cut at its end. The agent is a script: no model is
 * needed. With SPIFFE_ENDPOINT_SOCKET set, the identities come from there (real SPIRE, say), else from a development
 * Workload API started here. Exits 1 when anything is not as told.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Workload } from 'agent-spiffe';
import { auditLog, cedarPolicy, createGuard } from 'agent-spiffe/agent';
import { createFetch } from 'agent-spiffe/http';
import { pino } from 'pino';
import { tell } from '../quickstart/tell.js';
import { workloadApi } from '../quickstart/workload-api.js';
import { tellRecord } from './record.js';
import { helpDesk, postOffice, serve, vault } from './services.js';
import { answerTicket, renewKey } from './tasks.js';
import { wrapTools } from './tools.js';

const POLICIES = fileURLToPath(new URL('../../examples/agent-task/policies', import.meta.url));
const logger = pino({ level: process.env['LOG_LEVEL'] ?? 'warn' }, pino.destination(2));
const home = mkdtempSync(join(tmpdir(), 'agent-task-'));
process.once('exit', () => rmSync(home, { recursive: true }));
const directory = join(home, 'audit');

await using api = await workloadApi(logger);
tell.title(`Identities come from ${api.description}`, api.address);
const open = (pick: string): Promise<Workload> =>
  Workload.open({ address: api.address, pick, logger });

tell.step('Each process asks the Workload API who it is. Nobody was given a secret.');
await using agent = await open('researcher');
await using forDesk = await open('search');
await using forVault = await open('vault');
await using forMail = await open('mail');
for (const who of [agent, forDesk, forVault, forMail])
  tell.fact(who.id, `valid for ${tell.seconds(who)} s`);

tell.step('The agent wraps its tools, once, and says what each does with data.');
await using desk = await serve(forDesk, helpDesk);
await using safe = await serve(forVault, vault);
await using mail = await serve(forMail, postOffice);
await using fetch = createFetch(agent, {
  peers: {
    [desk.origin]: `${forDesk.id}`,
    [safe.origin]: `${forVault.id}`,
    [mail.origin]: `${forMail.id}`,
  },
});
await using guard = await createGuard({
  identity: agent,
  policy: cedarPolicy(POLICIES),
  audit: auditLog(directory, {
    arguments: { '*': 'keep', send_mail: { body: 'redact', to: 'keep' } },
  }),
});
const tools = wrapTools(guard, fetch, { desk: desk.origin, vault: safe.origin, mail: mail.origin });
for (const { name, effect, returns, sink } of guard.tools) {
  const flow =
    sink === undefined ? Object.values(returns ?? {}) : ['to a sink for', sink.clearance];
  tell.fact(name, `${effect}, ${flow.join(' ')}`);
}

await answerTicket({ guard, tools, desk, safe, mail });
await renewKey({ guard, tools, desk, safe, mail });
await guard.close();

tell.step('All of it is on record. The log is verified, and a copy that was touched is found out.');
await tellRecord(directory, agent);
tell.end('All was as told.');
