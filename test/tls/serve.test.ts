import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { Socket, connect as tcpConnect } from 'node:net';
import {
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
  connect as tlsConnect,
} from 'node:tls';
import { inspect } from 'node:util';
import type { Identity, Logger, X509Svid } from 'agent-spiffe';
import { createServer, protect, type ServerOptions } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { secureContextOptions } from '#lib/tls/context.js';
import { listen } from '../support/listen.js';
import { memoryLogger } from '../support/memory-logger.js';
import { refusal } from '../support/refusal.js';
import { staticIdentity } from '../support/static-identity.js';

const ca = TestCa.create('example.org');
const SERVER = 'spiffe://example.org/server';
const CLIENT = 'spiffe://example.org/client';
const client: X509Svid = ca.issue(CLIENT);

/** A client with a good SVID that looks at what the server presents. */
function dial(port: number, options: { socket?: ReturnType<typeof tcpConnect> } = {}): TLSSocket {
  const { key, cert } = secureContextOptions(client);
  const at = options.socket === undefined ? { port, host: '127.0.0.1' } : {};
  const socket = tlsConnect({
    ...at,
    ...options,
    ...(key === undefined ? {} : { key }),
    ...(cert === undefined ? {} : { cert }),
    rejectUnauthorized: false,
  });
  socket.on('error', () => {});
  return socket;
}

async function presented(socket: TLSSocket): Promise<Buffer> {
  await once(socket, 'secureConnect');
  return socket.getPeerX509Certificate()?.raw ?? Buffer.alloc(0);
}

const leafOf = (svid: X509Svid): Buffer => Buffer.from(svid.certificates[0] ?? []);

