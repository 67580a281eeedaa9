import { EventEmitter, once } from 'node:events';
import type { Server } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { SpiffeId, X509Bundles, type X509Snapshot } from 'agent-spiffe';
import { createServer } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { connect } from '#lib/tls/connect.js';
import { holdConnection } from '#lib/tls/connections.js';
import { parseRule } from '#lib/tls/rule.js';
import { listen } from '../support/listen.js';
import { memoryLogger } from '../support/memory-logger.js';
import { rejection } from '../support/rejection.js';
import {
  type Change,
  emptyBundle,
  type StaticIdentity,
  staticIdentity,
} from '../support/static-identity.js';

const home = TestCa.create('example.org');
const partner = TestCa.create('partner.example');
const other = TestCa.create('other.example');
const SELF = 'spiffe://example.org/self';
const PEER = 'spiffe://partner.example/peer';

/** The far end, which trusts ours whatever happens. */
const peer = staticIdentity(partner, PEER, [home]);
const self = (): StaticIdentity => staticIdentity(home, SELF, [partner, other]);
const bundles = (...cas: TestCa[]): X509Bundles => X509Bundles.of(...cas.map((ca) => ca.bundle));

/** What closes a connection between our ID and a peer of `partner.example`. */
const WITHDRAWALS: ReadonlyArray<readonly [string, Change]> = [
  ['the identity is revoked', { state: 'revoked' }],
  ['the source has failed', { state: 'failed' }],
  ['the source is closed', { state: 'closed' }],
  ['our ID is no longer among the identities', { svids: [home.issue('spiffe://example.org/x')] }],
  ["the peer's trust domain has left the bundles", { bundles: bundles(home, other) }],
  [
    "the peer's trust domain has no authority left",
    { bundles: X509Bundles.of(home.bundle, emptyBundle(partner), other.bundle) },
  ],
];

/** What does not. */
const HARMLESS: ReadonlyArray<readonly [string, Change]> = [
  ['the stream is down', { state: 'stale' }],
  ['our SVID was renewed', { svids: [home.issue(SELF)] }],
  ['another ID was picked', { svids: [home.issue('spiffe://example.org/x'), home.issue(SELF)] }],
  ['another trust domain has left the bundles', { bundles: bundles(home, partner) }],
];

async function serving(identity: StaticIdentity): Promise<{ server: Server; port: number }> {
  const allow = [SELF, PEER];
  const server = createServer(identity, { allow }, (_request, response) => response.end('hi'));
  return { server, port: await listen(server) };
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}

const open = (identity: StaticIdentity, port: number): Promise<TLSSocket> =>
  connect(identity, { host: '127.0.0.1', port, rule: parseRule([SELF, PEER]) });

