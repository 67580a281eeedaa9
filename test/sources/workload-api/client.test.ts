import { EventEmitter, once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { FakeClock, WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import {
  parseWorkloadApiAddress,
  type WorkloadApiAddress,
} from '#lib/sources/workload-api/address.js';
import { type Stream, WorkloadApiClient } from '#lib/sources/workload-api/client.js';
import type { StreamEnd } from '#lib/sources/workload-api/failure.js';
import {
  FETCH_X509_BUNDLES,
  FETCH_X509_SVID,
  type RpcMethod,
} from '#lib/sources/workload-api/proto.js';
import { Watcher } from '#lib/sources/workload-api/watcher.js';
import { listen } from '../../support/listen.js';
import { memoryLogger } from '../../support/memory-logger.js';

const MIB = 2 ** 20;

/** Runs one call to its end, or until `until` says that this message was the last one wanted. */
function call<Request extends object, Response>(
  client: WorkloadApiClient,
  method: RpcMethod<Request, Response>,
  request: Request,
  enough: (message: Response) => boolean = () => false,
): Promise<{ readonly messages: Response[]; readonly end?: StreamEnd }> {
  return new Promise((resolve) => {
    const messages: Response[] = [];
    const stream: Stream = client.stream(method, request, {
      message: (bytes) => {
        const message = method.response.decode(bytes);
        messages.push(message);
        if (!enough(message)) return;
        stream.cancel();
        resolve({ messages });
      },
      end: (end) => resolve({ messages, end }),
    });
  });
}

const fetchSvids = (client: WorkloadApiClient) => call(client, FETCH_X509_SVID, {});

describe('a client of the Workload API', () => {
  let server: WorkloadApiServer;
  let client: WorkloadApiClient;

  beforeEach(async () => {
    server = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: ['spiffe://example.org/a'],
      federated: ['other.org'],
    });
    client = new WorkloadApiClient({
      address: parseWorkloadApiAddress(server.address),
      messageBytes: MIB,
    });
  });

  afterEach(async () => {
    client.close();
    await server.close();
  });

  it('sends the security header with every call (WLE-04)', async () => {
    for (const method of [FETCH_X509_SVID, FETCH_X509_BUNDLES] as const) {
      const received = server.nextCall();
      await call(client, method as RpcMethod<object, unknown>, {}, () => true);
      expect((await received).metadata['workload.spiffe.io']).to.deep.equal(['true']);
    }
  });

  it('fetches X.509-SVIDs, and bundles alone (WLA-14, WLA-25)', async () => {
    const { messages } = await call(client, FETCH_X509_SVID, {}, () => true);
    expect(messages[0]?.svids.map(({ spiffeId }) => spiffeId)).to.deep.equal([
      'spiffe://example.org/a',
    ]);
    const bundles = await call(client, FETCH_X509_BUNDLES, {}, () => true);
    expect([...(bundles.messages[0]?.bundles.keys() ?? [])]).to.have.members([
      'spiffe://example.org',
      'spiffe://other.org',
    ]);
  });

  it('supervises a stream of either kind: it is back after the connection was cut', async () => {
    for (const method of [FETCH_X509_SVID, FETCH_X509_BUNDLES] as const) {
      const clock = new FakeClock();
      const seen = new EventEmitter();
      const watcher = new Watcher({
        what: method.path,
        address: parseWorkloadApiAddress(server.address),
        start: (events) => client.stream<object, unknown>(method, {}, events),
        reconnect: () => client.reconnect(),
        handlers: {
          message: () => seen.emit('message'),
          down: () => seen.emit('down'),
          failed: (error) => seen.emit('error', error),
        },
        clock,
        logger: memoryLogger(),
      });
      const first = once(seen, 'message');
      watcher.start();
      await first;
      const down = once(seen, 'down');
      server.disconnect();
      await down;
      const second = once(seen, 'message');
      clock.advance(300);
      await second;
      watcher.stop();
    }
  });

  it('takes a message as large as its limit allows, and ends the call at a larger one', async () => {
    let bytes = MIB;
    server.corruptSvids(() => new Uint8Array(bytes), { times: 2 });
    const sizes: number[] = [];
    const end = await new Promise<StreamEnd>((resolve) => {
      client.stream(
        FETCH_X509_SVID,
        {},
        {
          message: (message) => {
            sizes.push(message.length);
            bytes = MIB + 1;
            server.resend();
          },
          end: resolve,
        },
      );
    });
    expect(sizes).to.deep.equal([MIB]);
    expect(end).to.deep.include({ status: 8, unreachable: false });
  });

  it('takes 16 MiB, which grpc-js alone would refuse', async () => {
    const large = new WorkloadApiClient({
      address: parseWorkloadApiAddress(server.address),
      messageBytes: 16 * MIB,
    });
    server.corruptSvids(() => new Uint8Array(16 * MIB));
    const size = await new Promise((resolve) => {
      large.stream(
        FETCH_X509_SVID,
        {},
        {
          message: ({ length }) => resolve(length),
          end: resolve,
        },
      );
    });
    large.close();
    expect(size).to.equal(16 * MIB);
  });

  for (const [status, details] of [
    [1, 'cancelled by the server'],
    [7, 'no identity issued'],
    [14, 'not ready'],
  ] as const) {
    it(`tells that the server ended the call with status ${status}, and that it was the server`, async () => {
      server.failWith(status, details);
      const { end } = await fetchSvids(client);
      expect(end).to.deep.equal({ status, details, unreachable: false });
    });
  }

  it('tells a clean end', async () => {
    const opened = server.nextCall();
    const ended = fetchSvids(client);
    await opened;
    server.endStreams();
    expect((await ended).end).to.deep.include({ status: 0, unreachable: false });
  });

  it('tells that nothing listens, in the words of the system', async () => {
    await server.goOffline();
    const { end } = await fetchSvids(client);
    expect(end?.status).to.equal(14);
    expect(end?.unreachable).to.equal(true);
    expect(end?.details).to.match(/^connect (ENOENT|ECONNREFUSED) \//);
  });

  it('calls again as soon as it is asked to, whatever the last attempts met', async () => {
    await server.goOffline();
    for (let attempt = 0; attempt < 8; attempt++) await fetchSvids(client);
    await server.goOnline();
    const { messages } = await call(client, FETCH_X509_SVID, {}, () => true);
    expect(messages).to.have.lengthOf(1);
  });

  it('leaves the other calls of a connection alone when one ends', async () => {
    let opened = server.nextCall();
    const bundles = call(client, FETCH_X509_BUNDLES, {});
    await opened;
    server.failWith(14, 'shedding load', { times: 1 });
    expect((await fetchSvids(client)).end?.status).to.equal(14);
    expect(server.openStreams).to.equal(1);
    opened = server.nextCall();
    const svids = fetchSvids(client);
    await opened;
    expect(server.openStreams).to.equal(2);
    server.endStreams();
    expect((await bundles).messages).to.have.lengthOf(1);
    await svids;
  });

  it('tells the server when a call is given up', async () => {
    await call(client, FETCH_X509_SVID, {}, () => true);
    await server.idle();
    expect(server.openStreams).to.equal(0);
  });
});

describe('a client of the Workload API over TCP', () => {
  it('goes to the address itself, whatever proxy the environment names', async () => {
    const server = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: ['spiffe://example.org/a'],
      address: 'tcp://127.0.0.1:0',
    });
    let proxied = 0;
    const proxy = net.createServer((socket) => {
      proxied++;
      socket.destroy();
    });
    const names = ['http_proxy', 'https_proxy', 'grpc_proxy', 'no_proxy'];
    const before = names.map((name) => process.env[name]);
    const url = `http://127.0.0.1:${await listen(proxy)}`;
    try {
      for (const name of names) process.env[name] = name === 'no_proxy' ? '' : url;
      const client = new WorkloadApiClient({
        address: parseWorkloadApiAddress(server.address),
        messageBytes: MIB,
      });
      const { messages } = await call(client, FETCH_X509_SVID, {}, () => true);
      client.close();
      expect(messages).to.have.lengthOf(1);
      expect(proxied).to.equal(0);
    } finally {
      for (const [at, name] of names.entries()) {
        if (before[at] === undefined) delete process.env[name];
        else process.env[name] = before[at];
      }
      proxy.close();
      await server.close();
    }
  });
});

