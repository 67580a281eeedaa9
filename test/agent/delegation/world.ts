import type { IncomingMessage, ServerResponse } from 'node:http';
import { Workload } from 'agent-spiffe';
import {
  createGuard,
  functionPolicy,
  type Guard,
  type GuardOptions,
  type PolicyFunction,
  type RevocationSource,
} from 'agent-spiffe/agent';
import { createFetch, type FetchOptions, type SpiffeFetch } from 'agent-spiffe/http';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { httpService } from '../../support/http-service.js';
import { MemoryLog } from '../support.js';

export const ORCHESTRATOR = 'spiffe://example.org/agents/orchestrator';
export const RESEARCHER = 'spiffe://example.org/agents/researcher';
export const MAILER = 'spiffe://example.org/agents/mailer';
export const STRANGER = 'spiffe://example.org/agents/stranger';

export const SEND = {
  effect: 'egress',
  sink: { clearance: 'internal' },
  returns: { confidentiality: 'public', integrity: 'trusted' },
} as const;
export const SECRET = {
  effect: 'read',
  returns: { confidentiality: 'confidential', integrity: 'trusted' },
} as const;
export const WEB = { effect: 'read', returns: { confidentiality: 'public' } } as const;

/** Holds that nothing was revoked: where a test is about something else. */
const NOTHING_REVOKED: RevocationSource = { status: () => 'active' };

/** An agent in a process of its own, as far as the others can tell. */
export interface Party {
  readonly id: string;
  readonly me: Workload;
  readonly guard: Guard;
  readonly log: MemoryLog;
}

/** Agents with identities from a Workload API that call each other over mutual TLS. */
export class DelegationWorld implements AsyncDisposable {
  readonly api: WorkloadApiServer;
  readonly #opened: (() => Promise<unknown>)[] = [];

  private constructor(api: WorkloadApiServer) {
    this.api = api;
    this.#opened.push(() => api.close());
  }

  static async open(ttlMs?: number): Promise<DelegationWorld> {
    const identities = [ORCHESTRATOR, RESEARCHER, MAILER, STRANGER].map((id) => ({ id, hint: id }));
    const options = {
      trustDomain: 'example.org',
      identities,
      ...(ttlMs !== undefined && { ttlMs }),
    };
    return new DelegationWorld(await WorkloadApiServer.open(options));
  }

  /** Closed with the world, before what was opened earlier. */
  #keep<T extends { close(): Promise<unknown> }>(opened: T): T {
    this.#opened.push(() => opened.close());
    return opened;
  }

  async party(
    id: string,
    options: Partial<GuardOptions> & { readonly decide?: PolicyFunction } = {},
  ): Promise<Party> {
    const { decide = () => true, ...rest } = options;
    const me = this.#keep(await Workload.open({ address: this.api.address, pick: id }));
    const log = new MemoryLog();
    const policy = functionPolicy(decide);
    const made = { identity: me, audit: log, policy, revocation: NOTHING_REVOKED, ...rest };
    return { id, me, log, guard: this.#keep(await createGuard(made)) };
  }

  /** Serves as this party, for every identity of the trust domain. Gives the origin. */
  async serve(
    { me }: Party,
    handler: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>,
  ): Promise<string> {
    const { origin } = this.#keep(await httpService(me, 'spiffe://example.org/**', handler));
    return origin;
  }

  fetch(
    { me }: Party,
    peers: FetchOptions['peers'],
    more: Partial<FetchOptions> = {},
  ): SpiffeFetch {
    return this.#keep(createFetch(me, { ...more, peers }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#opened.toReversed()) await close();
  }
}
