import { EventEmitter, once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import { text } from 'node:stream/consumers';
import type { JwtSvid } from 'agent-spiffe';
import { createServer } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { listen } from './listen.js';
import { staticIdentity } from './static-identity.js';
import type { StaticJwtIdentity } from './static-jwt.js';
import { closeServer } from './web.js';

export const ME = 'spiffe://example.org/agent';
export const TOOLS = 'spiffe://example.org/tools';
export const ca: TestCa = TestCa.create('example.org');

/** What a {@link NotingServer} saw of a request. */
export interface Seen {
  readonly url: string;
  /** Every Authorization, in order. */
  readonly authorizations: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A server behind the gate that notes what it is sent and answers with nothing secret. */
export class NotingServer implements AsyncDisposable {
  readonly seen: Seen[] = [];
  readonly server: Server;
  origin = '';

  private constructor(id: string, location?: string) {
    this.server = createServer(staticIdentity(ca, id), { allow: ME }, (req, res) => {
      void this.#note(req, res, location);
    });
  }

  async #note(req: IncomingMessage, res: ServerResponse, location?: string): Promise<void> {
    this.seen.push({ url: req.url ?? '', body: await text(req), ...headersOf(req) });
    if (location !== undefined) res.writeHead(307, { location });
    res.end('done');
  }

  static async open(id: string = TOOLS, location?: string): Promise<NotingServer> {
    const noting = new NotingServer(id, location);
    noting.origin = `https://localhost:${await listen(noting.server)}`;
    return noting;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return closeServer(this.server);
  }
}

function headersOf({
  headers,
  rawHeaders,
}: IncomingMessage): Pick<Seen, 'headers' | 'authorizations'> {
  return {
    headers: headers as Record<string, string>,
    authorizations: rawHeaders.filter(
      (_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'authorization',
    ),
  };
}

/** Makes the source of this identity give a token when the test does. */
export function held(identity: StaticJwtIdentity): {
  /** When a token was asked for. */
  readonly asked: Promise<unknown>;
  give(token: JwtSvid): void;
} {
  const events = new EventEmitter();
  identity.jwt.give = async () => {
    const given = once(events, 'token');
    events.emit('asked');
    return ((await given) as [JwtSvid])[0];
  };
  return { asked: once(events, 'asked'), give: (token) => events.emit('token', token) };
}

/** A token of {@link ME} for this audience. */
export const tokenFor = (audience: string): Promise<JwtSvid> => ca.issueJwt(ME, { audience });
