import { Workload } from 'agent-spiffe';
import { createTaskAuthority, mintWithSpire } from 'agent-spiffe/authority';
import { createServer } from 'agent-spiffe/http';

const me = await Workload.open();
const authority = await createTaskAuthority({
  identity: me,
  mint: mintWithSpire({ address: 'spire-server.internal:8081', identity: me }),
  allow: 'spiffe://example.org/agents/*',
  policy: ({ purpose }) => purpose.startsWith('answer ticket'), // default: whoever `allow` names
  maxTtlMs: 120_000, // default: 300,000
});
createServer(me, { allow: 'spiffe://example.org/agents/*' }, authority).listen(8443);
