/**
 * A vault lets in one SPIFFE ID. It is that of a task: not of the agent whose task it is, nor of its other task. An
 * authority gives each task an SVID of its own for seconds, renews it while the task lives, and the vault needs to know
 * nothing of tasks. With SPIFFE_ENDPOINT_SOCKET and SPIRE_SERVER_ADDRESS set, the identities come from there and SPIRE's
 * server signs, else a development Workload API started here does both. Exits 1 when anything is not as told.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Identity, type PeerRule, SpiffeError, Workload } from 'agent-spiffe';
import {
  auditLog,
  createGuard,
  functionPolicy,
  readAuditLog,
  type Task,
  taskCredentials,
} from 'agent-spiffe/agent';
import {
  createTaskAuthority,
  mintWithDevelopmentServer,
  mintWithSpire,
} from 'agent-spiffe/authority';
import { createFetch, createServer, peerOf } from 'agent-spiffe/http';
import { pino } from 'pino';
import { tell } from '../quickstart/tell.js';
import { workloadApi } from '../quickstart/workload-api.js';

const AGENT = 'spiffe://example.org/agents/researcher';
const VAULT = 'spiffe://example.org/tools/vault';
const AUTHORITY = 'spiffe://example.org/task-authority';
const spire = process.env['SPIRE_SERVER_ADDRESS'];
const logger = pino({ level: process.env['LOG_LEVEL'] ?? 'error' }, pino.destination(2));
const home = mkdtempSync(join(tmpdir(), 'task-credential-'));
process.once('exit', () => rmSync(home, { recursive: true }));

await using api = await workloadApi(logger);
tell.title(`Identities come from ${api.description}`, api.address);
const open = (pick: string): Promise<Workload> =>
  Workload.open({ address: api.address, pick, logger });
await using agent = await open('researcher');
await using forVault = await open('vault');
await using forAuthority = await open('task-authority');

/** Serves over mutual TLS. */
async function serve(
  me: Identity,
  allow: PeerRule,
  handler: RequestListener,
): Promise<AsyncDisposable & { origin: string }> {
  const server = createServer(me, { allow, logger }, handler);
  await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening));
  return {
    origin: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => new Promise((closed) => void server.close(() => closed())),
  };
}

tell.step('An authority makes credentials for tasks of agents. It holds no key that signs.');
using mint =
  spire === undefined
    ? mintWithDevelopmentServer({ address: api.address })
    : mintWithSpire({ address: spire, identity: forAuthority });
await using authority = await createTaskAuthority({
  identity: forAuthority,
  mint,
  allow: 'spiffe://example.org/agents/*',
  policy: ({ purpose }) => purpose !== 'look around',
  maxTtlMs: 4_000, // seconds, so that you see them renewed; minutes are usual
  logger,
});
await using office = await serve(forAuthority, 'spiffe://example.org/**', authority);
tell.fact(AUTHORITY, spire === undefined ? 'the development server signs' : 'SPIRE signs');

tell.step('The agent starts two tasks. Each makes a key, and is a workload of its own.');
await using fetch = createFetch(agent, { peers: { [office.origin]: AUTHORITY } });
await using guard = await createGuard({
  identity: agent,
  policy: functionPolicy(() => true),
  audit: auditLog(join(home, 'audit')),
  credentials: taskCredentials({ authority: office.origin, fetch }),
  logger,
});
const start = (purpose: string): Promise<Task> =>
  guard.startTask({
    purpose,
    tools: {},
    budget: { calls: 1 },
    ttlMs: 60_000,
    credential: 'svid',
  });
const renew = await start('renew the key of acme');
const read = await start('read the tickets of acme');
for (const { identity, purpose } of [renew, read])
  tell.fact(identity.x509.svid().id, `"${purpose}"`);
await assert.rejects(start('look around'), { code: 'ERR_SPIFFE_CREDENTIAL_DENIED' });
tell.fact(
  'a third is not started',
  'the policy of the authority gives "look around" no credential',
);

tell.step('The vault lets in the first task: by its SPIFFE ID, as it would any workload.');
const ours = `${AGENT}/task/${renew.id}`;
await using vault = await serve(forVault, ours, (req, res) => res.end(`${peerOf(req).id}`));
const peers = { [vault.origin]: VAULT };
const ask = async (who: Identity): Promise<string> => {
  await using client = createFetch(who, { peers });
  return await (await client(vault.origin)).text();
};
const refused = async (who: Identity): Promise<string> => {
  const error: unknown = await ask(who).catch((thrown: unknown) => thrown);
  assert(error instanceof SpiffeError, String(error));
  return error.code;
};
assert.equal(await ask(renew.identity), ours);
tell.fact(`the vault serves ${ours}`, 'over mutual TLS');

tell.step('It lets in nobody else: not the other task, not the agent itself.');
for (const [who, name] of [
  [read.identity, 'the other task'],
  [agent, 'the agent'],
] as const) {
  const code = await refused(who);
  assert.equal(code, 'ERR_SPIFFE_REFUSED_BY_PEER');
  tell.fact(`refused: ${name}`, code);
}

tell.step('SVIDs of tasks live for seconds here, and are renewed while the task lives.');
const first = renew.identity.x509.svid();
for await (const { svid } of renew.identity.x509.updates())
  if (svid !== undefined && svid.serialNumber !== first.serialNumber) break;
const second = renew.identity.x509.svid();
assert(second.notAfter > first.notAfter && second.notAfter <= renew.expiresAt);
assert.equal(await ask(renew.identity), ours);
tell.fact(`a new SVID, good until ${second.notAfter.toISOString()}`, 'for the same key');

tell.step('The task ends, and its credential with it. The other task goes on.');
await renew.end();
assert.equal(await refused(renew.identity), 'ERR_SPIFFE_SOURCE_CLOSED');
assert.equal(read.identity.x509.state, 'ready');
tell.fact('the task has no identity any more', 'its key is gone, its connections are closed');
await guard.close();

tell.step('All of it is on record.');
const told: string[] = [];
for await (const { record } of readAuditLog(join(home, 'audit'))) {
  const { operation } = record['api'] as { readonly operation: string };
  if (operation.startsWith('credential/')) told.push(operation.replace('credential/', ''));
}
tell.fact(told.join(', '), 'each before anyone had it');
assert.deepEqual([told[0], told[1], told.at(-1)], ['issued', 'issued', 'dropped']);
assert(told.includes('renewed'));
tell.end('All was as told.');
