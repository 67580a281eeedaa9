import { once } from 'node:events';
import { type IncomingMessage, type RequestListener, STATUS_CODES } from 'node:http';
import { connect as connectHttp2, createSecureServer } from 'node:http2';
import { request, type Server } from 'node:https';
import { text } from 'node:stream/consumers';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import {
  ANY_SPIFFE_ID,
  type SpiffeError,
  UNAUTHENTICATED_CLIENTS,
  X509Bundles,
} from 'agent-spiffe';
import { createServer, peerIfAny, peerOf, protect, requirePeer } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { writePem } from '#lib/internal/pem.js';
import { listen } from '../support/listen.js';
import { refusal } from '../support/refusal.js';
import { emptyBundle, StaticX509Source } from '../support/static-identity.js';
import { closeServer, type PemPair, pemOf } from '../support/web.js';

const AGENT = 'spiffe://example.org/agent';
const HOUR_MS = 3600_000;
const ca = TestCa.create('example.org');
const partner = TestCa.create('partner.example');
const stranger = TestCa.create('stranger.example');
const longAgo = TestCa.create('example.org', { now: () => new Date(Date.now() - 3 * HOUR_MS) });

/** A server whose SVID names the host as well, so that an ordinary client can verify it. */
const serving = (): { x509: StaticX509Source } => ({
  x509: new StaticX509Source(
    [ca.issue('spiffe://example.org/site', { dnsNames: ['localhost'] })],
    X509Bundles.of(ca.bundle, partner.bundle),
  ),
});

const who: RequestListener = (req, res) => {
  res.end(`hello ${peerIfAny(req)?.id.toString() ?? 'nobody'}`);
};

