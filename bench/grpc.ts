import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import {
  type ChannelCredentials,
  Client,
  credentials,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { X509Bundles } from 'agent-spiffe';
import { createChannelCredentials, createServer } from 'agent-spiffe/grpc';
import { CLIENT, IN_FLIGHT, type Material, SERVER } from './material.js';
import { type Comparison, perSecondAsync } from './rounds.js';
import { bareOptions, identityOf } from './tls.js';

const serialize = (text: string): Buffer => Buffer.from(text);
const deserialize = (bytes: Buffer): string => bytes.toString();
const unary: MethodDefinition<string, string> = {
  path: '/bench.Echo/unary',
  requestStream: false,
  responseStream: false,
  requestSerialize: serialize,
  requestDeserialize: deserialize,
  responseSerialize: serialize,
  responseDeserialize: deserialize,
};

/** Calls over connections that are kept, both ends in this process; grpc-js's own mTLS uses the same certificates. */
export async function grpcComparisons({
  ca,
  server,
  client,
}: Material): Promise<{ comparisons: Comparison[]; close(): void }> {
  const bundles = X509Bundles.of(ca.bundle);
  const [ours, bare] = [echo(), echo()];
  const port = createServer(identityOf(server, bundles), { allow: CLIENT }, ours);
  port.listen(0, '127.0.0.1');
  await once(port, 'listening');
  const oursPort = (port.address() as AddressInfo).port;
  const { cert, key, ca: root } = pems(bareOptions(server, ca));
  const barePort = await new Promise<number>((resolve, reject) => {
    const pair = [{ cert_chain: cert, private_key: key }];
    const secure = ServerCredentials.createSsl(root, pair, true);
    bare.bindAsync('127.0.0.1:0', secure, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const mine = createChannelCredentials(identityOf(client, bundles), { peer: SERVER });
  const own = pems(bareOptions(client, ca));
  const plain = credentials.createSsl(own.ca, own.key, own.cert, {
    checkServerIdentity: () => undefined,
  });
  const [oursClient, bareClient] = [clientOf(oursPort, mine), clientOf(barePort, plain)];
  return {
    comparisons: [
      {
        name: `keep-alive unary call over gRPC, ${IN_FLIGHT} in flight`,
        unit: '/s',
        ours: () => perSecondAsync(() => call(oursClient), IN_FLIGHT),
        rivals: [
          {
            name: 'bare',
            mark: { atLeast: 0.95 },
            run: () => perSecondAsync(() => call(bareClient), IN_FLIGHT),
          },
        ],
      },
    ],
    close: () => {
      oursClient.close();
      bareClient.close();
      mine.close();
      ours.forceShutdown();
      bare.forceShutdown();
    },
  };
}

function echo(): Server {
  const server = new Server();
  server.addService(
    { unary },
    {
      unary: ({ request }: ServerUnaryCall<string, string>, done: sendUnaryData<string>) =>
        done(null, request),
    },
  );
  return server;
}

// The name is what grpc-js sends as SNI, which may be no address.
const clientOf = (port: number, secure: ChannelCredentials): Client =>
  new Client(`127.0.0.1:${port}`, secure, { 'grpc.ssl_target_name_override': 'localhost' });

function call(client: Client): Promise<string> {
  return new Promise((resolve, reject) => {
    const { path } = unary;
    client.makeUnaryRequest(path, serialize, deserialize, 'ok', new Metadata(), (error, answer) =>
      error === null ? resolve(answer ?? '') : reject(error),
    );
  });
}

/** As grpc-js takes them. */
function pems(options: ReturnType<typeof bareOptions>): Record<'ca' | 'cert' | 'key', Buffer> {
  const { ca, cert, key } = options;
  return { ca: bytes(ca), cert: bytes(cert), key: bytes(key) };
}

const bytes = (pem: unknown): Buffer => Buffer.from(String(pem));
