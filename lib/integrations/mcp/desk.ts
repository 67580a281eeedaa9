import type { IncomingMessage } from 'node:http';
import type {
  CallToolResult,
  JSONRPCErrorResponse,
  JSONRPCRequest,
  JSONRPCResponse,
  ListToolsResult,
  McpRequestContext,
  McpServer,
  McpServerFactory,
  Server,
} from '@modelcontextprotocol/server';
import type { CallContext } from '../../agent/call.js';
import { current, type Running } from '../../agent/core.js';
import { LABELS_META_KEY } from '../../agent/delegation/labels.js';
import { DeniedError } from '../../agent/denied.js';
import { GrantError } from '../../agent/grant/grant-error.js';
import { GRANT_META_KEY } from '../../agent/grant/presentation.js';
import type { Guard, GuardedTool } from '../../agent/guard.js';
import { optionError } from '../../agent/options.js';
import { refusedUnknown } from '../../agent/refusal.js';
import type { Task } from '../../agent/task.js';
import type { TaskOptions } from '../../agent/task-options.js';
import type { ToolSpec } from '../../agent/tool-spec.js';
import type { PeerRule } from '../../identity/peer-rule.js';
import { canonicalJson } from '../../internal/canonical-json.js';
import { freezeJson } from '../../internal/frozen-json.js';
import { isJsonObject, type JsonRecord, member } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import type { Logger } from '../../log.js';
import { type Behind, interpose } from './messages.js';
import {
  errorAnswer,
  grantAnswer,
  INTERNAL_ERROR,
  INVALID_PARAMS,
  METHOD_NOT_FOUND,
  refusalAnswer,
  withoutMessage,
} from './refusals.js';
import { definitionOf, type Listed, listedAs, type McpToolSpec } from './tool-spec.js';

/** A call that is under way. */
interface Underway {
  readonly request: JSONRPCRequest;
  readonly behind: Behind;
}

/** What a request may do. */
export interface Bounds {
  readonly may: TaskOptions;
  /** The request as it came, where its calls need grants, and whose. */
  readonly granted?: { readonly incoming: IncomingMessage; readonly issuers: PeerRule };
}

/** A call that needs a grant. */
interface GrantedRequest extends Required<Bounds> {
  readonly name: string;
  readonly args: unknown;
  readonly meta: unknown;
}

/** Where the requests to one MCP server are answered: each in a task of its own. */
export class Desk {
  readonly #guard: Guard;
  readonly #logger: Logger;
  readonly #tools = new Map<string, GuardedTool<JsonRecord, CallToolResult>>();
  /** By the id of its task, of which there is one a request. */
  readonly #underway = new Map<string, Underway>();
  readonly #served = new WeakSet<object>();

  constructor(guard: Guard, logger: Logger) {
    this.#guard = guard;
    this.#logger = logger;
  }

