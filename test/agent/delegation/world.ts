import type { IncomingMessage, ServerResponse } from 'node:http';
import { Workload } from 'agent-spiffe';
import {
  functionPolicy,
  type Guard,
  type GuardOptions,
  type PolicyFunction,
  RevocationLists,
  type RevocationSource,
} from 'agent-spiffe/agent';
import { createFetch, type FetchOptions, type SpiffeFetch } from 'agent-spiffe/http';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { createGuardWith } from '#lib/agent/guard.js';
import { type Clock, SYSTEM_CLOCK } from '#lib/internal/clock.js';
import { httpService } from '../../support/http-service.js';
import { MemoryLog } from '../support.js';

export const ORCHESTRATOR = 'spiffe://example.org/agents/orchestrator';
export const RESEARCHER = 'spiffe://example.org/agents/researcher';
export const MAILER = 'spiffe://example.org/agents/mailer';
export const STRANGER = 'spiffe://example.org/agents/stranger';

/** Whoever may give grants, where a test is about something else. */
export const AGENTS = 'spiffe://example.org/agents/*';

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

/** An agent in a process of its own, as far as the others can tell. */
export interface Party {
  readonly id: string;
  readonly me: Workload;
  readonly guard: Guard;
  readonly log: MemoryLog;
  /** What others have revoked, where it asks. */
  readonly lists: RevocationLists | undefined;
}

interface PartyOptions {
  readonly decide?: PolicyFunction;
  readonly clock?: Clock;
  /** Whose revocations it learns of. Default: nobody's, and it takes all for active. */
  readonly revokedBy?: readonly Party[];
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
    options: Partial<Omit<GuardOptions, 'revocation'>> & PartyOptions = {},
  ): Promise<Party> {
    const { decide = () => true, clock = SYSTEM_CLOCK, revokedBy = [], ...rest } = options;
    const me = this.#keep(await Workload.open({ address: this.api.address, pick: id }));
    const { lists, revocation } = await this.#revocation(me, revokedBy);
    const log = new MemoryLog();
    const policy = functionPolicy(decide);
    const made = { identity: me, audit: log, policy, revocation, ...rest };
    return { id, me, log, lists, guard: this.#keep(await createGuardWith(made, clock)) };
  }

  /** The lists of these parties; for nobody's, a source that says that nothing was revoked. */
  async #revocation(
    identity: Workload,
    parties: readonly Party[],
  ): Promise<{
    readonly lists: RevocationLists | undefined;
    readonly revocation: RevocationSource;
  }> {
    if (parties.length === 0) return { lists: undefined, revocation: { status: () => 'active' } };
    const publishers: Record<string, string> = {};
    const peers: Record<string, string> = {};
    for (const party of parties) {
      const origin = await this.serve(party, party.guard.revocationHandler());
      publishers[party.id] = `${origin}/revoked`;
      peers[origin] = party.id;
    }
    const fetch = this.#keep(createFetch(identity, { peers }));
    const lists = this.#keep(await RevocationLists.open({ identity, fetch, publishers }));
    return { lists, revocation: lists };
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
