import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { type Identity, UNAUTHENTICATED_CLIENTS, type X509Svid } from 'agent-spiffe';
import { createServer, type PeerMiddleware } from 'agent-spiffe/http';
import { listen } from './listen.js';
import { closeServer, pemOf } from './web.js';

/** An answer, as far as these tests look at it. */
export interface Answer {
  readonly status: number;
  readonly challenge: string | undefined;
  readonly body: string;
}

/** A server that lets in anyone, with one middleware before a handler that tells what it knows. */
export interface GuardedServer extends AsyncDisposable {
  readonly port: number;
  /** How many requests came past the middleware. */
  reached(): number;
}

export async function guardedServer(
  identity: Identity,
  middleware: PeerMiddleware,
  tell: (request: IncomingMessage) => string,
): Promise<GuardedServer> {
  let reached = 0;
  const server = createServer(identity, { allow: UNAUTHENTICATED_CLIENTS }, (req, res) => {
    middleware(req, res, () => {
      reached += 1;
      res.end(tell(req));
    });
  });
  const port = await listen(server);
  return { port, reached: () => reached, [Symbol.asyncDispose]: () => closeServer(server) };
}

/** One request to a {@link GuardedServer}, by a client that verifies nothing. */
export async function callWith(
  { port }: GuardedServer,
  options: {
    /** Each is a header of its own. */
    readonly authorizations?: readonly string[];
    readonly headers?: Readonly<Record<string, string>>;
    readonly path?: string;
    /** What the client shows on the connection. */
    readonly svid?: X509Svid;
    readonly body?: string;
  } = {},
): Promise<Answer> {
  const { authorizations = [], headers = {}, path = '/', svid, body } = options;
  const lines = [
    ['Host', 'localhost'],
    ...Object.entries(headers),
    ...authorizations.map((value) => ['Authorization', value] as const),
  ];
  const sent = request({
    host: '127.0.0.1',
    port,
    path,
    method: body === undefined ? 'GET' : 'POST',
    headers: lines.flat() as never,
    agent: false,
    rejectUnauthorized: false,
    ...(svid === undefined ? {} : pemOf(svid)),
  }).end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return {
    status: response.statusCode ?? 0,
    challenge: response.headers['www-authenticate'],
    body: await text(response),
  };
}
