/**
 * A process with one task, which it forgets or waits for, or asks an approver about who never answers, as it is told;
 * nothing else keeps it up.
 */
import { writeSync } from 'node:fs';
import { allArguments, auditLog, createGuard, functionPolicy } from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { AGENT } from './audit.js';
import { staticIdentity } from './static-identity.js';

const [, , directory = '', what, ttl] = process.argv;

const guard = await createGuard({
  identity: staticIdentity(TestCa.create('example.org'), AGENT),
  policy: functionPolicy(() => ({
    decision: true,
    context: { obligations: what === 'ask' ? [{ type: 'require-approval', by: 'someone' }] : [] },
  })),
  approver: { ask: () => new Promise(() => {}) },
  audit: auditLog(directory),
});
const look = guard.tool(
  'look',
  { effect: 'read', returns: { confidentiality: 'public' } },
  () => new Promise(() => {}),
);
const task = await guard.startTask({
  purpose: 'a test',
  ttlMs: Number(ttl),
  budget: { calls: 10 },
  tools: { look: allArguments() },
});
writeSync(1, 'started\n');
if (what !== 'forget') {
  const waiting = task.run(() => look({}));
  const told = await waiting.catch((error: unknown) => (error as { readonly code: string }).code);
  writeSync(1, `${String(told)}\n`);
}
