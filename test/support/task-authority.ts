import type { Identity } from 'agent-spiffe';
import type { TaskAuthorityOptions } from 'agent-spiffe/authority';
import { createFetch } from 'agent-spiffe/http';
import { FakeClock, TestCa } from 'agent-spiffe/testing';
import { createTaskAuthorityWith } from '#lib/integrations/authority/authority.js';
import { MemoryLog } from '../agent/support.js';
import { type HttpService, httpService } from './http-service.js';
import { type MemoryLogger, memoryLogger } from './memory-logger.js';
import { staticIdentity } from './static-identity.js';

export const AUTHORITY = 'spiffe://example.org/task-authority';

/** What an authority answered. */
export interface Answer {
  readonly status: number;
  readonly error?: string;
  readonly certificates?: readonly Uint8Array[];
}

/** A task authority over mutual TLS, with all that it stands on in a test's hand. */
export class AuthorityBench implements AsyncDisposable {
  readonly ca: TestCa;
  /** The authority of a trust domain that the gate believes too. */
  readonly partner: TestCa;
  readonly clock: FakeClock;
  readonly log: MemoryLog;
  readonly logger: MemoryLogger;
  readonly service: HttpService;
  /** The requests that reached the issuer. */
  readonly minted: { readonly csr: Uint8Array; readonly ttlSeconds: number }[];
  readonly close: () => Promise<void>;

  private constructor(made: Omit<AuthorityBench, 'ask' | 'send' | typeof Symbol.asyncDispose>) {
    this.ca = made.ca;
    this.partner = made.partner;
    this.clock = made.clock;
    this.log = made.log;
    this.logger = made.logger;
    this.service = made.service;
    this.minted = made.minted;
    this.close = made.close;
  }

  static async open(options: Partial<TaskAuthorityOptions> = {}): Promise<AuthorityBench> {
    const clock = new FakeClock(new Date());
    const ca = TestCa.create('example.org', { now: () => new Date(clock.now()) });
    const partner = TestCa.create('partner.test');
    const identity = staticIdentity(ca, AUTHORITY, [partner]);
    const log = new MemoryLog();
    const logger = memoryLogger();
    const minted: AuthorityBench['minted'] = [];
    const authority = await createTaskAuthorityWith(
      {
        identity,
        mint: ({ csr, ttlSeconds }) => {
          minted.push({ csr, ttlSeconds });
          return Promise.resolve(ca.mint(csr, { ttlMs: ttlSeconds * 1000 }));
        },
        allow: ['spiffe://example.org/agents/**', 'spiffe://partner.test/**'],
        audit: log,
        logger,
        ...options,
      },
      clock,
    );
    const all = ['spiffe://example.org/**', 'spiffe://partner.test/**'];
    const service = await httpService(identity, all, authority);
    return new AuthorityBench({
      ca,
      partner,
      clock,
      log,
      logger,
      service,
      minted,
      close: () => authority.close(),
    });
  }

  /** Sends a request as this workload: a good one, but for what is said. */
  async ask(
    from: Identity,
    request: { readonly csr: Uint8Array; readonly ttlMs?: number; readonly more?: object },
  ): Promise<Answer> {
    const { csr, ttlMs = 60_000, more = {} } = request;
    const body = JSON.stringify({
      csr: Buffer.from(csr).toString('base64'),
      purpose: 'a test',
      expiresAt: this.clock.now() + ttlMs,
      ...more,
    });
    return await this.send(from, body);
  }

  async send(from: Identity, body: string, method = 'POST'): Promise<Answer> {
    const { origin } = this.service;
    await using fetch = createFetch(from, { peers: { [origin]: AUTHORITY } });
    const init = method === 'GET' ? {} : { body };
    const response = await fetch(origin, { method, ...init });
    const { error, certificates } = (await response.json()) as {
      error?: string;
      certificates?: string[];
    };
    return {
      status: response.status,
      ...(error !== undefined && { error }),
      ...(certificates && {
        certificates: certificates.map((each) => Buffer.from(each, 'base64')),
      }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    await this.service.close();
  }
}
