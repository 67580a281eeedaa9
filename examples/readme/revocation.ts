import { Workload } from 'agent-spiffe';
import { auditLog, cedarPolicy, createGuard, RevocationLists } from 'agent-spiffe/agent';
import { createFetch, createServer } from 'agent-spiffe/http';

const me = await Workload.open();
const fetch = createFetch(me, {
  peers: { 'https://researcher.internal:8444': 'spiffe://example.org/agents/researcher' },
});

// Whoever takes grants says who may sign them, and where each says what it has revoked.
const revocation = await RevocationLists.open({
  identity: me,
  fetch,
  publishers: {
    'spiffe://example.org/agents/researcher': 'https://researcher.internal:8444/revocations',
  },
});
const guard = await createGuard({
  identity: me,
  policy: cedarPolicy('./policies'),
  audit: auditLog('./audit'),
  revocation,
});

// Whoever signs grants serves its own list, to anyone who may have to judge them.
const revocations = guard.revocationHandler({ validForMs: 15_000 });
createServer(me, { allow: 'spiffe://example.org/**' }, revocations).listen(8444);
