import { Workload } from 'agent-spiffe';
import { auditLog, cedarPolicy, createGuard, taskCredentials } from 'agent-spiffe/agent';
import { createFetch } from 'agent-spiffe/http';

const me = await Workload.open();
const authority = 'https://authority.internal:8443';
const fetch = createFetch(me, { peers: { [authority]: 'spiffe://example.org/task-authority' } });
const guard = await createGuard({
  identity: me,
  policy: cedarPolicy('./policies'),
  audit: auditLog('./audit'),
  credentials: taskCredentials({ authority, fetch }),
});
const limits = { tools: {}, budget: { calls: 20 }, ttlMs: 300_000 };
await guard.task({ purpose: 'answer ticket 42', credential: 'svid', ...limits }, async (task) => {
  const vault = 'https://vault.internal:8443';
  const asTask = createFetch(task.identity, { peers: { [vault]: 'spiffe://example.org/vault' } });
  await asTask(`${vault}/keys/acme`); // the vault sees spiffe://example.org/agents/a/task/<id>
}); // over: no SVID, no key, no open connection
