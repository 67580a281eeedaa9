/** What the three processes have in common: who they are, a guard with a record of its own, and a server for the others. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Workload } from 'agent-spiffe';
import {
  auditLog,
  createGuard,
  functionPolicy,
  type Guard,
  type RevocationSource,
} from 'agent-spiffe/agent';
import { createFetch, createServer, type SpiffeFetch } from 'agent-spiffe/http';
import { pino } from 'pino';

export const IDS = {
  orchestrator: 'spiffe://example.org/agents/orchestrator',
  researcher: 'spiffe://example.org/agents/researcher',
  mailer: 'spiffe://example.org/tools/mail',
} as const;

export type Name = keyof typeof IDS;

/** One of the three, in its process. */
export interface Party extends AsyncDisposable {
  readonly me: Workload;
  readonly guard: Guard;
  /** Where the others are, as soon as they have told. */
  readonly origins: Partial<Record<Name, string>>;
  /** Sends to them, each bound to its SPIFFE ID. */
  readonly fetch: SpiffeFetch;
  /** Serves the others over mutual TLS, and at `/revoked` what its tasks have revoked. Gives the origin. */
  serve(handler: RequestListener): Promise<string>;
}

/** Opens it; it learns of revocations from `revocation`, where it serves calls. */
export async function openParty(
  name: Name,
  { address, home }: { readonly address: string; readonly home: string },
  origins: Partial<Record<Name, string>> = {},
  revocation?: (me: Workload, fetch: SpiffeFetch) => Promise<RevocationSource>,
): Promise<Party> {
  const logger = pino({ level: process.env['LOG_LEVEL'] ?? 'error' }, pino.destination(2));
  const pick = IDS[name].split('/').at(-1) ?? '';
  const me = await Workload.open({ address, pick, logger });
  const fetch = createFetch(me, {
    peers: (url) => {
      const found = Object.entries(origins).find(([, origin]) => origin === url.origin);
      return found && IDS[found[0] as Name];
    },
  });
  const known = revocation && (await revocation(me, fetch));
  const guard = await createGuard({
    identity: me,
    policy: functionPolicy(() => true), // what counts here are grants and labels
    audit: auditLog(join(home, name), { arguments: { send_mail: { to: 'keep', body: 'redact' } } }),
    logger,
    ...(known !== undefined && { revocation: known }),
  });
  const revoked = guard.revocationHandler();
  const closing: (() => Promise<unknown>)[] = [];
  return {
    me,
    guard,
    origins,
    fetch,
    async serve(handler) {
      const server = createServer(
        me,
        { allow: Object.values(IDS), logger },
        (request, response) => {
          if (request.url === '/revoked') revoked(request, response);
          else handler(request, response);
        },
      );
      await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening));
      closing.push(() => {
        server.closeAllConnections();
        return new Promise<void>((closed) => void server.close(() => closed()));
      });
      return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    },
    async [Symbol.asyncDispose]() {
      await guard.close();
      await fetch.close();
      for (const close of closing) await close();
      await me.close();
    },
  };
}

/** All that a request brings. */
export async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** Answers with what a promise gives, or with why it rejects. */
export function answer(response: ServerResponse, result: Promise<string>): void {
  result.then(
    (text) => response.end(text),
    (error: Error) => {
      response.statusCode = 422;
      response.end(error.message);
    },
  );
}