describe('a client of the Workload API before a server that is none', () => {
  const LOOPBACK = '127.0.0.1';

  async function endAgainst(server: net.Server): Promise<StreamEnd | undefined> {
    const port = await listen(server);
    const address: WorkloadApiAddress = { kind: 'tcp', host: LOOPBACK, port };
    const client = new WorkloadApiClient({ address, messageBytes: MIB });
    const { end } = await fetchSvids(client);
    client.close();
    server.close();
    return end;
  }

  it('ends when the connection is closed at once', async () => {
    const end = await endAgainst(net.createServer((socket) => socket.destroy()));
    expect(end).to.deep.include({ status: 14, unreachable: true });
  });

  it('ends when what answers is not HTTP/2', async () => {
    const end = await endAgainst(
      net.createServer((socket) => {
        socket.on('error', () => {});
        socket.end('SSH-2.0-OpenSSH_9.6\r\n'.repeat(10));
      }),
    );
    expect(end).to.deep.include({ status: 14, unreachable: true });
  });

  for (const [what, headers, status] of [
    ['HTTP 404', { ':status': 404 }, 12],
    ['HTTP 503', { ':status': 503 }, 14],
    // The first bytes of the page are taken for the length of a message.
    ['a page', { ':status': 200, 'content-type': 'text/html' }, 8],
  ] as const) {
    it(`ends when HTTP/2 answers with ${what}`, async () => {
      const end = await endAgainst(
        http2.createServer().on('stream', (stream) => {
          stream.on('error', () => {});
          stream.respond(headers);
          stream.end('<html>');
        }),
      );
      expect(end?.status).to.equal(status);
      expect(end?.unreachable).to.equal(false);
    });
  }

  it('ends the call with its connection: a silent server holds nothing open', async () => {
    const server = net.createServer();
    const port = await listen(server);
    const client = new WorkloadApiClient({
      address: { kind: 'tcp', host: LOOPBACK, port },
      messageBytes: MIB,
    });
    const connected = once(server, 'connection');
    let told = 0;
    const stream = client.stream(FETCH_X509_SVID, {}, { message: () => told++, end: () => told++ });
    const [socket] = (await connected) as [net.Socket];
    const closed = once(socket.resume(), 'close');
    stream.cancel();
    client.close();
    await closed;
    server.close();
    expect(told).to.equal(0);
  });
});
