import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { TLSSocket } from 'node:tls';
import {
  ANY_SPIFFE_ID,
  type PeerRule,
  type SpiffeErrorCode,
  UNAUTHENTICATED_CLIENTS,
  WEB_PKI,
} from 'agent-spiffe';
import {
  createFetch,
  createServer,
  type PeerBinding,
  peerOf,
  requirePeer,
} from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { parseWebRule } from '#lib/tls/rule.js';
import { connectWeb } from '#lib/tls/web.js';
import { listen } from '../support/listen.js';
import { refusal } from '../support/refusal.js';
import { rejection } from '../support/rejection.js';
import { nextState } from '../support/states.js';
import { staticIdentity } from '../support/static-identity.js';
import { closeServer, type PemPair, pemOf, WEB_CLIENTS, WebCa, webServer } from '../support/web.js';

const HOUR_MS = 3600_000;
const ME = 'spiffe://example.org/agent';
const TOOLS = 'spiffe://example.org/tools';

const web = new WebCa();
const otherWeb = new WebCa();
const ca = TestCa.create('example.org');
const trusted: PeerBinding = { id: WEB_PKI, ca: web.pem };

interface Case {
  readonly presents: PemPair;
  readonly host: string;
  readonly binding: PeerBinding;
}

const good: Case = { presents: web.issue(), host: 'localhost', binding: trusted };

/** [what the server does, the code of the refusal, how it differs from the good one, its twin]. */
const REFUSED: readonly (readonly [string, SpiffeErrorCode, Partial<Case>, Partial<Case>?])[] = [
  [
    "another host's certificate",
    'ERR_SPIFFE_PEER_NOT_ALLOWED',
    { presents: web.issue({ dnsNames: ['api.example'] }) },
    { presents: web.issue({ dnsNames: ['api.example', 'localhost'] }) },
  ],
  [
    'a certificate that spells the host in a wildcard of a whole domain',
    'ERR_SPIFFE_PEER_NOT_ALLOWED',
    { presents: web.issue({ dnsNames: ['*'] }) },
  ],
  [
    "a certificate for the host's name where its address was called",
    'ERR_SPIFFE_PEER_NOT_ALLOWED',
    { presents: web.issue({ ipAddresses: [] }), host: '127.0.0.1' },
    { host: '127.0.0.1' },
  ],
  [
    'an expired certificate',
    'ERR_SPIFFE_X509_EXPIRED',
    { presents: web.issue({ at: Date.now() - 2 * HOUR_MS }) },
  ],
  [
    'a certificate that is not valid yet',
    'ERR_SPIFFE_X509_EXPIRED',
    { presents: web.issue({ at: Date.now() + HOUR_MS }) },
  ],
  [
    'a certificate signed by itself',
    'ERR_SPIFFE_X509_UNTRUSTED',
    { presents: web.issueSelfSigned() },
  ],
  [
    'a certificate of another CA',
    'ERR_SPIFFE_X509_UNTRUSTED',
    { presents: otherWeb.issue() },
    { presents: otherWeb.issue(), binding: { id: WEB_PKI, ca: [web.pem, otherWeb.pem] } },
  ],
  [
    "a certificate of a private CA where the web's roots count",
    'ERR_SPIFFE_X509_UNTRUSTED',
    { binding: WEB_PKI },
  ],
  [
    'an SVID, even of our own trust domain',
    'ERR_SPIFFE_X509_UNTRUSTED',
    { presents: pemOf(ca.issue(TOOLS, { dnsNames: ['localhost'] })) },
  ],
  [
    'an SVID of a CA whose root counts here, but without the host name',
    'ERR_SPIFFE_PEER_NOT_ALLOWED',
    { presents: web.issue({ dnsNames: [], ipAddresses: [], uris: [TOOLS] }) },
  ],
];

