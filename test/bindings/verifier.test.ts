import { once } from 'node:events';
import { createServer as createHttpsServer, type Server } from 'node:https';
import type { TLSSocket } from 'node:tls';
import {
  BundleSource,
  type Identity,
  type PeerRule,
  type SpiffeError,
  UNAUTHENTICATED_CLIENTS,
  X509Bundles,
} from 'agent-spiffe';
import { createFetch, createServer, peerIfAny, peerOf, protect } from 'agent-spiffe/http';
import { TestCa, WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { connect } from '#lib/tls/connect.js';
import { parseRule } from '#lib/tls/rule.js';
import { listen } from '../support/listen.js';
import { refusal } from '../support/refusal.js';
import { rejection } from '../support/rejection.js';
import { emptyBundle, staticIdentity } from '../support/static-identity.js';
import { closeServer, pemOf, staticVerifier, WEB_CLIENTS, webServer } from '../support/web.js';

const SITE = 'spiffe://example.org/site';
const ca = TestCa.create('example.org');
const impostor = TestCa.create('example.org');

function site(allow: PeerRule | typeof UNAUTHENTICATED_CLIENTS, from = ca): Server {
  return createServer(staticIdentity(from, SITE), { allow }, (req, res) => {
    res.end(`hello ${peerIfAny(req)?.id.toString() ?? 'nobody'}`);
  });
}

describe('a client without an SVID', () => {
  for (const client of WEB_CLIENTS) {
    it(`verifies a SPIFFE server and shows no certificate (${client.name})`, async () => {
      const server = site(UNAUTHENTICATED_CLIENTS);
      const origin = `https://localhost:${await listen(server)}`;
      const bundles = staticVerifier(ca);
      expect(await client.call(bundles, origin, SITE)).to.equal('hello nobody');
      await closeServer(server);
      await using asking = await webServer(pemOf(ca.issue(SITE)));
      await client.call(bundles, `https://localhost:${asking.port}`, SITE);
      expect(asking.shown).to.deep.equal([false]);
    });

    it(`refuses another ID, and another CA of that name (${client.name})`, async () => {
      for (const [server, rule, code] of [
        [
          site(UNAUTHENTICATED_CLIENTS),
          'spiffe://example.org/other',
          'ERR_SPIFFE_PEER_NOT_ALLOWED',
        ],
        [site(UNAUTHENTICATED_CLIENTS, impostor), SITE, 'ERR_SPIFFE_X509_UNTRUSTED'],
      ] as const) {
        const origin = `https://localhost:${await listen(server)}`;
        await rejection(code, client.call(staticVerifier(ca), origin, rule));
        await closeServer(server);
      }
    });

    it(`is told when the server wants an SVID (${client.name})`, async () => {
      const server = site('spiffe://example.org/**');
      const origin = `https://localhost:${await listen(server)}`;
      const error = await rejection(
        'ERR_SPIFFE_REFUSED_BY_PEER',
        client.call(staticVerifier(ca), origin, SITE),
      );
      expect(error.message).to.include('clients without an SVID');
      await closeServer(server);
    });
  }

  it('is made of a BundleSource as it is, and follows its X.509 bundles', async () => {
    await using api = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [SITE],
    });
    await using bundles = await BundleSource.open({ address: api.address });
    const server = site(UNAUTHENTICATED_CLIENTS, api.ca);
    const connected = once(server, 'secureConnection');
    const origin = `https://localhost:${await listen(server)}`;
    await using fetch = createFetch(bundles, { peers: { [origin]: SITE } });
    expect(await (await fetch(origin)).text()).to.equal('hello nobody');
    const [socket] = (await connected) as [TLSSocket];
    const closed = once(socket, 'close');
    api.withdraw();
    await closed;
    await rejection('ERR_SPIFFE_BUNDLE_NOT_FOUND', fetch(origin));
    await closeServer(server);
    refusal('ERR_SPIFFE_OPTION_INVALID', 'give a Workload', () =>
      createServer(bundles as unknown as Identity, { allow: SITE }),
    );
  });

  it('captures who the server is, and loses the connection with the bundle that vouches for it', async () => {
    const server = site(UNAUTHENTICATED_CLIENTS);
    const port = await listen(server);
    const open = (verifier: ReturnType<typeof staticVerifier>): Promise<TLSSocket> =>
      connect(verifier, { host: '127.0.0.1', port, rule: parseRule(SITE) });
    for (const change of [
      { bundles: X509Bundles.of(emptyBundle(ca)) },
      { bundles: X509Bundles.of() },
      { state: 'revoked' },
      { state: 'failed' },
      { state: 'closed' },
    ] as const) {
      const verifier = staticVerifier(ca);
      const socket = await open(verifier);
      expect(peerOf(socket).id.toString()).to.equal(SITE);
      const unaffected = await open(staticVerifier(ca));
      const closed = once(socket, 'error');
      verifier.source.set(change);
      const [error] = (await closed) as [SpiffeError];
      expect(error.code).to.equal('ERR_SPIFFE_TRUST_WITHDRAWN');
      expect(unaffected.readyState).to.equal('open');
      unaffected.destroy();
    }
    await closeServer(server);
  });

  it('is never what an identity becomes that merely has no SVID now', async () => {
    const server = site(UNAUTHENTICATED_CLIENTS);
    const origin = `https://localhost:${await listen(server)}`;
    let connections = 0;
    server.on('connection', () => {
      connections += 1;
    });
    for (const [state, code] of [
      ['pending', 'ERR_SPIFFE_SVID_NOT_READY'],
      ['revoked', 'ERR_SPIFFE_SVID_REVOKED'],
      ['failed', 'ERR_SPIFFE_SOURCE_FAILED'],
      ['closed', 'ERR_SPIFFE_SOURCE_CLOSED'],
    ] as const) {
      const identity = staticIdentity(ca, 'spiffe://example.org/agent');
      identity.x509.set({ state, svids: [] });
      for (const client of WEB_CLIENTS) {
        await rejection(code, client.call(identity, origin, SITE));
      }
    }
    expect(connections).to.equal(0);
    await closeServer(server);
  });

  it('can be no server: that presents an SVID', () => {
    const bundles = staticVerifier(ca) as unknown as Identity;
    refusal('ERR_SPIFFE_OPTION_INVALID', 'give a Workload', () =>
      createServer(bundles, { allow: UNAUTHENTICATED_CLIENTS }),
    );
    refusal('ERR_SPIFFE_OPTION_INVALID', 'give a Workload', () =>
      protect(createHttpsServer(), bundles, { allow: SITE }),
    );
    protect(createHttpsServer(), staticIdentity(ca, SITE), { allow: SITE });
  });
});
