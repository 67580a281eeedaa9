import type { AddressInfo } from 'node:net';
import { McpServer } from '@modelcontextprotocol/server';
import type { Identity, SpiffeId } from 'agent-spiffe';
import { exact, type Guard, oneOf, type TaskOptions, wildcard } from 'agent-spiffe/agent';
import { createServer } from 'agent-spiffe/http';
import { guardMcpServer } from 'agent-spiffe/mcp';
import { z } from 'zod';

/** What the tools did, and for whom. */
export const done: string[] = [];

/** What the server says of its tool; its owner may change that, and so may whoever gets at it. */
export const words = { find: 'Finds a customer by name.' };

/** An MCP server as anyone writes it with the SDK. */
function customers(): McpServer {
  const server = new McpServer({ name: 'customers', version: '1.0.0' });
  const find = { description: words.find, inputSchema: z.object({ name: z.string() }) };
  server.registerTool('find', find, ({ name }, { http }) => {
    done.push(`find ${name} for ${http?.authInfo?.clientId}`);
    return { content: [{ type: 'text', text: `${name}: since 2019, pays late` }] };
  });
  const rename = { inputSchema: z.object({ name: z.string(), to: z.string() }) };
  server.registerTool('rename', rename, ({ name, to }, { http }) => {
    done.push(`rename ${name} to ${to} for ${http?.authInfo?.clientId}`);
    return { content: [{ type: 'text', text: 'renamed' }] };
  });
  return server;
}

/** What one request of this caller may do. Mutual TLS has proved who it is; no one else is served. */
function taskFor(caller: SpiffeId): TaskOptions | undefined {
  const once = { purpose: 'answer a request', ttlMs: 10_000, budget: { calls: 1 } };
  switch (caller.path) {
    case '/agents/researcher':
      return { ...once, tools: { find: { name: oneOf('acme', 'globex') } } };
    case '/tools/mail':
      return { ...once, tools: { rename: { name: exact('acme'), to: wildcard() } } };
    default:
      return undefined;
  }
}

/** Serves it over mutual TLS, every request in a task of its own. */
export async function serveCustomers(
  me: Identity,
  guard: Guard,
): Promise<AsyncDisposable & { readonly origin: string }> {
  const mcp = await guardMcpServer(guard, {
    server: customers,
    tools: {
      find: { effect: 'read', returns: { confidentiality: 'internal', integrity: 'trusted' } },
      rename: { effect: 'write', sink: { clearance: 'internal' } },
    },
    task: taskFor,
  });
  const server = createServer(me, { allow: 'spiffe://example.org/**' }, mcp);
  await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening));
  return {
    origin: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => new Promise((closed) => void server.close(() => closed())),
  };
}
