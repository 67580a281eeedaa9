import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { McpRequestContext, McpServerFactory } from '@modelcontextprotocol/server';
import type { Guard } from '../../agent/guard.js';
import { checkFunction, checkMembers } from '../../agent/options.js';
import type { TaskOptions } from '../../agent/task-options.js';
import { peerOf } from '../../bindings/http/peer.js';
import { type PeerRule, parsePeerRule } from '../../identity/peer-rule.js';
import type { SpiffeId } from '../../identity/spiffe-id.js';
import { bytesWithin } from '../../internal/bounded-text.js';
import { goneSignal } from '../../internal/gone-signal.js';
import { parseStrictJson, plainJson } from '../../internal/strict-json.js';
import { checkLogger, type Logger, SILENT } from '../../log.js';
import { Desk } from './desk.js';
import { sendResponse, toRequest } from './http.js';
import { toolsOf } from './listing.js';
import { INTERNAL_ERROR, INVALID_REQUEST, REFUSED, refuseRequest } from './refusals.js';
import { loadSdk } from './sdk.js';
import { checkSpecs, type McpToolSpec } from './tool-spec.js';

/** Options of {@link guardMcpServer}. */
export interface McpServerOptions {
  /** Makes the server, anew for each request, as the SDK's `createMcpHandler` has it. It offers tools and nothing else. */
  readonly server: McpServerFactory;
  /** What each tool does. One that is not named here is neither listed nor called. */
  readonly tools: Readonly<Record<string, McpToolSpec>>;
  /**
   * What a request of this caller may do, whose SPIFFE ID mutual TLS has proved; `undefined` refuses it. Unless said
   * otherwise the `endUser` of its task is the caller; the `caller` in its `business` always is.
   */
  readonly task: (caller: SpiffeId) => TaskOptions | undefined | Promise<TaskOptions | undefined>;
  /**
   * Whether each call must come with a grant that allows it, under `agent-spiffe/grant` in its `_meta`; `task` bounds it
   * all the same. The task of the call then holds what its caller has read, and the answer says what it has read itself.
   * `issuers` says whose grants are taken: who may have signed the root. Default: none is asked for.
   */
  readonly grants?: { readonly issuers: PeerRule };
  /** Told of callers that are refused, and of what fails. Default: silent. */
  readonly logger?: Logger;
}

/**
 * Puts an MCP server of the SDK behind a guard, as the handler of a server that `createServer` makes. Each request to
 * list or to call tools is a task of its own. It lists what the task may call; a call is decided, put on record and
 * made as any guarded call, its arguments judged as they came. A refusal is an error that tells the reason and no
 * more. A tool learns who calls it by `ctx.http.authInfo.clientId`.
 *
 * Wraps the tools, so call it before the guard's first task.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, also for a server without one of the tools and where
 * `@modelcontextprotocol/server` is not installed; `ERR_SPIFFE_PEER_RULE_INVALID`, `ERR_SPIFFE_GUARD_SEALED`.
 */
export async function guardMcpServer(
  guard: Guard,
  options: McpServerOptions,
): Promise<RequestListener> {
  const what = 'the options of an MCP server';
  checkMembers(what, options, ['server', 'tools', 'task', 'grants', 'logger']);
  const { server, tools, task, grants } = options;
  checkFunction(`${what}: server`, server);
  checkFunction(`${what}: task`, task);
  checkSpecs(`${what}: tools`, tools);
  if (grants !== undefined) {
    checkMembers(`${what}: grants`, grants, ['issuers']);
    parsePeerRule(grants.issuers);
  }
  const logger = checkLogger(options.logger ?? SILENT);
  const { createMcpHandler } = await loadSdk(
    '@modelcontextprotocol/server',
    () => import('@modelcontextprotocol/server'),
  );
  const desk = new Desk(guard, logger);
  desk.wrap(tools, await toolsOf(await server({ era: 'modern' })));

  const onerror = (error: Error): void =>
    logger.debug({ err: error }, 'what an MCP server noticed');
  const serve = (
    request: Request,
    caller: SpiffeId,
    may: TaskOptions,
    incoming: IncomingMessage,
  ): Promise<Response> => {
    const make = (context: McpRequestContext) =>
      desk.serve(server, context, { may, ...(grants && { granted: { incoming, ...grants } }) });
    // What is subscribed to belongs to no task.
    const handler = createMcpHandler(make, { maxSubscriptions: 0, onerror });
    const authInfo = { token: '', clientId: caller.toString(), scopes: [] };
    return handler.fetch(request, { authInfo });
  };
  return (request, response) =>
    void answer(request, response, { task, logger, serve, grants: grants !== undefined });
}

interface Serving extends Required<Pick<McpServerOptions, 'task' | 'logger'>> {
  readonly grants: boolean;
  readonly serve: (
    request: Request,
    caller: SpiffeId,
    may: TaskOptions,
    incoming: IncomingMessage,
  ) => Promise<Response>;
}

/** As many bytes as the SDK takes. */
const LONGEST_BODY = 4 * 1024 * 1024;

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { task, logger, serve, grants }: Serving,
): Promise<void> {
  const gone = goneSignal(response);
  try {
    const admitted = await admit(request, task, logger);
    if (admitted === undefined) {
      refuseRequest(response, { status: 403, code: REFUSED, message: 'refused: caller' });
      return;
    }
    const { caller, may } = admitted;
    const body = grants ? await bytesWithin(request, LONGEST_BODY) : undefined;
    const isJudgeable = !grants || (body !== undefined && isPlain(body));
    const web = isJudgeable ? toRequest(request, gone, body) : undefined;
    if (web === undefined) {
      refuseRequest(response, { status: 400, code: INVALID_REQUEST, message: 'Bad request' });
      return;
    }
    const signal = may.signal === undefined ? gone : AbortSignal.any([gone, may.signal]);
    await sendResponse(await serve(web, caller, { ...may, signal }, request), response);
  } catch (error) {
    if (gone.aborted) return;
    logger.error({ err: error }, 'an MCP request failed');
    if (response.headersSent) response.destroy();
    else refuseRequest(response, { status: 500, code: INTERNAL_ERROR, message: 'Internal error' });
  }
}

/**
 * Whether everybody reads the same in it: the SDK has parsed the arguments when they are judged, and their text is gone
 * then. No member twice, no number that changes when it is read.
 */
function isPlain(body: Uint8Array): boolean {
  if (body.length === 0) return true;
  try {
    plainJson(parseStrictJson(UTF8.decode(body)));
    return true;
  } catch {
    return false;
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Who calls, and what that caller may do; `undefined` for one that is refused. */
async function admit(
  request: IncomingMessage,
  task: McpServerOptions['task'],
  logger: Logger,
): Promise<{ readonly caller: SpiffeId; readonly may: TaskOptions } | undefined> {
  const refused = 'refused an MCP request';
  // MCP 2026-07-28, Streamable HTTP: a web page that a browser was tricked into. No agent sends an origin.
  if (request.headers.origin !== undefined) {
    logger.warn({ reason: 'it comes from a web page' }, refused);
    return undefined;
  }
  let caller: SpiffeId;
  try {
    caller = peerOf(request).id;
  } catch (error) {
    logger.warn({ err: error }, refused);
    return undefined;
  }
  const peer = caller.toString();
  const may = await task(caller);
  if (may === undefined) {
    logger.warn({ peer, reason: 'there is no task for this caller' }, refused);
    return undefined;
  }
  return { caller, may: { endUser: peer, ...may, business: { ...may.business, caller: peer } } };
}
