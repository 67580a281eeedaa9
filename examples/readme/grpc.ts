import { Client, type Server } from '@grpc/grpc-js';
import { Workload } from 'agent-spiffe';
import { createChannelCredentials, createServer, peerOf } from 'agent-spiffe/grpc';

/** A client, of this class or one that was generated. */
export async function client(): Promise<Client> {
  const me = await Workload.open();
  const tools = createChannelCredentials(me, { peer: 'spiffe://example.org/tools' });
  return new Client('tools.internal:8443', tools);
}

/** The port of a server, in place of `bindAsync`. */
export async function serve(server: Server): Promise<void> {
  const me = await Workload.open();
  createServer(me, { allow: 'spiffe://example.org/agents/**' }, server).listen(8443);
}

/** In a handler, unary or streaming. */
export function hello(call: Parameters<typeof peerOf>[0]): string {
  return `hello ${peerOf(call).id}`;
}
