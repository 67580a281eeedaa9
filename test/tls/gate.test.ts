import type { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createTcpServer } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { ANY_SPIFFE_ID, type PeerRule } from 'agent-spiffe';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { connect } from '#lib/tls/connect.js';
import { checkPeer } from '#lib/tls/gate.js';
import { codeOf, isRefusalAlert } from '#lib/tls/refusal.js';
import { parseRule } from '#lib/tls/rule.js';
import { listen } from '../support/listen.js';
import { refusal } from '../support/refusal.js';
import { rejection } from '../support/rejection.js';
import { staticIdentity } from '../support/static-identity.js';

const ca = TestCa.create('example.org');
const AGENT = 'spiffe://example.org/agent';
const rule = parseRule(ANY_SPIFFE_ID);
const yes = (): boolean => true;

describe('checkPeer', () => {
  it('reads no more of a chain than it takes to see that it is too long', () => {
    const [leaf] = ca.issue(AGENT).certificates;
    let read = 0;
    const certificate = (left: number): X509Certificate | undefined =>
      left === 0
        ? undefined
        : ({
            get raw() {
              read += 1;
              return leaf;
            },
            get issuerCertificate() {
              return certificate(left - 1);
            },
          } as unknown as X509Certificate);
    const socket = {
      isSessionReused: () => false,
      getPeerX509Certificate: () => certificate(100),
    } as unknown as TLSSocket;
    const { bundles } = staticIdentity(ca, AGENT).x509;
    refusal('ERR_SPIFFE_X509_SVID_INVALID', 'the chain holds 17 certificates', () =>
      checkPeer(socket, bundles, rule, 'the client'),
    );
    expect(read).to.equal(17);
  });
});

describe('connect, when there is no handshake', () => {
  it('says what the system said of the host', async () => {
    const gone = createTcpServer();
    const port = await listen(gone);
    gone.close();
    await once(gone, 'close');
    const outcome = connect(staticIdentity(ca, AGENT), { host: '127.0.0.1', port, rule });
    const error = await rejection('ERR_SPIFFE_CONNECT_FAILED', outcome);
    expect(error.message).to.include(`127.0.0.1:${port}: ECONNREFUSED;`);
    expect(error.cause).to.have.property('code', 'ECONNREFUSED');
  });

  it('says what the system said of a connection that ended', async () => {
    const hangsUp = createTcpServer((socket) => socket.resume().end());
    const port = await listen(hangsUp);
    const outcome = connect(staticIdentity(ca, AGENT), { host: '127.0.0.1', port, rule });
    const error = await rejection('ERR_SPIFFE_HANDSHAKE_FAILED', outcome);
    expect(error.message).to.include('the TLS handshake failed with ECONNRESET;');
    hangsUp.close();
    await once(hangsUp, 'close');
  });
});

describe('codeOf', () => {
  it('gives the code of an error, and an empty text for what has none', () => {
    expect(codeOf(Object.assign(new Error('x'), { code: 'EPIPE' }))).to.equal('EPIPE');
    for (const odd of [undefined, null, {}, new Error('x'), { code: 5 }, { code: null }, 'EPIPE']) {
      expect(codeOf(odd)).to.equal('');
      expect(isRefusalAlert(odd)).to.equal(false);
    }
  });
});

describe('parseRule', () => {
  it('keeps a list as it was given, though that be changed', () => {
    const list = [AGENT];
    const { given, accepts, key } = parseRule(list);
    list[0] = 'spiffe://example.org/other';
    expect(given).to.deep.equal([AGENT]);
    expect(() => (given as string[]).push('spiffe://example.org/other')).to.throw(TypeError);
    expect(accepts(ca.issue(AGENT).id)).to.equal(true);
    expect(key).to.equal(parseRule([AGENT]).key);
  });

  it('has one key for the same rule, and a function has one of its own', () => {
    const rules: readonly PeerRule[] = [
      ANY_SPIFFE_ID,
      AGENT,
      [AGENT, `${AGENT}/*`],
      `${AGENT}/**`,
      yes,
      () => true,
    ];
    const keys = rules.map((given) => parseRule(given).key);
    expect(new Set(keys).size).to.equal(rules.length);
    expect(rules.map((given) => parseRule(given).key)).to.deep.equal(keys);
  });
});
