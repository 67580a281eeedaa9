import type { CallToolResult, Client, FetchLike } from '@modelcontextprotocol/client';
import type { Guard, GuardedTool } from '../../agent/guard.js';
import { checkMembers, optionError } from '../../agent/options.js';
import type { ToolSpec } from '../../agent/tool-spec.js';
import type { SpiffeFetch } from '../../bindings/http/fetch.js';
import { canonicalJson } from '../../internal/canonical-json.js';
import { freezeJson } from '../../internal/frozen-json.js';
import type { JsonRecord } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import { loadSdk } from './sdk.js';
import { checkSpecs, definitionOf, type Listed, listedAs, type McpToolSpec } from './tool-spec.js';

/** What a tool of a remote MCP server does. What it returns is untrusted unless `returns` says otherwise. */
export type McpClientToolSpec = McpToolSpec & {
  /** What the server calls it. Default: the same. */
  readonly remoteName?: string;
};

/** Options of {@link guardMcpClient}. */
export interface McpClientOptions<
  Tools extends Readonly<Record<string, McpClientToolSpec>> = Readonly<
    Record<string, McpClientToolSpec>
  >,
> {
  /** Where the server answers MCP. */
  readonly url: string | URL;
  /** A fetch that binds the origin of `url` to the SPIFFE ID of the server. */
  readonly fetch: SpiffeFetch;
  /** What each tool does, by its name in the guard. One that is not named here cannot be called. */
  readonly tools: Tools;
}

/** Tools of a remote MCP server as agents call them, by their names in the guard. */
export type McpTools<Names extends PropertyKey> = {
  readonly [Name in Names]: GuardedTool<JsonRecord, CallToolResult>;
};

/**
 * Connects an MCP client of the SDK to a server whose SPIFFE ID mutual TLS proves, and makes guarded tools of the
 * server's. Their definitions are those of this moment: before each call the server lists its tools again, and one
 * whose description, input schema or annotations are no longer the same is refused (`tool-changed`). Close the client
 * when the guard is closed.
 *
 * Wraps the tools, so call it before the guard's first task.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, also for a server without one of the tools and where
 * `@modelcontextprotocol/client` is not installed; `ERR_SPIFFE_TARGET_NOT_BOUND`, `ERR_SPIFFE_GUARD_SEALED`; and what
 * the client throws.
 */
export async function guardMcpClient<
  const Tools extends Readonly<Record<string, McpClientToolSpec>>,
>(guard: Guard, client: Client, options: McpClientOptions<Tools>): Promise<McpTools<keyof Tools>> {
  const what = 'the options of an MCP client';
  checkMembers(what, options, ['url', 'fetch', 'tools']);
  const { fetch, tools } = options;
  checkSpecs(`${what}: tools`, tools);
  const url = parseUrl(what, options.url);
  if (typeof fetch?.peerRule !== 'function')
    throw optionError(`${what}: fetch`, 'it binds no origin to a peer; make it with createFetch');
  fetch.peerRule(url);
  const { StreamableHTTPClientTransport } = await loadSdk(
    '@modelcontextprotocol/client',
    () => import('@modelcontextprotocol/client'),
  );
  // It takes and gives what the global fetch does; only the types are of another copy of undici.
  await client.connect(
    new StreamableHTTPClientTransport(url, { fetch: fetch as unknown as FetchLike }),
  );
  try {
    const { tools: offered } = await client.listTools();
    const wrapped = Object.entries<McpClientToolSpec>(tools).map(
      ([name, spec]) => [name, wrap(guard, client, name, spec, offered)] as const,
    );
    return Object.fromEntries(wrapped) as McpTools<keyof Tools>;
  } catch (error) {
    await client.close();
    throw error;
  }
}

function wrap(
  guard: Guard,
  client: Client,
  name: string,
  { remoteName = name, ...spec }: McpClientToolSpec,
  offered: readonly Listed[],
): GuardedTool<JsonRecord, CallToolResult> {
  const listed = listedAs(remoteName, offered);
  const pinned = fingerprint(listed);
  const whole = {
    ...(spec.returns === undefined && spec.effect !== 'read' && { returns: UNTRUSTED }),
    ...spec,
    ...definitionOf(listed),
    confirm: async ({ signal }: { readonly signal: AbortSignal }): Promise<void> => {
      const now = await client.listTools(undefined, { cacheMode: 'refresh', signal });
      if (fingerprint(listedAs(remoteName, now.tools)) === pinned) return;
      throw optionError(
        `the tool ${quote(name)}`,
        'the MCP server describes it otherwise than it did',
      );
    },
  } as ToolSpec;
  return guard.tool(name, whole, (args: JsonRecord, { signal }) =>
    client.callTool({ name: remoteName, arguments: args }, { signal }),
  );
}

/** Whoever answers at the other end could have written it. */
const UNTRUSTED = Object.freeze({ confidentiality: 'public', integrity: 'untrusted' });

function fingerprint(listed: Listed): string {
  return canonicalJson(freezeJson(definitionOf(listed)));
}

function parseUrl(what: string, url: string | URL): URL {
  try {
    return new URL(url);
  } catch (cause) {
    throw optionError(`${what}: url`, 'it is no URL', cause);
  }
}