async function ask(socket: TLSSocket): Promise<string> {
  socket.write('GET / HTTP/1.1\r\nHost: target\r\n\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return answer.toString('latin1').slice(0, 15);
}

async function close(server: TlsServer): Promise<void> {
  server.close();
  await once(server, 'close');
}

/** A handshake that begins now and goes on when `finish` is called, with others `between`. */
async function slowHandshake() {
  const identity = staticIdentity(ca, SERVER);
  const logger = memoryLogger();
  const server = createServer(identity, { allow: CLIENT, logger }, (_request, response) => {
    response.end('hi');
  });
  const port = await listen(server);
  const slow = tcpConnect(port, '127.0.0.1');
  await once(server, 'connection');
  const between = async (svid: X509Svid): Promise<void> => {
    identity.x509.set({ svids: [svid] });
    const other = dial(port);
    expect(await ask(other)).to.equal('HTTP/1.1 200 OK');
    other.destroy();
  };
  const finish = (): TLSSocket => {
    const late = dial(port, { socket: slow });
    late.once('close', () => server.close());
    return late;
  };
  return { between, finish, logger };
}

describe('a server that presents an SVID', () => {
  it('presents the newest one to each new client, and keeps the connections it has', async () => {
    const identity = staticIdentity(ca, SERVER);
    const first = identity.x509.svid();
    const server = createServer(identity, { allow: CLIENT }, (_request, response) => {
      response.end('hi');
    });
    const port = await listen(server);
    const before = dial(port);
    expect(await presented(before)).to.deep.equal(leafOf(first));
    expect(await ask(before)).to.equal('HTTP/1.1 200 OK');

    const second = ca.issue(SERVER);
    identity.x509.set({ svids: [second] });
    const after = dial(port);
    expect(await presented(after)).to.deep.equal(leafOf(second));
    expect(await ask(after)).to.equal('HTTP/1.1 200 OK');
    expect(await ask(before)).to.equal('HTTP/1.1 200 OK');
    before.destroy();
    after.destroy();
    await close(server);
  });

  it('closes before the handshake while it has no SVID, says why, and serves when it has one again', async () => {
    const identity = staticIdentity(ca, SERVER);
    const logger = memoryLogger();
    const server = createServer(identity, { allow: CLIENT, logger }, (_request, response) => {
      response.end('hi');
    });
    const port = await listen(server);
    let connections = 0;
    server.on('connection', () => {
      connections += 1;
    });
    const svids = identity.x509.svids();
    identity.x509.set({ state: 'revoked' });
    const refused = tcpConnect(port, '127.0.0.1').resume();
    await once(refused, 'close');
    expect(connections).to.equal(0);
    expect(logger.at('warn').map(({ fields }) => fields['code'])).to.deep.equal([
      'ERR_SPIFFE_SVID_REVOKED',
    ]);
    identity.x509.set({ state: 'ready', svids, bundles: staticIdentity(ca, SERVER).x509.bundles });
    const served = dial(port);
    expect(await ask(served)).to.equal('HTTP/1.1 200 OK');
    served.destroy();
    await close(server);
  });

  it('knows under which of its IDs each handshake was made', async () => {
    const identity = staticIdentity(ca, SERVER);
    const original = identity.x509.svid();
    const renamed = ca.issue('spiffe://example.org/renamed');
    const server = createServer(identity, { allow: CLIENT }, (_request, response) => {
      response.end('hi');
    });
    const port = await listen(server);
    const slow = tcpConnect(port, '127.0.0.1');
    await once(server, 'connection');
    identity.x509.set({ svids: [renamed, original] });
    const fast = dial(port);
    expect(await presented(fast)).to.deep.equal(leafOf(renamed));
    expect(await ask(fast)).to.equal('HTTP/1.1 200 OK');
    const late = dial(port, { socket: slow });
    expect(await presented(late)).to.deep.equal(leafOf(original));
    expect(await ask(late)).to.equal('HTTP/1.1 200 OK');

    identity.x509.set({ svids: [renamed] });
    await once(late, 'close');
    expect(await ask(fast), 'what rests on the other ID goes on').to.equal('HTTP/1.1 200 OK');
    fast.destroy();
    await close(server);
  });

  for (const [what, ids] of [
    ['its ID is two IDs ago', ['second', 'third']],
    ['another ID has been renewed since', ['second', 'second']],
  ] as const) {
    it(`refuses who took so long over the handshake that ${what}`, async () => {
      const { between, finish, logger } = await slowHandshake();
      for (const id of ids) await between(ca.issue(`spiffe://example.org/${id}`));
      await once(finish().resume(), 'close');
      expect(logger.at('warn').map(({ fields }) => fields['code'])).to.deep.equal([
        'ERR_SPIFFE_HANDSHAKE_FAILED',
      ]);
    });
  }

  it('serves who took so long over the handshake that our SVID was renewed twice', async () => {
    const { between, finish, logger } = await slowHandshake();
    for (const svid of [ca.issue(SERVER), ca.issue(SERVER)]) await between(svid);
    const late = finish();
    expect(await ask(late)).to.equal('HTTP/1.1 200 OK');
    expect(logger.at('warn')).to.deep.equal([]);
    late.destroy();
  });

  it('shows its private key to nobody who inspects it', async () => {
    const identity = staticIdentity(ca, SERVER);
    const server = createHttpsServer();
    protect(server, identity, { allow: CLIENT });
    const port = await listen(server);
    const socket = dial(port);
    await once(socket, 'secureConnect');
    expect(inspect(server, { depth: 12, showHidden: true })).to.not.include('PRIVATE KEY');
    socket.destroy();
    await close(server);
  });

  it('speaks no TLS 1.2 when told so', async () => {
    const identity = staticIdentity(ca, SERVER);
    const options: ServerOptions = { allow: CLIENT, minVersion: 'TLSv1.3' };
    const server = createServer(identity, options, (_request, response) => response.end('hi'));
    const port = await listen(server);
    const refused = tlsConnect({
      port,
      host: '127.0.0.1',
      maxVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    });
    const [error] = (await once(refused, 'error')) as [Error];
    expect(error)
      .to.have.property('code')
      .that.matches(/ALERT_PROTOCOL_VERSION$/);
    const passed = dial(port);
    expect(await ask(passed)).to.equal('HTTP/1.1 200 OK');
    passed.destroy();
    await close(server);
  });
});

describe('protect', () => {
  const identity = staticIdentity(ca, SERVER);

  it('refuses a server without TLS', () => {
    const server = createHttpServer() as unknown as TlsServer;
    refusal('ERR_SPIFFE_OPTION_INVALID', 'does not speak TLS', () =>
      protect(server, identity, { allow: CLIENT }),
    );
  });

  it('closes on a client that does not get its handshake done, on a plain TLS server as well; one that does passes', async () => {
    const server = createTlsServer({ handshakeTimeout: 50 }, (socket) => socket.end('hello'));
    protect(server, identity, { allow: CLIENT });
    const port = await listen(server);
    const slow = tcpConnect(port, '127.0.0.1');
    await once(slow.resume(), 'close');
    const passed = dial(port);
    const [greeting] = (await once(passed, 'data')) as [Buffer];
    expect(greeting.toString()).to.equal('hello');
    passed.destroy();
    await close(server);
  });

  it('refuses to protect a server twice, whose second rule would not be asked', () => {
    const server = createHttpsServer();
    protect(server, identity, { allow: CLIENT });
    refusal('ERR_SPIFFE_OPTION_INVALID', 'protected already', () =>
      protect(server, identity, { allow: CLIENT }),
    );
  });

  it('refuses a server that listens already', async () => {
    const server = createHttpsServer();
    await listen(server);
    refusal('ERR_SPIFFE_OPTION_INVALID', 'listens already', () =>
      protect(server, identity, { allow: CLIENT }),
    );
    await close(server);
    protect(server, identity, { allow: CLIENT });
  });

  it('refuses a bad rule, and leaves the server as it was', () => {
    const server = createHttpsServer();
    refusal('ERR_SPIFFE_PEER_RULE_INVALID', 'none of', () =>
      // @ts-expect-error -- a rule is never left out
      protect(server, identity, {}),
    );
    protect(server, identity, { allow: CLIENT });
  });

  for (const [what, bad, says] of [
    ['a promise', Promise.resolve(identity), /a promise .* await Workload\.open\(\)/],
    ['nothing', undefined, /a value of type undefined/],
    ['a source without its identity', identity.x509, /a value of type object/],
    [
      'bundles alone',
      { x509: { updates: () => identity.x509.updates() } },
      /what can only verify others .* give a Workload/,
    ],
  ] as const) {
    it(`refuses ${what} in the place of an identity`, () => {
      refusal('ERR_SPIFFE_OPTION_INVALID', says, () =>
        protect(createHttpsServer(), bad as unknown as Identity, { allow: CLIENT }),
      );
    });
  }

  it('closes the connection that it refuses before it says so to a logger, which may throw', () => {
    const cause = new RangeError('mine');
    const logger: Logger = {
      ...memoryLogger(),
      warn: () => {
        throw cause;
      },
    };
    const revoked = staticIdentity(ca, SERVER);
    revoked.x509.set({ state: 'revoked' });
    const server = createHttpsServer();
    protect(server, revoked, { allow: CLIENT, logger });
    const raw = new Socket();
    expect(() => server.emit('connection', raw)).to.throw(cause);
    expect(raw.destroyed).to.equal(true);
  });

  it('refuses a logger that would fail at the first refusal', () => {
    const logger = { ...memoryLogger(), warn: undefined } as unknown as Logger;
    refusal('ERR_SPIFFE_OPTION_INVALID', 'no method warn', () =>
      protect(createHttpsServer(), identity, { allow: CLIENT, logger }),
    );
  });

  it('refuses a version of TLS that it does not know', () => {
    const options = { allow: CLIENT, minVersion: 'TLSv1.1' } as unknown as ServerOptions;
    refusal('ERR_SPIFFE_OPTION_INVALID', 'minVersion', () =>
      protect(createHttpsServer(), identity, options),
    );
  });
});

describe('createServer', () => {
  const identity = staticIdentity(ca, SERVER);

  for (const bad of [0, -1, 1.5, Number.NaN, 2 ** 31, '1000'] as number[]) {
    it(`refuses ${JSON.stringify(bad)} as handshakeTimeoutMs`, () => {
      refusal('ERR_SPIFFE_OPTION_INVALID', 'handshakeTimeoutMs', () =>
        createServer(identity, { allow: CLIENT, handshakeTimeoutMs: bad }),
      );
    });
  }

  it('takes the longest time that a timer takes', () => {
    createServer(identity, { allow: CLIENT, handshakeTimeoutMs: 2 ** 31 - 1 });
  });

  it('refuses to be made without a rule', () => {
    refusal('ERR_SPIFFE_PEER_RULE_INVALID', 'none of', () =>
      // @ts-expect-error -- a rule is never left out
      createServer(identity, {}),
    );
  });

  it('refuses to be made without options, a handler in their place', () => {
    refusal('ERR_SPIFFE_OPTION_INVALID', '{ allow:', () =>
      createServer(identity, (() => {}) as unknown as ServerOptions),
    );
  });
});
