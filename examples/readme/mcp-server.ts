import type { Identity } from 'agent-spiffe';
import { type Guard, wildcard } from 'agent-spiffe/agent';
import { createServer } from 'agent-spiffe/http';
import { guardMcpServer } from 'agent-spiffe/mcp';
import { crmServer } from './your-server.js';

export async function serveCrm(me: Identity, guard: Guard): Promise<void> {
  const mcp = await guardMcpServer(guard, {
    server: crmServer, // made anew for each request
    tools: { search: { effect: 'read', returns: { confidentiality: 'internal' } } },
    task: (caller) => {
      const once = { purpose: 'serve an agent', budget: { calls: 1 }, ttlMs: 10_000 };
      if (caller.path.startsWith('/agents/'))
        return { ...once, tools: { search: { q: wildcard() } } };
      return undefined; // refused
    },
  });
  createServer(me, { allow: 'spiffe://example.org/**' }, mcp).listen(8443);
}
