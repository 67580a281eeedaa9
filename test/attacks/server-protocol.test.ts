import { once } from 'node:events';
import { connect as tcpConnect } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { X509Bundles } from 'agent-spiffe';
import { createServer, protect } from 'agent-spiffe/http';
import { expect } from 'chai';
import { listen } from '../support/listen.js';
import { memoryLogger } from '../support/memory-logger.js';
import { credentials, PEER, pemOf, selfIdentity } from './credentials.js';
import { VERSIONS, type Version } from './raw-tls.js';

const REQUEST = 'GET / HTTP/1.1\r\nHost: target\r\n\r\n';

interface ClientOptions {
  readonly version?: Version | 'TLSv1.1';
  readonly session?: Buffer;
}

/** A client with a good SVID. */
function goodClient(port: number, { version = 'TLSv1.3', session }: ClientOptions = {}): TLSSocket {
  return tlsConnect({
    port,
    host: '127.0.0.1',
    ...pemOf(credentials.good),
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    // The oldest version needs signatures that OpenSSL no longer makes by itself.
    ...(version === 'TLSv1.1' ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {}),
    ...(session === undefined ? {} : { session }),
  });
}

/** Sends a request on the socket and gives the first bytes of the answer. */
async function ask(socket: TLSSocket): Promise<string> {
  socket.write(REQUEST);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return answer.toString('latin1').slice(0, 15);
}

/** What ended the socket: the code of its error, or an empty text. */
async function endOf(socket: TLSSocket): Promise<string> {
  let code = '';
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code ?? '';
  });
  socket.resume();
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  return code;
}

describe('a server behind the gate', () => {
  const logger = memoryLogger();
  const identity = selfIdentity();
  const server = createServer(
    identity,
    { allow: PEER, logger, handshakeTimeoutMs: 100 },
    (_request, response) => response.end('hi'),
  );
  let port = 0;
  before(async () => {
    port = await listen(server);
  });
  after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  it('refuses TLS 1.1; TLS 1.2 passes', async () => {
    const refused = goodClient(port, { version: 'TLSv1.1' });
    expect(await endOf(refused)).to.match(/ALERT_PROTOCOL_VERSION$/);
    const passed = goodClient(port, { version: 'TLSv1.2' });
    expect(await ask(passed)).to.equal('HTTP/1.1 200 OK');
    passed.destroy();
  });

  it('refuses suites without authenticated encryption, as they would be taken by default; one with it passes', async () => {
    const at = { port, host: '127.0.0.1', ...pemOf(credentials.good), rejectUnauthorized: false };
    const refused = tlsConnect({
      ...at,
      maxVersion: 'TLSv1.2',
      ciphers: 'ECDHE-ECDSA-AES128-SHA256',
    });
    expect(await endOf(refused)).to.match(/HANDSHAKE_FAILURE$/);
    const ciphers = 'ECDHE-ECDSA-AES128-GCM-SHA256';
    const passed = tlsConnect({ ...at, maxVersion: 'TLSv1.2', ciphers });
    expect(await ask(passed)).to.equal('HTTP/1.1 200 OK');
    passed.destroy();
  });

  it('refuses to renegotiate; a request on the same connection passes', async () => {
    const socket = goodClient(port, { version: 'TLSv1.2' });
    expect(await ask(socket)).to.equal('HTTP/1.1 200 OK');
    socket.renegotiate({}, () => {});
    expect(await endOf(socket)).to.equal('ERR_SSL_NO_RENEGOTIATION');
  });

  it('closes on a client that does not get its handshake done; one that does passes', async () => {
    const slow = tcpConnect(port, '127.0.0.1');
    await once(slow.resume(), 'close');
    expect(logger.at('debug').at(-1)?.fields['code']).to.equal('ERR_TLS_HANDSHAKE_TIMEOUT');
    const passed = goodClient(port);
    expect(await ask(passed)).to.equal('HTTP/1.1 200 OK');
    passed.destroy();
  });

  it('closes on plaintext without an answer, and serves the next client', async () => {
    const plain = tcpConnect(port, '127.0.0.1');
    plain.write(REQUEST);
    let received = 0;
    plain.on('error', () => {});
    plain.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    await new Promise((resolve) => plain.once('close', resolve));
    expect(received).to.equal(0);
    const passed = goodClient(port);
    expect(await ask(passed)).to.equal('HTTP/1.1 200 OK');
    passed.destroy();
  });

  for (const version of VERSIONS) {
    it(`resumes no session over ${version}, and refuses the one who tries once trust is withdrawn`, async () => {
      const sessions: Buffer[] = [];
      const first = goodClient(port, { version });
      first.on('session', (session: Buffer) => sessions.push(session));
      expect(await ask(first)).to.equal('HTTP/1.1 200 OK');
      const session = first.getSession() ?? sessions.at(-1);
      first.destroy();

      const again = goodClient(port, { version, ...(session ? { session } : {}) });
      expect(await ask(again)).to.equal('HTTP/1.1 200 OK');
      expect(again.isSessionReused()).to.equal(false);
      again.destroy();

      const { bundles } = identity.x509;
      identity.x509.set({ bundles: X509Bundles.of() });
      const refused = goodClient(port, { version, ...(session ? { session } : {}) });
      refused.write(REQUEST);
      let received = 0;
      refused.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      await endOf(refused);
      expect(received).to.equal(0);
      expect(logger.at('warn').at(-1)?.fields['code']).to.equal('ERR_SPIFFE_BUNDLE_NOT_FOUND');
      identity.x509.set({ bundles });
    });

    it(`refuses a session over ${version} that tickets of its owner's own resumed; a full handshake passes`, async () => {
      const resuming = createTlsServer();
      let reached = 0;
      resuming.on('secureConnection', (socket) => {
        reached += 1;
        socket.on('error', () => {});
        socket.once('data', () => socket.write('HTTP/1.1 200 OK'));
      });
      const refusals = memoryLogger();
      protect(resuming, selfIdentity(), { allow: PEER, logger: refusals });
      const at = await listen(resuming);
      const before = goodClient(at, { version });
      expect(await ask(before)).to.equal('HTTP/1.1 200 OK');
      before.destroy();
      // After the gate has set its own, until the next rotation.
      resuming.setSecureContext({ ...pemOf(credentials.other), ca: [] });

      const first = goodClient(at, { version });
      const sessions: Buffer[] = [];
      first.on('session', (session: Buffer) => sessions.push(session));
      expect(await ask(first)).to.equal('HTTP/1.1 200 OK');
      const session = sessions.at(-1);
      first.destroy();
      expect(reached).to.equal(2);

      const second = goodClient(at, { version, ...(session ? { session } : {}) });
      second.write(REQUEST);
      await once(second, 'secureConnect');
      expect(second.isSessionReused(), 'OpenSSL did resume it').to.equal(true);
      await endOf(second);
      expect(reached).to.equal(2);
      expect(refusals.at('warn').map(({ fields }) => fields['code'])).to.deep.equal([
        'ERR_SPIFFE_HANDSHAKE_FAILED',
      ]);
      resuming.close();
      await once(resuming, 'close');
    });
  }
});
