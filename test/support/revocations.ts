import type { BoundFetch, BoundResponse, SpiffeId, X509Svid } from 'agent-spiffe';
import type {
  GrantRef,
  RevocationLists,
  RevocationListsOptions,
  RevocationSource,
} from 'agent-spiffe/agent';
import type { FakeClock, TestCa } from 'agent-spiffe/testing';
import { readOwnGrant } from '#lib/agent/grant/issue.js';
import type { GrantLink } from '#lib/agent/grant/link.js';
import type { VerifyGrantOptions } from '#lib/agent/grant/verify.js';
import { IssuedGrants } from '#lib/agent/revocation/issued-grants.js';
import { openListsWith } from '#lib/agent/revocation/lists.js';
import { type RevocationHandler, RevocationPublisher } from '#lib/agent/revocation/publisher.js';
import { type MemoryLogger, memoryLogger } from './memory-logger.js';
import { type StaticIdentity, staticIdentity } from './static-identity.js';

/** An agent that signs grants and publishes what it has revoked. */
export class Publisher {
  readonly id: SpiffeId;
  readonly url: string;
  readonly identity: StaticIdentity;
  readonly grants: IssuedGrants;
  readonly handler: RevocationHandler;

  constructor(ca: TestCa, id: SpiffeId, clock: FakeClock, validForMs: number = 15_000) {
    this.id = id;
    this.url = `https://${id.path.split('/').at(-1)}.example.org/revocations`;
    this.identity = staticIdentity(ca, id.toString());
    this.grants = new IssuedGrants(clock, id.toString());
    const { x509 } = this.identity;
    this.handler = new RevocationPublisher(x509, this.grants, clock, { validForMs }).handle;
  }

  get svid(): X509Svid {
    return this.identity.x509.svid();
  }

  /** A task of this agent has signed a token. */
  signed(taskId: string, token: string): void {
    const { jti, sub, tools, expiresAt } = readOwnGrant(token, this.id);
    const grant: GrantRef = {
      jti,
      chain: [jti],
      holder: sub.toString(),
      tools,
      expiresAt: expiresAt.getTime(),
    };
    this.grants.add({ ref: { id: taskId, purpose: 'a test' }, ended: () => undefined }, grant);
  }

  /** What it answers with now. */
  answer(method: string = 'GET'): { readonly status: number; readonly text: string } {
    return answerOf(this.handler, method);
  }
}

/** What a handler answers with now. */
export function answerOf(handler: RevocationHandler, method: string = 'GET'): ReturnType<Endpoint> {
  let status = 0;
  let text = '';
  handler(
    { method },
    {
      writeHead: (code) => {
        status = code;
      },
      end: (body = '') => {
        text = body;
      },
    },
  );
  return { status, text };
}

/** What stands at a URL: what answers there, or what goes wrong. */
export type Endpoint = () => { readonly status: number; readonly text: string };

/** A network of tests: what a verifier is answered. */
export class Endpoints {
  readonly asked: string[] = [];
  readonly #at = new Map<string, Endpoint>();

  put(url: string, endpoint: Endpoint): void {
    this.#at.set(url, endpoint);
  }

  readonly fetch: BoundFetch = Object.assign(
    (url: string | URL): Promise<BoundResponse> => {
      this.asked.push(String(url));
      const endpoint = this.#at.get(String(url));
      if (endpoint === undefined) return Promise.reject(new Error('it cannot be reached'));
      const { status, text } = endpoint();
      return Promise.resolve({
        status,
        ok: status === 200,
        headers: { get: () => null },
        text: () => Promise.resolve(text),
        json: () => Promise.reject(new Error('it is no JSON')),
        arrayBuffer: () => Promise.reject(new Error('nobody reads it so')),
      });
    },
    { peerRule: (url: string | URL): string => `spiffe://example.org/agents/${String(url)}` },
  );
}

/** A verifier that polls some publishers, with all in a test's hand. */
export interface Verifying {
  readonly lists: RevocationLists;
  readonly logger: MemoryLogger;
  readonly identity: StaticIdentity;
}

/** Opens the lists of these publishers, at their URLs. */
export async function verifying(
  ca: TestCa,
  clock: FakeClock,
  endpoints: Endpoints,
  publishers: readonly Publisher[],
  more: Partial<RevocationListsOptions> = {},
): Promise<Verifying> {
  const logger = memoryLogger();
  const identity = staticIdentity(ca, 'spiffe://example.org/tools/mail');
  const lists = await openListsWith(
    {
      identity,
      fetch: endpoints.fetch,
      publishers: Object.fromEntries(publishers.map(({ id, url }) => [id.toString(), url])),
      logger,
      ...more,
    },
    clock,
  );
  return { lists, logger, identity };
}

/** Why lists were not taken, one a line. */
export function complaints({ logger }: Verifying): string {
  return logger
    .at('warn')
    .map(({ fields }) => String(fields['err']))
    .join('\n');
}

/** The hook of a verifier that asks a source. */
export function asking(source: RevocationSource): Required<Pick<VerifyGrantOptions, 'isRevoked'>> {
  return { isRevoked: (_jti: string, link: GrantLink) => source.status(link) };
}