async function ask(socket: TLSSocket): Promise<string> {
  socket.write('GET / HTTP/1.1\r\nHost: target\r\n\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return answer.toString('latin1').slice(0, 15);
}

describe('an open connection', () => {
  for (const [title, change] of WITHDRAWALS) {
    it(`is closed with its reason at the client when ${title}`, async () => {
      const { server, port } = await serving(peer);
      const identity = self();
      const socket = await open(identity, port);
      expect(await ask(socket)).to.equal('HTTP/1.1 200 OK');
      identity.x509.set(change);
      const [error] = (await once(socket, 'error')) as [Error];
      expect(error).to.have.property('code', 'ERR_SPIFFE_TRUST_WITHDRAWN');
      expect(error.message).to.include(PEER);
      await close(server);
    });

    it(`is closed at the server when ${title}, and that is logged`, async () => {
      const identity = self();
      const logger = memoryLogger();
      const server = createServer(identity, { allow: PEER, logger }, (_request, response) => {
        response.end('hi');
      });
      const port = await listen(server);
      const socket = await open(peer, port);
      expect(await ask(socket)).to.equal('HTTP/1.1 200 OK');
      identity.x509.set(change);
      await once(socket, 'close');
      expect(logger.at('info').map(({ fields }) => fields['code'])).to.deep.equal([
        'ERR_SPIFFE_TRUST_WITHDRAWN',
      ]);
      await close(server);
    });
  }

  for (const [title, change] of HARMLESS) {
    it(`goes on when ${title}`, async () => {
      const { server, port } = await serving(peer);
      const identity = self();
      const socket = await open(identity, port);
      identity.x509.set(change);
      expect(await ask(socket)).to.equal('HTTP/1.1 200 OK');
      expect(await ask(socket)).to.equal('HTTP/1.1 200 OK');
      socket.destroy();
      await close(server);
    });
  }

  it('is closed when its source breaks', async () => {
    const { server, port } = await serving(peer);
    const identity = self();
    const cause = new TypeError('broken');
    identity.x509.updates = async function* (): AsyncGenerator<X509Snapshot> {
      yield* await Promise.reject<X509Snapshot[]>(cause);
    };
    const socket = await open(identity, port);
    const [error] = (await once(socket, 'error')) as [Error];
    expect(error).to.have.property('code', 'ERR_SPIFFE_TRUST_WITHDRAWN');
    expect(error.cause).to.equal(cause);
    await close(server);
  });

  it('is closed when its source ends without a word', async () => {
    const { server, port } = await serving(peer);
    const identity = self();
    identity.x509.updates = async function* (): AsyncGenerator<X509Snapshot> {
      yield* await Promise.resolve<X509Snapshot[]>([]);
    };
    const socket = await open(identity, port);
    const [error] = (await once(socket, 'error')) as [Error];
    expect(error).to.have.property('code', 'ERR_SPIFFE_TRUST_WITHDRAWN');
    await close(server);
  });

  for (const state of ['revoked', 'failed', 'closed'] as const) {
    it(`is closed in the state ${state}, whatever else that state still lists`, async () => {
      const { server, port } = await serving(peer);
      const identity = self();
      const updates = identity.x509.updates.bind(identity.x509);
      identity.x509.updates = async function* (options): AsyncGenerator<X509Snapshot> {
        for await (const snapshot of updates(options)) yield { ...snapshot, state };
      };
      const socket = await open(identity, port);
      const [error] = (await once(socket, 'error')) as [Error];
      expect(error.message).to.include(`the identity is ${state}`);
      await close(server);
    });
  }

  it('is not followed by two loops when a new one is made before the last has closed', async () => {
    const identity = self();
    const hold = (): EventEmitter => {
      const socket = new EventEmitter();
      const ids = { local: SpiffeId.parse(SELF), peer: SpiffeId.parse(PEER) };
      holdConnection(identity.x509, {
        socket: socket as TLSSocket,
        ...ids,
        withdraw: () => socket.emit('withdrawn'),
      });
      return socket;
    };
    const first = hold();
    const withdrawn = once(first, 'withdrawn');
    identity.x509.set({ bundles: bundles(home) });
    await withdrawn;
    identity.x509.set({ bundles: bundles(home, partner) });
    const second = hold();
    await new Promise((resolve) => setImmediate(resolve));
    expect(identity.x509.watchers).to.equal(1);
    first.emit('close');
    const closed = once(second, 'withdrawn');
    identity.x509.set({ state: 'revoked' });
    await closed;
    second.emit('close');
    expect(identity.x509.watchers).to.equal(0);
  });

  it('is not handed over when our ID was withdrawn during its handshake, though others are open', async () => {
    const { server, port } = await serving(peer);
    const identity = self();
    const renewed = home.issue('spiffe://example.org/x');
    const kept = await open(identity, port);
    // As in a process with two identities of which the second made the connection that stays.
    const late = open(identity, port);
    identity.x509.set({ svids: [renewed] });
    await rejection('ERR_SPIFFE_TRUST_WITHDRAWN', late);
    kept.destroy();
    await close(server);
  });

  it('is followed by one loop a source, which ends with the last of them', async () => {
    const { server, port } = await serving(peer);
    const identity = self();
    expect(identity.x509.watchers).to.equal(0);
    const [first, second] = [await open(identity, port), await open(identity, port)];
    expect(await ask(first)).to.equal('HTTP/1.1 200 OK');
    expect(identity.x509.watchers).to.equal(1);
    first.destroy();
    await once(first, 'close');
    expect(identity.x509.watchers).to.equal(1);
    second.destroy();
    await once(second, 'close');
    expect(identity.x509.watchers).to.equal(0);

    const third = await open(identity, port);
    expect(await ask(third)).to.equal('HTTP/1.1 200 OK');
    identity.x509.set({ state: 'revoked' });
    const [error] = (await once(third, 'error')) as [Error];
    expect(error, 'a new loop follows the next').to.have.property(
      'code',
      'ERR_SPIFFE_TRUST_WITHDRAWN',
    );
    await close(server);
  });
});
