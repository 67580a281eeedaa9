import type { ClientRequest } from 'node:http';
import { Agent, type AgentOptions as HttpsAgentOptions } from 'node:https';
import { isIPv6 } from 'node:net';
import type { Duplex } from 'node:stream';
import { SpiffeError } from '../../errors.js';
import type { Identity, Verifier } from '../../identity/source.js';
import { quote } from '../../internal/quote.js';
import { bearer, twoAuthorizations } from './authorization.js';
import { type Client, type ClientOptions, parseClient } from './client-options.js';
import { openHead, setsHeader } from './request-head.js';
import { type Target, urlAt } from './targets.js';

/** Options of {@link createAgent}. */
export interface AgentOptions extends ClientOptions {
  /** Whether connections are kept for further requests. Default: `true`. */
  readonly keepAlive?: boolean;
  /** The most idle connections that are kept an origin. Default: 256. */
  readonly maxFreeSockets?: number;
}

/**
 * Makes an agent for `node:https`, and for the many clients built on it: each connection is verified before a request is
 * written to it, and serves only its own origin under its own rule. A refusal is the request's `error` event.
 *
 * @param identity - a `Verifier`, which has no SVID, makes a client that verifies servers and shows them no certificate.
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` or `ERR_SPIFFE_PEER_RULE_INVALID`.
 */
export function createAgent(identity: Identity | Verifier, options: AgentOptions): Agent {
  const client = parseClient(identity, options);
  const { keepAlive = true, maxFreeSockets } = options;
  return new BoundAgent(client, {
    keepAlive,
    ...(maxFreeSockets === undefined ? {} : { maxFreeSockets }),
  });
}

/** Carries the target of a request through Node's agent, which hands its options from one method to the next. */
const TARGET = Symbol('agent-spiffe: target');

const AUTHORIZATION = 'Authorization';

interface RequestTarget {
  readonly host?: string | null;
  readonly port?: string | number | null;
  readonly path?: string | null;
  readonly socketPath?: string | undefined;
  /** Or why there is none. */
  readonly [TARGET]?: Target | Error;
}

/** The part of Node's agent that its types leave out; `ClientRequest` calls it. */
interface RequestQueue {
  addRequest(request: ClientRequest, options: RequestTarget): void;
}

type Connected = (error: Error | null, socket?: Duplex) => void;

class BoundAgent extends Agent {
  readonly #client: Client;

  constructor(client: Client, options: HttpsAgentOptions) {
    super(options);
    this.#client = client;
  }

  /** Decides once a request, so that the pool's name for a connection never changes under it. */
  addRequest(request: ClientRequest, options: RequestTarget): void {
    const target = this.#targetOf(options);
    const audience = target instanceof Error ? undefined : target.jwtAudience;
    if (target instanceof Error || audience === undefined) this.#enqueue(request, options, target);
    else void this.#enqueueWithToken(request, options, target, audience);
  }

  #enqueue(request: ClientRequest, options: RequestTarget, target: Target | Error): void {
    const queue = Agent.prototype as unknown as RequestQueue;
    queue.addRequest.call(this, request, { ...options, [TARGET]: target });
  }

  async #enqueueWithToken(
    request: ClientRequest,
    options: RequestTarget,
    target: Target,
    audience: string,
  ): Promise<void> {
    try {
      if (setsHeader(request, AUTHORIZATION)) throw twoAuthorizations(target);
      const head = openHead(request, AUTHORIZATION, () => twoAuthorizations(target));
      head.add(bearer(await this.#client.token(audience)));
      this.#enqueue(request, options, target);
    } catch (error) {
      this.#enqueue(request, options, error as Error);
    }
  }

  /** The pool's key: origin and rule, so that a connection verified under one rule never serves another. */
  override getName(options: RequestTarget = {}): string {
    const target = this.#targetOf(options);
    return target instanceof Error ? 'refused' : `${target.origin} ${target.rule.key}`;
  }

  override createConnection(options: RequestTarget, callback: Connected): undefined {
    const target = this.#targetOf(options);
    if (target instanceof Error) process.nextTick(callback, target);
    else this.#client.open(target, callback);
  }

  #targetOf(options: RequestTarget): Target | Error {
    const known = options[TARGET];
    if (known !== undefined) return known;
    try {
      return this.#client.targets.of(urlOf(options));
    } catch (error) {
      return error as Error;
    }
  }
}

function urlOf({ host, port, path, socketPath }: RequestTarget): URL {
  const name = host ?? 'localhost';
  const text = `https://${isIPv6(name) ? `[${name}]` : name}:${port ?? 443}`;
  if (socketPath !== undefined || !URL.canParse(text)) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot send a request to ${quote(socketPath ?? text)}: give a host and a port`,
    );
  }
  return urlAt(text, path ?? '/');
}
