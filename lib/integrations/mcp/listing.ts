import type {
  JSONRPCMessage,
  ListToolsResult,
  McpServer,
  Server,
  Tool,
  Transport,
} from '@modelcontextprotocol/server';
import { optionError } from '../../agent/options.js';

/** What a guard does not decide about. */
const UNGUARDED = ['resources', 'prompts', 'completions'] as const;

/**
 * The tools that a server offers, asked of an instance that serves no one else and is closed after it.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` for a server that offers no tools, or more than tools.
 */
export async function toolsOf(server: McpServer | Server): Promise<readonly Tool[]> {
  const capabilities = ('server' in server ? server.server : server).getCapabilities();
  const beside = UNGUARDED.filter((name) => capabilities[name] !== undefined);
  if (beside.length > 0)
    throw optionError(
      'this MCP server',
      `it offers ${beside.join(', ')}, and a task covers tools alone: serve those apart`,
    );
  if (capabilities.tools === undefined) throw optionError('this MCP server', 'it offers no tools');
  const asking = new Asking();
  await server.connect(asking);
  try {
    const tools: Tool[] = [];
    let cursor: string | undefined;
    do {
      const page = await asking.ask(cursor);
      tools.push(...page.tools);
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    return tools;
  } finally {
    await server.close();
  }
}

/** The client's end of a connection within this process, which only ever lists tools. */
class Asking implements Transport {
  onmessage?: Transport['onmessage'];
  onclose?: Transport['onclose'];
  onerror?: Transport['onerror'];
  #answered: ((message: JSONRPCMessage) => void) | undefined;

  start(): Promise<void> {
    return Promise.resolve();
  }

  send(message: JSONRPCMessage): Promise<void> {
    if (!('method' in message)) this.#answered?.(message);
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.onclose?.();
    return Promise.resolve();
  }

  async ask(cursor: string | undefined): Promise<ListToolsResult> {
    const params = cursor === undefined ? {} : { cursor };
    const answer = await new Promise<JSONRPCMessage>((resolve) => {
      this.#answered = resolve;
      this.onmessage?.({ jsonrpc: '2.0', id: 1, method: 'tools/list', params });
    });
    if ('result' in answer) return answer.result as unknown as ListToolsResult;
    throw optionError('this MCP server', 'it could not list its tools', answer);
  }
}
