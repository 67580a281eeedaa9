import { createHmac, randomBytes } from 'node:crypto';
import { SpiffeError } from '../errors.js';
import type { PeerRule, WEB_PKI } from '../identity/peer-rule.js';
import type { BoundFetch, BoundRequestInit, BoundResponse } from '../identity/source.js';
import { freezeJsonObject } from '../internal/frozen-json.js';
import { isJsonObject, type JsonRecord } from '../internal/json.js';
import { quote } from '../internal/quote.js';
import { type CallContext, guardedCall } from './call.js';
import { current } from './core.js';
import { checkLabels, type Labels } from './flow/labels.js';
import { checkSink, type Sink } from './flow/sink.js';
import { checkMembers, optionError } from './options.js';
import { refuseNested } from './task.js';
import type { TaskCore } from './task-core.js';
import { Tool } from './tool.js';
import type { ToolSpec } from './tool-spec.js';

/** The name of the tool that `task.fetch` calls. */
export const FETCH = 'fetch';

/** What requests to one origin do with data. */
export interface OriginFlow {
  /** The labels of its answers. Integrity by default `untrusted`. */
  readonly returns: Omit<Labels, 'integrity'> & Partial<Labels>;
  /** What may be sent there; by default `outside`. */
  readonly sink: Omit<Sink, 'outside'> & Partial<Sink>;
}

/** Origins, written `https://host` or `https://host:port`, and what requests to them do with data. */
export type Origins = Readonly<Record<string, OriginFlow>>;

interface ParsedFlow {
  readonly returns: Labels;
  readonly sink: Sink;
}

/** An origin that nobody described: nothing but public data goes there, and what comes is not trusted. */
const UNKNOWN: ParsedFlow = Object.freeze({
  returns: Object.freeze({ confidentiality: 'internal', integrity: 'untrusted' }),
  sink: Object.freeze({ clearance: 'public', outside: true }),
});

/** The tool of `task.fetch`. @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` */
export function fetchTool(origins: Origins): Tool {
  const flows = parseOrigins(origins);
  const flowOf = (args: JsonRecord): ParsedFlow =>
    flows.get(new URL(args['url'] as string).origin) ?? UNKNOWN;
  const spec: ToolSpec = {
    description: 'Sends an HTTP request to a peer that is bound to the origin of its URL.',
    inputSchema: {
      type: 'object',
      properties: {
        url: { type: 'string', format: 'uri' },
        method: { type: 'string' },
        headers: { type: 'object', additionalProperties: { type: 'string' } },
        body: { type: 'string' },
        bodyBase64: { type: 'string', contentEncoding: 'base64' },
      },
      required: ['url', 'method'],
      additionalProperties: false,
    },
    effect: 'egress',
    resource: 'url',
    destination: 'url',
    returns: (args) => flowOf(args).returns,
    sink: (args) => flowOf(args).sink,
  };
  return new Tool(FETCH, spec, withoutCredentials(randomBytes(32)));
}

/**
 * Headers carry credentials: none is shown to policies, approvers or the record, whatever its rules are. A digest under a
 * key that nobody learns stands for each value, so that an approval is of these values and no others.
 */
function withoutCredentials(key: Buffer): (args: JsonRecord) => JsonRecord {
  const digest = (value: unknown): string =>
    `hmac-sha256:${createHmac('sha256', key).update(JSON.stringify(value)).digest('hex')}`;
  return (args) => {
    const { headers } = args;
    if (headers === undefined) return args;
    const shown = isJsonObject(headers)
      ? Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, digest(value)]))
      : digest(headers);
    return freezeJsonObject({ ...args, headers: shown });
  };
}

/** The function of that tool: sends what was judged, and nothing else. */
export function sendRequest(
  fetch: BoundFetch,
): (args: JsonRecord, context: CallContext) => unknown {
  return ({ url, method, headers, body, bodyBase64 }, { signal }) =>
    fetch(url as string, {
      method: method as string,
      signal,
      ...(headers !== undefined && { headers: headers as Record<string, string> }),
      ...(typeof body === 'string' && { body }),
      ...(typeof bodyBase64 === 'string' && { body: Buffer.from(bodyBase64, 'base64') }),
    });
}

/** `task.fetch` of one task. */
export function taskFetch(task: TaskCore, tool: Tool | undefined): BoundFetch {
  const { fetch } = task.guard;
  const needed = (): BoundFetch => {
    if (fetch !== undefined) return fetch;
    throw optionError('a request', 'the guard was given no fetch');
  };
  const send = async (url: string | URL, init: BoundRequestInit = {}): Promise<BoundResponse> => {
    const bound = needed();
    const running = current.getStore();
    if (running !== undefined && running.task !== task) refuseNested();
    const args = argumentsOf(url, init);
    const response = await guardedCall(
      running ?? { task, depth: 0 },
      tool as Tool,
      sendRequest(bound),
      args,
      init.signal,
    );
    return response as BoundResponse;
  };
  return Object.assign(send, {
    peerRule: (url: string | URL): PeerRule | typeof WEB_PKI => needed().peerRule(url),
  });
}

function argumentsOf(url: string | URL, init: BoundRequestInit): Record<string, unknown> {
  checkMembers('the options of a request', init, ['method', 'headers', 'body', 'signal']);
  const { method = 'GET', headers, body } = init;
  // What is read later, or by whoever sends it, could not be judged now.
  if (body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array))
    throw optionError('the body of a request', 'give text or a Uint8Array');
  const text = String(url);
  if (!URL.canParse(text)) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot fetch ${quote(text)}: give an absolute URL, as text or as a URL`,
    );
  }
  const parsed = new URL(text);
  if (parsed.username !== '' || parsed.password !== '')
    throw optionError(
      'a URL to fetch',
      'it holds a user name or a password, which the record would too',
    );
  return {
    // As it will be sent, whatever was written.
    url: parsed.href,
    method: method.toUpperCase(),
    headers,
    ...(typeof body === 'string' && { body }),
    ...(body instanceof Uint8Array && { bodyBase64: Buffer.from(body).toString('base64') }),
  };
}

function parseOrigins(origins: Origins): ReadonlyMap<string, ParsedFlow> {
  const what = 'the origins of a guard';
  checkMembers(what, origins, Object.keys(origins ?? {}));
  return new Map(
    Object.entries(origins).map(([text, flow]) => {
      if (!URL.canParse(text) || new URL(text).origin !== text)
        throw optionError(
          what,
          `${quote(text)} is not an origin, written as a URL parser writes it`,
        );
      checkMembers(`${what}: ${quote(text)}`, flow, ['returns', 'sink']);
      const untrusted: Labels = { confidentiality: 'restricted', integrity: 'untrusted' };
      return [
        text,
        Object.freeze({
          returns: checkLabels(`${what}: ${quote(text)}`, flow.returns, untrusted),
          sink: checkSink(`${what}: ${quote(text)}`, flow.sink, true),
        }),
      ];
    }),
  );
}