/** A GET as any program sends it: the host name is verified by Node, with our authorities as roots. */
async function ordinaryGet(
  port: number,
  shows: Partial<PemPair> = {},
  path = '/',
): Promise<string> {
  const roots = ca.bundle.authorities.map((der) => writePem(der, 'CERTIFICATE'));
  const sent = request({ host: 'localhost', port, path, ca: roots, agent: false, ...shows }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const body = await text(response);
  return response.statusCode === 200 ? body : `${response.statusCode} ${body}`;
}

async function refusedGet(port: number, shows: Partial<PemPair>): Promise<string> {
  try {
    return await ordinaryGet(port, shows);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'no code';
  }
}

async function closing(server: Server, use: (port: number) => Promise<void>): Promise<void> {
  try {
    await use(await listen(server));
  } finally {
    await closeServer(server);
  }
}

describe('UNAUTHENTICATED_CLIENTS', () => {
  it('lets in an ordinary client, which verifies our SVID by its DNS name; any other rule refuses it', async () => {
    const open = createServer(serving(), { allow: UNAUTHENTICATED_CLIENTS }, who);
    await closing(open, async (port) => {
      expect(await ordinaryGet(port)).to.equal('hello nobody');
    });
    const strict = createServer(serving(), { allow: ANY_SPIFFE_ID }, who);
    await closing(strict, async (port) => {
      expect(await refusedGet(port, {})).to.equal('ECONNRESET');
    });
  });

  it('tells who a client is that shows an SVID, of a federated trust domain as well', async () => {
    const server = createServer(serving(), { allow: UNAUTHENTICATED_CLIENTS }, who);
    await closing(server, async (port) => {
      for (const [authority, id] of [
        [ca, AGENT],
        [partner, 'spiffe://partner.example/agent'],
      ] as const)
        expect(await ordinaryGet(port, pemOf(authority.issue(id)))).to.equal(`hello ${id}`);
    });
  });

  const shown: readonly (readonly [string, PemPair])[] = [
    ['of a trust domain without a bundle', pemOf(stranger.issue('spiffe://stranger.example/a'))],
    ['that has expired', pemOf(longAgo.issue(AGENT))],
    ['of another CA with our name', pemOf(TestCa.create('example.org').issue(AGENT))],
    [
      'that is an authority',
      {
        cert: writePem(ca.authority.certificate, 'CERTIFICATE'),
        key: ca.authority.key.export({ type: 'pkcs8', format: 'pem' }) as string,
      },
    ],
  ];
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const [what, shows] of shown) {
      it(`refuses a client that shows a certificate ${what}, and takes it without (${version})`, async () => {
        let reached = 0;
        const server = createServer(serving(), { allow: UNAUTHENTICATED_CLIENTS }, (req, res) => {
          reached += 1;
          who(req, res);
        });
        await closing(server, async (port) => {
          const limits = { minVersion: version, maxVersion: version } as Partial<PemPair>;
          expect(await refusedGet(port, { ...limits, ...shows })).to.equal('ECONNRESET');
          expect(reached).to.equal(0);
          expect(await ordinaryGet(port, limits)).to.equal('hello nobody');
        });
      });
    }
  }

  it('makes peerOf throw for a client without an SVID, and requirePeer answer 403', async () => {
    const onlyAgents = requirePeer(AGENT);
    const server = createServer(serving(), { allow: UNAUTHENTICATED_CLIENTS }, (req, res) => {
      if (req.url === '/who') {
        try {
          res.end(peerOf(req).id.toString());
        } catch (error) {
          res.end((error as SpiffeError).code);
        }
      } else onlyAgents(req, res, () => res.end('for agents'));
    });
    await closing(server, async (port) => {
      const agent = pemOf(ca.issue(AGENT));
      expect(await ordinaryGet(port, {}, '/who')).to.equal('ERR_SPIFFE_PEER_NO_CERTIFICATE');
      expect(await ordinaryGet(port, agent, '/who')).to.equal(AGENT);
      expect(await ordinaryGet(port)).to.equal(`403 ${STATUS_CODES[403]}\n`);
      expect(await ordinaryGet(port, agent)).to.equal('for agents');
      expect(await ordinaryGet(port, pemOf(ca.issue(`${AGENT}/2`)))).to.match(/^403/);
    });
  });

  it('leaves peerIfAny strict about connections that passed no gate', () => {
    refusal('ERR_SPIFFE_PEER_UNKNOWN', 'did not pass a gate', () =>
      peerIfAny({ socket: {} } as unknown as IncomingMessage),
    );
  });

  it('works where a framework made the server, http2 included', async () => {
    const server = createSecureServer();
    protect(server, serving(), { allow: UNAUTHENTICATED_CLIENTS });
    server.on('request', (req, res) => {
      res.end(`hello ${peerIfAny(req)?.id.toString() ?? 'nobody'}`);
    });
    const port = await listen(server);
    for (const [shows, answer] of [
      [{}, 'hello nobody'],
      [pemOf(ca.issue(AGENT)), `hello ${AGENT}`],
    ] as const) {
      const session = connectHttp2(`https://localhost:${port}`, {
        ...shows,
        rejectUnauthorized: false,
      });
      expect(await text(session.request({ ':path': '/' }))).to.equal(answer);
      session.close();
      await once(session, 'close');
    }
    server.close();
    await once(server, 'close');
  });

  it('closes their connections too when our identity is withdrawn, but not for a bundle of others', async () => {
    const identity = serving();
    const server = createServer(identity, { allow: UNAUTHENTICATED_CLIENTS }, who);
    const port = await listen(server);
    const open = async (shows: ConnectionOptions): Promise<TLSSocket> => {
      const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...shows });
      socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await once(socket, 'data');
      socket.resume();
      return socket;
    };
    const nobody = await open({});
    const partnersAgent = await open(pemOf(partner.issue('spiffe://partner.example/agent')));
    const partnerLeft = once(partnersAgent, 'close');
    identity.x509.set({ bundles: X509Bundles.of(ca.bundle, emptyBundle(partner)) });
    await partnerLeft;
    expect(nobody.readyState).to.equal('open');
    const nobodyLeft = once(nobody, 'close');
    identity.x509.set({ state: 'revoked' });
    await nobodyLeft;
    await closeServer(server);
  });
});
