import type { CallToolResult, Client, FetchLike } from '@modelcontextprotocol/client';
import { audienceOf } from '../../agent/delegation/call-service.js';
import { LABELS_META_KEY, labelsFromJson, labelsTold } from '../../agent/delegation/labels.js';
import { GRANT_META_KEY } from '../../agent/grant/presentation.js';
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
  /**
   * Whether each call shows the grant of its task, under `agent-spiffe/grant` in its `_meta`, with a proof for this server.
   * What the answer says to hold, the task holds then. The tools need the names that the server has for them. Default:
   * `false`.
   */
  readonly grants?: boolean;
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
  checkMembers(what, options, ['url', 'fetch', 'tools', 'grants']);
  const { fetch, tools, grants = false } = options;
  checkSpecs(`${what}: tools`, tools);
  const url = parseUrl(what, options.url);
  if (typeof fetch?.peerRule !== 'function')
    throw optionError(`${what}: fetch`, 'it binds no origin to a peer; make it with createFetch');
  fetch.peerRule(url);
  const audience = grants ? audienceOf(what, fetch, url) : undefined;
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
      ([name, spec]) => [name, wrap(guard, client, { name, spec, offered, audience })] as const,
    );
    return Object.fromEntries(wrapped) as McpTools<keyof Tools>;
  } catch (error) {
    await client.close();
    throw error;
  }
}

interface Wrapping {
  readonly name: string;
  readonly spec: McpClientToolSpec;
  readonly offered: readonly Listed[];
  /** For whom proofs are, where grants are shown. */
  readonly audience: string | undefined;
}

function wrap(
  guard: Guard,
  client: Client,
  { name, spec: given, offered, audience }: Wrapping,
): GuardedTool<JsonRecord, CallToolResult> {
  const { remoteName = name, ...spec } = given;
  if (audience !== undefined && remoteName !== name)
    throw optionError(
      `the tool ${quote(name)}`,
      `a grant for it is none for ${quote(remoteName)}, as the server calls it`,
    );
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
  return guard.tool(name, whole, async (args: JsonRecord, context) => {
    const { signal } = context;
    const call = { name: remoteName, arguments: args };
    if (audience === undefined) return await client.callTool(call, { signal });
    const grant = await context.showGrant({ audience });
    const meta = { [GRANT_META_KEY]: grant.toJSON() };
    const result = await client.callTool({ ...call, _meta: meta }, { signal });
    const { _meta: told } = result;
    const said = told?.[LABELS_META_KEY];
    const labels = labelsTold(said, labelsFromJson(said), undefined);
    if (labels !== undefined) context.taint(labels);
    return result;
  });
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
