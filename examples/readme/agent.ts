import { Workload } from 'agent-spiffe';
import { auditLog, cedarPolicy, createGuard, oneOf, wildcard } from 'agent-spiffe/agent';
import { searchCrm, sendEmail } from './your-tools.js';

const me = await Workload.open(); // who this process is
const policy = cedarPolicy('./policies');
const guard = await createGuard({ identity: me, policy, audit: auditLog('./audit') });

// Each tool is wrapped once, at start-up.
const returns = { confidentiality: 'confidential' } as const;
const search = guard.tool('search', { effect: 'read', returns }, searchCrm);
const sink = { clearance: 'public' } as const;
const send = guard.tool('send_email', { effect: 'egress', sink }, sendEmail);

const tools = {
  search: { q: wildcard() },
  send_email: { to: oneOf('ann@acme.example'), body: wildcard() },
};
const job = { purpose: 'answer ticket 42', ttlMs: 300_000, budget: { calls: 20 }, tools };
await guard.task(job, async () => {
  const facts = await search({ q: 'acme' });
  await send({ to: 'ann@acme.example', body: facts }); // throws: ERR_SPIFFE_DENIED, reason "label"
}); // over here whatever happens: calls aborted, credentials gone, record closed
