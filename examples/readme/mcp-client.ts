import { Client } from '@modelcontextprotocol/client';
import type { Identity } from 'agent-spiffe';
import { type Guard, wildcard } from 'agent-spiffe/agent';
import { createFetch } from 'agent-spiffe/http';
import { guardMcpClient } from 'agent-spiffe/mcp';

export async function askCrm(me: Identity, guard: Guard): Promise<void> {
  const origin = 'https://crm.internal:8443';
  const { search } = await guardMcpClient(guard, new Client({ name: 'agent', version: '1.0.0' }), {
    url: `${origin}/mcp`,
    fetch: createFetch(me, { peers: { [origin]: 'spiffe://example.org/tools/crm' } }),
    tools: { search: { effect: 'read', returns: { confidentiality: 'internal' } } },
  });
  const job = { purpose: 'answer ticket 42', budget: { calls: 20 }, ttlMs: 300_000 };
  await guard.task({ ...job, tools: { search: { q: wildcard() } } }, async () => {
    const { content } = await search({ q: 'acme' });
    console.log(content); // the task now holds internal, untrusted data
  });
}
