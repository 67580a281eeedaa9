import type { AddressInfo } from 'node:net';
import type { Identity } from 'agent-spiffe';
import { createServer, peerOf } from 'agent-spiffe/http';

/** A tool that agents may call, and nobody else. */
export interface ToolService extends AsyncDisposable {
  readonly origin: string;
}

/** Serves one tool over mutual TLS to whoever proves to be one of our agents. */
export async function startTool(me: Identity): Promise<ToolService> {
  const server = createServer(me, { allow: 'spiffe://example.org/agents/*' }, (req, res) => {
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify({ served: me.x509.svid().id, caller: peerOf(req).id }));
  });
  await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `https://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => new Promise((closed) => void server.close(() => closed())),
  };
}
