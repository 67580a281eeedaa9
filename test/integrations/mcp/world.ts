import type { RequestListener } from 'node:http';
import {
  Client,
  type ClientOptions,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client';
import { McpServer, type ServerOptions } from '@modelcontextprotocol/server';
import { Workload } from 'agent-spiffe';
import {
  allArguments,
  createGuard,
  functionPolicy,
  type Guard,
  type GuardOptions,
  type PolicyFunction,
  type TaskOptions,
} from 'agent-spiffe/agent';
import { createFetch, type SpiffeFetch } from 'agent-spiffe/http';
import { guardMcpServer, type McpServerOptions } from 'agent-spiffe/mcp';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { z } from 'zod';
import { MemoryLog } from '../../agent/support.js';
import { httpService } from '../../support/http-service.js';

export const CRM = 'spiffe://example.org/tools/crm';
export const RESEARCHER = 'spiffe://example.org/agents/researcher';
export const CLERK = 'spiffe://example.org/agents/clerk';

/** A guard, with what it wrote down. */
export interface Guarded {
  readonly guard: Guard;
  readonly log: MemoryLog;
}

/** An MCP server that answers over mutual TLS. */
export interface Served extends Guarded {
  readonly url: string;
}

/** Parties with identities from a Workload API, and what they have opened. */
export class World implements AsyncDisposable {
  readonly #api: WorkloadApiServer;
  readonly #opened: (() => Promise<unknown>)[] = [];

  private constructor(api: WorkloadApiServer) {
    this.#api = api;
    this.#opened.push(() => api.close());
  }

  get address(): string {
    return this.#api.address;
  }

  static async open(): Promise<World> {
    const identities = [CRM, RESEARCHER, CLERK].map((id) => ({ id, hint: id }));
    return new World(await WorkloadApiServer.open({ trustDomain: 'example.org', identities }));
  }

  /** Closed with the world, before what was opened earlier. */
  #keep<T extends { close(): Promise<unknown> }>(opened: T): T {
    this.#opened.push(() => opened.close());
    return opened;
  }

  async workload(id: string): Promise<Workload> {
    return this.#keep(await Workload.open({ address: this.#api.address, pick: id }));
  }

  /** A guard of `id` that permits what labels, constraints and budgets do, unless told otherwise. */
  async guard(id: string, policy: PolicyFunction = () => true): Promise<Guarded> {
    const log = new MemoryLog();
    const identity = await this.workload(id);
    const engine: GuardOptions['policy'] = functionPolicy(policy);
    return { guard: this.#keep(await createGuard({ identity, audit: log, policy: engine })), log };
  }

  /** Serves `options` as the CRM, for every identity of the trust domain. */
  async serve(options: McpServerOptions, { guard, log }: Guarded): Promise<Served> {
    const { url } = await this.listen(await guardMcpServer(guard, options));
    return { guard, log, url };
  }

  /** Has a handler answer as the CRM, until the world is closed. */
  async listen(handler: RequestListener): Promise<{ readonly url: string }> {
    const me = await this.workload(CRM);
    const service = this.#keep(await httpService(me, 'spiffe://example.org/**', handler));
    return { url: `${service.origin}/mcp` };
  }

  /** A fetch of `id` that takes no one but `peer` where `url` leads. */
  async fetch(id: string, url: string, peer: string = CRM): Promise<SpiffeFetch> {
    return this.#keep(
      createFetch(await this.workload(id), { peers: { [new URL(url).origin]: peer } }),
    );
  }

  /** A client of the SDK as `id`, with nothing of ours but the connection. */
  async client(id: string, url: string, options: ClientOptions = MODERN): Promise<Client> {
    const client = this.#keep(new Client({ name: 'test', version: '1.0.0' }, options));
    const fetch = (await this.fetch(id, url)) as never;
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { fetch }));
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#opened.splice(0).toReversed()) await close();
  }
}

/** Speaks MCP 2026-07-28 where the server does. */
export const MODERN: ClientOptions = { versionNegotiation: { mode: 'auto' } };

/** What the CRM did. */
export type Done = [tool: string, args: object];

/** A server with two tools, made anew at each call. */
export function crm(done: Done[] = [], options: ServerOptions = {}): () => McpServer {
  return () => {
    const server = new McpServer({ name: 'crm', version: '1.0.0' }, options);
    const search = { description: 'Finds customers', inputSchema: z.object({ q: z.string() }) };
    server.registerTool('search', search, (args) => {
      done.push(['search', args]);
      return { content: [{ type: 'text', text: `found ${args.q}` }] };
    });
    const rename = {
      description: 'Renames a customer',
      inputSchema: z.object({ id: z.string(), name: z.string().default('nobody') }),
    };
    server.registerTool('rename', rename, (args) => {
      done.push(['rename', args]);
      return { content: [{ type: 'text', text: 'renamed' }] };
    });
    return server;
  };
}

/** What the tools of the CRM do. */
export const CRM_TOOLS = {
  search: { effect: 'read', returns: { confidentiality: 'internal' } },
  rename: { effect: 'write', sink: { clearance: 'internal' } },
} as const satisfies McpServerOptions['tools'];

/** A task that may do this once, and has nothing else of interest. */
export function once(
  tools: TaskOptions['tools'] = { search: allArguments(), rename: allArguments() },
  more: Partial<TaskOptions> = {},
): TaskOptions {
  return { purpose: 'serve', tools, budget: { calls: 1 }, ttlMs: 30_000, ...more };
}