describe('WEB_PKI', () => {
  const me = staticIdentity(ca, ME);

  for (const client of WEB_CLIENTS) {
    describe(client.name, () => {
      for (const [what, code, attack, twin = {}] of REFUSED) {
        it(`refuses ${what}, and takes its twin`, async () => {
          await using bad = await webServer({ ...good, ...attack }.presents);
          const refused = { ...good, ...attack };
          const error = await rejection(
            code,
            client.call(me, `https://${refused.host}:${bad.port}`, refused.binding),
          );
          expect(error.message).to.include(`${refused.host}:${bad.port}`);
          expect(error.message).to.match(
            code === 'ERR_SPIFFE_PEER_NOT_ALLOWED' ? /of another host/ : /verify: [A-Z_]+ \[/,
          );
          expect(bad.requests()).to.equal(0);

          const taken = { ...good, ...twin };
          await using fine = await webServer(taken.presents);
          const origin = `https://${taken.host}:${fine.port}`;
          expect(await client.call(me, origin, taken.binding)).to.equal('hello from the web');
        });
      }

      it('shows no certificate to a server that asks for one, and does to its SPIFFE twin', async () => {
        await using server = await webServer(web.issue());
        await client.call(me, `https://localhost:${server.port}`, trusted);
        expect(server.shown).to.deep.equal([false]);

        await using spiffe = await webServer(pemOf(ca.issue(TOOLS)));
        await client.call(me, `https://localhost:${spiffe.port}`, TOOLS);
        expect(spiffe.shown).to.deep.equal([true]);
      });

      it('refuses a web certificate, though its root is in the bundle, where a SPIFFE ID must answer', async () => {
        const { authority } = ca;
        const ofTheBundle = Object.assign(new WebCa(), { authority }).issue();
        await using server = await webServer(ofTheBundle);
        for (const rule of [TOOLS, ANY_SPIFFE_ID] satisfies PeerRule[]) {
          await rejection(
            'ERR_SPIFFE_X509_SVID_INVALID',
            client.call(me, `https://localhost:${server.port}`, rule),
          );
        }
        expect(server.requests()).to.equal(0);
      });
    });
  }

  it('verifies whatever NODE_TLS_REJECT_UNAUTHORIZED says', async () => {
    await using server = await webServer(otherWeb.issue());
    const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    // Node warns of it, and is right.
    const warn = process.emitWarning.bind(process);
    process.emitWarning = () => {};
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    try {
      const rule = parseWebRule(web.pem);
      await rejection(
        'ERR_SPIFFE_X509_UNTRUSTED',
        connectWeb({ host: 'localhost', port: server.port, rule }),
      );
    } finally {
      process.emitWarning = warn;
      if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before;
    }
  });

  it('captures no peer: there is none with a SPIFFE ID', async () => {
    await using server = await webServer(web.issue());
    const rule = parseWebRule(web.pem);
    const socket = await connectWeb({ host: 'localhost', port: server.port, rule });
    refusal('ERR_SPIFFE_PEER_UNKNOWN', /did not pass a gate/, () => peerOf(socket));
    socket.destroy();
  });

  it('does not blame a certificate for a handshake that failed before there was one', async () => {
    const plaintext = createHttpServer();
    const port = await listen(plaintext);
    const rule = parseWebRule(web.pem);
    await rejection('ERR_SPIFFE_HANDSHAKE_FAILED', connectWeb({ host: 'localhost', port, rule }));
    plaintext.close();
  });

  it('says what is wrong when there is no server, and ends with the reason of an abort', async () => {
    const rule = parseWebRule(web.pem);
    await rejection('ERR_SPIFFE_CONNECT_FAILED', connectWeb({ host: 'localhost', port: 1, rule }));
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    const aborted = connectWeb({ host: 'localhost', port: 1, rule, signal });
    expect(await aborted.catch((thrown: unknown) => thrown)).to.equal(reason);
  });

  it('keeps its connections when our identity is withdrawn, while those of SPIFFE close', async () => {
    const mine = staticIdentity(ca, ME);
    await using server = await webServer(web.issue());
    const tools = createServer(staticIdentity(ca, TOOLS), { allow: ME }, (_, res) => res.end('ok'));
    const toTools = once(tools, 'secureConnection');
    const [webOrigin, toolsOrigin] = [
      `https://localhost:${server.port}`,
      `https://localhost:${await listen(tools)}`,
    ];
    await using fetch = createFetch(mine, {
      peers: { [webOrigin]: trusted, [toolsOrigin]: TOOLS },
      pool: { connections: 1 },
    });
    expect(await (await fetch(webOrigin)).text()).to.equal('hello from the web');
    expect(await (await fetch(toolsOrigin)).text()).to.equal('ok');
    const closed = once((await toTools)[0] as TLSSocket, 'close');
    mine.x509.set({ state: 'revoked' });
    await closed;
    await rejection('ERR_SPIFFE_SVID_REVOKED', fetch(toolsOrigin));
    expect(await (await fetch(webOrigin)).text()).to.equal('hello from the web');
    // One connection for both requests: the first was never closed.
    expect(server.shown).to.have.length(1);
    await closeServer(tools);
  });

  it('needs no SVID at all', async () => {
    const nobody = staticIdentity(ca, ME);
    nobody.x509.set({ state: 'pending', svids: [] });
    await nextState(nobody.x509, ({ state }) => state === 'pending');
    await using server = await webServer(web.issue());
    for (const client of WEB_CLIENTS) {
      const origin = `https://localhost:${server.port}`;
      expect(await client.call(nobody, origin, trusted)).to.equal('hello from the web');
    }
  });

  it('is told by peerRule, whichever way it was written', () => {
    const fetch = createFetch(me, {
      peers: {
        'https://a.example': WEB_PKI,
        'https://b.example': trusted,
        'https://c.example': ME,
      },
    });
    expect(fetch.peerRule('https://a.example/x')).to.equal(WEB_PKI);
    expect(fetch.peerRule('https://b.example/x')).to.equal(WEB_PKI);
    expect(fetch.peerRule('https://c.example/x')).to.equal(ME);
    refusal('ERR_SPIFFE_TARGET_NOT_BOUND', 'https://d.example', () =>
      fetch.peerRule('https://d.example/'),
    );
  });

  it('binds each hop of a redirect, and leads to no origin that is not named', async () => {
    await using end = await webServer(web.issue());
    let location = '';
    await using start = await webServer(web.issue(), (_, response) => {
      response.writeHead(307, { location }).end();
    });
    const [from, to] = [`https://localhost:${start.port}`, `https://localhost:${end.port}`];
    await using fetch = createFetch(me, { peers: { [from]: trusted, [to]: trusted } });
    location = `${to}/there`;
    expect((await fetch(from)).status).to.equal(307);
    expect(end.requests()).to.equal(0);
    const followed = await fetch(from, { redirect: 'follow' });
    expect(await followed.text()).to.equal('hello from the web');
    for (location of [`https://127.0.0.1:${end.port}/`, `http://localhost:${end.port}/`]) {
      await rejection('ERR_SPIFFE_REDIRECT_REFUSED', fetch(from, { redirect: 'follow' }));
    }
    expect(end.requests()).to.equal(1);
  });

  it('uses no connection that was verified otherwise, when peers change their mind', async () => {
    // One certificate that both kinds of rule accept: with the SPIFFE ID and the host name.
    const both = Object.assign(new WebCa(), { authority: ca.authority });
    await using server = await webServer(
      both.issue({ dnsNames: ['localhost'], ipAddresses: [], uris: [TOOLS] }),
    );
    const origin = `https://localhost:${server.port}`;
    const answers: PeerBinding[] = [
      TOOLS,
      { id: WEB_PKI, ca: both.pem },
      { id: WEB_PKI, ca: both.pem },
      { id: WEB_PKI, ca: [both.pem, web.pem] },
      TOOLS,
    ];
    await using fetch = createFetch(me, { peers: () => answers.shift(), pool: { connections: 1 } });
    for (let left = answers.length; left > 0; left--) await (await fetch(origin)).text();
    expect(server.shown).to.deep.equal([true, false, false, true]);
  });

  it('refuses what is no root, a field that it does not have, and an empty list', () => {
    const bad: readonly (readonly [unknown, RegExp])[] = [
      [{ id: WEB_PKI, ca: 'no pem' }, /certificates in PEM/],
      [{ id: WEB_PKI, ca: web.issue().key }, /certificates in PEM/],
      [{ id: WEB_PKI, ca: 5 }, /certificates in PEM/],
      [{ id: WEB_PKI, ca: [] }, /certificates in PEM/],
      [{ id: WEB_PKI, ca: '' }, /certificates in PEM/],
      [
        { id: WEB_PKI, ca: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' },
        /certificates in PEM/,
      ],
      [{ id: WEB_PKI, servername: 'x' }, /no field "servername"/],
      [{ id: WEB_PKI, rejectUnauthorized: false }, /no field "rejectUnauthorized"/],
      [{ id: TOOLS, ca: web.pem }, /no field "ca"/],
    ];
    for (const [binding, says] of bad) {
      const error = refusal('ERR_SPIFFE_OPTION_INVALID', says, () =>
        createFetch(me, { peers: { 'https://a.example': binding as PeerBinding } }),
      );
      expect(`${error.message} ${String(error.cause)}`).not.to.match(/PRIVATE KEY-----/);
    }
    createFetch(me, { peers: { 'https://a.example': { id: WEB_PKI, ca: Buffer.from(web.pem) } } });
  });

  it('is a rule for clients alone, and what servers allow is none for clients', () => {
    refusal('ERR_SPIFFE_PEER_RULE_INVALID', 'WEB_PKI', () =>
      createServer(me, { allow: WEB_PKI as unknown as PeerRule }),
    );
    refusal('ERR_SPIFFE_PEER_RULE_INVALID', 'WEB_PKI', () =>
      requirePeer(WEB_PKI as unknown as PeerRule),
    );
    refusal('ERR_SPIFFE_PEER_RULE_INVALID', 'UNAUTHENTICATED_CLIENTS', () =>
      createFetch(me, {
        peers: { 'https://a.example': UNAUTHENTICATED_CLIENTS as unknown as PeerRule },
      }),
    );
    createServer(me, { allow: UNAUTHENTICATED_CLIENTS });
  });
});
