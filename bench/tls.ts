import { constants } from 'node:crypto';
import { once } from 'node:events';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import type { Identity, X509Snapshot, X509Svid } from 'agent-spiffe';
import { X509Bundles } from 'agent-spiffe';
import { createAgent, createDispatcher, createFetch, createServer } from 'agent-spiffe/http';
import type { TestCa } from 'agent-spiffe/testing';
import { Agent as UndiciAgent, fetch as undiciFetch, request as undiciRequest } from 'undici';
import type { GoSpiffe } from './go.js';
import { CLIENT, IN_FLIGHT, type Material, SERVER } from './material.js';
import { type Comparison, perSecondAsync } from './rounds.js';

/** Handshakes and requests, both ends in this process; the bare column uses the same certificates, and verifies both ends too. */
export async function tlsComparisons(
  { ca, server, client }: Material,
  go: GoSpiffe | undefined,
): Promise<{ comparisons: Comparison[]; close(): Promise<void> }> {
  const bundles = X509Bundles.of(ca.bundle);
  const ours = createServer(identityOf(server, bundles), { allow: CLIENT }, (_req, res) =>
    res.end('ok'),
  );
  const bare = https.createServer({ ...bareOptions(server, ca), requestCert: true }, (_req, res) =>
    res.end('ok'),
  );
  const [oursPort, barePort] = [await listen(ours), await listen(bare)];
  const [oursOrigin, bareOrigin] = [
    `https://127.0.0.1:${oursPort}`,
    `https://127.0.0.1:${barePort}`,
  ];
  const me = identityOf(client, bundles);
  const options = { peers: { [oursOrigin]: SERVER } };

  const oursOnce = createAgent(me, { ...options, keepAlive: false });
  const bareOnce = new https.Agent({
    secureContext: createSecureContext(bareOptions(client, ca)),
    checkServerIdentity: () => undefined,
    keepAlive: false,
    maxCachedSessions: 0,
  });
  const oursAgent = createAgent(me, options);
  const bareAgent = new https.Agent({ ...bareClient(client, ca), keepAlive: true });
  const oursFetch = createFetch(me, options);
  const oursDispatcher = createDispatcher(me, options);
  const bareDispatcher = new UndiciAgent({ connect: bareClient(client, ca) });

  const comparison = (
    name: string,
    oursStep: () => Promise<unknown>,
    bareStep: () => Promise<unknown>,
    op?: 'handshake' | 'request',
  ): Comparison => ({
    name: `${name}, ${IN_FLIGHT} in flight`,
    unit: '/s',
    ours: () => perSecondAsync(oursStep, IN_FLIGHT),
    rivals: [
      { name: 'bare', mark: { atLeast: 0.95 }, run: () => perSecondAsync(bareStep, IN_FLIGHT) },
      ...(go && op ? [go.rival(op)] : []),
    ],
  });
  return {
    comparisons: [
      comparison(
        'handshake and one request over https.Agent',
        () => get(oursOrigin, oursOnce),
        () => get(bareOrigin, bareOnce),
        'handshake',
      ),
      comparison(
        'keep-alive request over https.Agent',
        () => get(oursOrigin, oursAgent),
        () => get(bareOrigin, bareAgent),
        'request',
      ),
      comparison(
        'keep-alive request by undici.request',
        () => requestText(oursOrigin, oursDispatcher),
        () => requestText(bareOrigin, bareDispatcher),
      ),
      comparison(
        'keep-alive request by fetch',
        () => text(oursFetch(oursOrigin)),
        () => text(undiciFetch(bareOrigin, { dispatcher: bareDispatcher })),
      ),
    ],
    close: async () => {
      await Promise.all([oursFetch.close(), oursDispatcher.close(), bareDispatcher.close()]);
      for (const agent of [oursOnce, bareOnce, oursAgent, bareAgent]) agent.destroy();
      for (const one of [ours, bare]) {
        one.close();
        one.closeAllConnections();
        await once(one, 'close');
      }
    },
  };
}

/** An identity that never changes. */
export function identityOf(svid: X509Svid, bundles: X509Bundles): Identity {
  const snapshot: X509Snapshot = { sequence: 1, state: 'ready', svid, svids: [svid], bundles };
  const x509 = {
    state: snapshot.state,
    svid: () => svid,
    svids: () => snapshot.svids,
    bundles,
    async *updates({ signal }: { readonly signal?: AbortSignal } = {}) {
      yield snapshot;
      if (signal !== undefined) await once(signal, 'abort').catch(() => {});
    },
  };
  return { x509 };
}

/** What the bare column presents, and whom it trusts. */
export function bareOptions(svid: X509Svid, ca: TestCa): SecureContextOptions {
  return {
    key: svid.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: svid.certificates.map(pem).join(''),
    ca: pem(ca.bundleDer),
    // Resumption is off in both columns.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** OpenSSL verifies the chain; the name is not looked at, since an SVID has none. */
function bareClient(
  svid: X509Svid,
  ca: TestCa,
): SecureContextOptions & { checkServerIdentity: () => undefined } {
  return { ...bareOptions(svid, ca), checkServerIdentity: () => undefined };
}

function pem(der: Uint8Array): string {
  return `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`;
}

async function listen(server: https.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function get(origin: string, agent: https.Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    https.get(origin, { agent }, (res) => res.resume().once('end', resolve)).once('error', reject);
  });
}

async function requestText(
  origin: string,
  dispatcher: UndiciAgent | ReturnType<typeof createDispatcher>,
): Promise<string> {
  const { body } = await undiciRequest(origin, { dispatcher });
  return await body.text();
}

async function text(response: Promise<{ text(): Promise<string> }>): Promise<string> {
  return await (await response).text();
}
