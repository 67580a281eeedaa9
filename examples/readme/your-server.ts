import { McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { searchCrm } from './your-tools.js';

/** An MCP server as you have it already. */
export function crmServer(): McpServer {
  const server = new McpServer({ name: 'crm', version: '1.0.0' });
  const search = { description: 'Finds customers', inputSchema: z.object({ q: z.string() }) };
  server.registerTool('search', search, (args) => ({
    content: [{ type: 'text', text: searchCrm(args) }],
  }));
  return server;
}
