import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { Identity, PeerRule } from 'agent-spiffe';
import { createServer } from 'agent-spiffe/http';
import { listen } from './listen.js';

/** A server behind the gate, with what happened on it. */
export interface HttpService {
  readonly server: Server;
  readonly origin: string;
  readonly port: number;
  /** Connections that the gate let in, in their order. */
  readonly connections: readonly TLSSocket[];
  close(): Promise<void>;
}

/** Serves `handler` as `identity` on a free port of the loopback interface. */
export async function httpService(
  identity: Identity,
  allow: PeerRule,
  handler: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>,
): Promise<HttpService> {
  const server = createServer(identity, { allow }, (request, response) => {
    void handler(request, response);
  });
  const connections: TLSSocket[] = [];
  server.on('secureConnection', (socket) => connections.push(socket));
  const port = await listen(server);
  return {
    server,
    port,
    origin: `https://127.0.0.1:${port}`,
    connections,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