  /** Makes a guarded tool of each that has a spec. */
  wrap(specs: Readonly<Record<string, McpToolSpec>>, offered: readonly Listed[]): void {
    for (const [name, spec] of Object.entries(specs)) {
      const whole = { ...spec, ...definitionOf(listedAs(name, offered)) } as ToolSpec;
      const tool = this.#guard.tool(name, whole, (args: JsonRecord, context) =>
        this.#perform(args, context),
      );
      this.#tools.set(name, tool);
    }
  }

  /** A server for one request. */
  async serve(
    factory: McpServerFactory,
    context: McpRequestContext,
    bounds: Bounds,
  ): Promise<McpServer | Server> {
    const server = await factory(context);
    if (this.#served.has(server))
      throw optionError('this MCP server', 'it has served another request: make each its own');
    this.#served.add(server);
    const connect = server.connect.bind(server);
    server.connect = async (transport) => {
      await connect(transport);
      interpose(transport, (request, behind) => this.#answer(request, behind, bounds));
    };
    return server;
  }

  async #answer(request: JSONRPCRequest, behind: Behind, bounds: Bounds): Promise<JSONRPCResponse> {
    const { id, method } = request;
    try {
      if (method === 'tools/list') return await this.#list(request, behind, bounds.may);
      if (method === 'tools/call') return await this.#call(request, behind, bounds);
      return errorAnswer(id, METHOD_NOT_FOUND, 'Method not found');
    } catch (error) {
      if (error instanceof Answered) return error.answer;
      if (error instanceof DeniedError) return refusalAnswer(id, error.reason);
      if (error instanceof GrantError) return grantAnswer(id, error.step);
      this.#logger.error({ err: error, method }, 'an MCP request failed');
      return errorAnswer(id, INTERNAL_ERROR, 'Internal error');
    }
  }

  async #list(request: JSONRPCRequest, behind: Behind, may: TaskOptions): Promise<JSONRPCResponse> {
    return await this.#guard.task(may, async (task) => {
      const answer = await behind.ask(request);
      if ('error' in answer) return answer;
      const { tools, ...rest } = answer.result as unknown as ListToolsResult;
      const own = tools.filter(({ name }) => this.#tools.has(name) && task.tools.includes(name));
      // MCP 2026-07-28: another caller gets another list, which no cache may mix up with this one.
      const scope = 'cacheScope' in rest && { cacheScope: 'private' };
      return { ...answer, result: { ...rest, ...scope, tools: own } };
    });
  }

  async #call(
    request: JSONRPCRequest,
    behind: Behind,
    { may, granted }: Bounds,
  ): Promise<JSONRPCResponse> {
    const { id, params = {} } = request;
    const { name, arguments: args = {}, _meta: meta, ...others } = params;
    // What else a call can carry, such as answers to what a tool asked back, would reach the tool unjudged.
    if (typeof name !== 'string' || Object.keys(others).length > 0)
      return errorAnswer(id, INVALID_PARAMS, 'a call has a name and arguments, and no more');
    const make = async (task: Task): Promise<CallToolResult> => {
      const tool = this.#tools.get(name);
      // To the caller there is no difference to a tool that its task does not have.
      if (tool === undefined) throw await refusedUnknown(current.getStore() as Running, name);
      this.#underway.set(task.id, { request, behind });
      try {
        // Whatever it is; the guard looks.
        return await tool(args as JsonRecord);
      } finally {
        this.#underway.delete(task.id);
      }
    };
    const result =
      granted === undefined
        ? await this.#guard.task(may, make)
        : await this.#byGrant({ name, args, meta, may, granted }, make);
    return { jsonrpc: '2.0', id, result };
  }

  /** In a task that is for this call alone, by the grant that came with it, within what its caller may do here. */
  async #byGrant(
    { name, args, meta, may, granted }: GrantedRequest,
    make: (task: Task) => Promise<CallToolResult>,
  ): Promise<CallToolResult> {
    const here = Object.hasOwn(may.tools, name) ? may.tools[name] : undefined;
    if (here === undefined || !this.#tools.has(name)) throw unknown(name);
    const { purpose, budget, ttlMs, clearance, labels, business, signal } = may;
    const task = await this.#guard.accept(granted.incoming, {
      tool: name,
      issuers: granted.issuers,
      argsJson: canonicalJson(freezeJson(args)),
      grant: (isJsonObject(meta) ? member(meta, GRANT_META_KEY) : undefined) ?? null,
      tools: { [name]: here },
      purpose,
      budget,
      ttlMs,
      ...(clearance !== undefined && { clearance }),
      ...(labels !== undefined && { labels }),
      ...(business !== undefined && { business }),
      ...(signal !== undefined && { signal }),
    });
    try {
      return await task.run(async () => {
        const { _meta: beside, ...result } = await make(task);
        return { ...result, _meta: { ...beside, [LABELS_META_KEY]: { ...task.labels } } };
      });
    } finally {
      await task.end();
    }
  }

  /** Has the server make a call that was decided, with the arguments that were. */
  async #perform(args: JsonRecord, { taskId, signal }: CallContext): Promise<CallToolResult> {
    const { request, behind } = this.#underway.get(taskId) as Underway;
    const cancel = (): void => behind.cancel();
    signal.addEventListener('abort', cancel);
    try {
      const params = { ...withoutGrant(request.params), arguments: args };
      const answer = await behind.ask({ ...request, params });
      if ('error' in answer) throw new Answered(answer);
      return withoutMessage(answer.result as unknown as CallToolResult);
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }
}

/** A proof is for this server, and not for what lies behind it. */
function withoutGrant(params: JSONRPCRequest['params']): JSONRPCRequest['params'] {
  const { _meta: meta } = params ?? {};
  if (!isJsonObject(meta) || !Object.hasOwn(meta, GRANT_META_KEY)) return params;
  const { [GRANT_META_KEY]: _grant, ...rest } = meta;
  return { ...params, _meta: rest };
}

/** The server answered with an error of its own. */
class Answered extends Error {
  override readonly name = 'McpError';
  readonly answer: JSONRPCErrorResponse;

  constructor(answer: JSONRPCErrorResponse) {
    super(answer.error.message);
    this.answer = answer;
  }
}

/** For a call that comes with a grant there is no task yet in whose name it could be recorded. */
function unknown(name: string): DeniedError {
  const message = `cannot call ${quote(name)}: there is no such tool`;
  return new DeniedError({ reason: 'tool-not-in-task', message, policies: [] });
}
