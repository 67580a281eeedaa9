import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { dirname } from 'node:path';
import {
  FakeClock,
  type ServedIdentity,
  TestCa,
  WorkloadApiServer,
  type WorkloadApiServerOptions,
} from 'agent-spiffe/testing';
import { expect } from 'chai';
import { splitCertificates } from '../support/openssl-verdicts.js';
import { RawClient, type RawSvids, RPCS } from '../support/workload-api-client.js';

const RESEARCHER = 'spiffe://example.org/agents/researcher';
const SEARCH = 'spiffe://example.org/tools/search';
const OPTIONS: WorkloadApiServerOptions = {
  trustDomain: 'example.org',
  identities: [
    { id: RESEARCHER, hint: 'researcher' },
    { id: SEARCH, hint: 'search' },
  ],
};

const OK = 0;
const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;

let server: WorkloadApiServer;
let client: RawClient;

async function open(options: Partial<WorkloadApiServerOptions> = {}): Promise<void> {
  server = await WorkloadApiServer.open({ ...OPTIONS, ...options });
  client = new RawClient(server.address);
}

afterEach(async () => {
  client?.close();
  await server?.close();
});

async function rejection(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'it was fulfilled';
  } catch (error) {
    return String(error);
  }
}

async function canListen(host: string): Promise<boolean> {
  const probe = createServer();
  try {
    probe.listen(0, host.replace(/[[\]]/g, ''));
    await once(probe, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    probe.close();
  }
}

function serials({ svids }: RawSvids): readonly string[] {
  return svids.map(({ x509_svid }) => new X509Certificate(x509_svid).serialNumber);
}

function hex(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('hex');
}

describe('the development Workload API: the endpoint', () => {
  it('WLE-01 WLE-02: listens on a Unix socket that only its user can reach', async () => {
    await open();
    expect(server.address).to.match(/^unix:\/\/\/.+\/api\.sock$/);
    const path = server.address.slice('unix://'.length);
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    expect(statSync(dirname(path)).mode & 0o777).to.equal(0o700);
  });

  for (const host of ['127.0.0.1', '127.8.9.10', '[::1]']) {
    it(`WLE-03: listens on loopback TCP, at a free port: ${host}`, async function () {
      // Not every machine has IPv6, nor all of 127/8.
      if (!(await canListen(host))) this.skip();
      await open({ address: `tcp://${host}:0` });
      expect(server.address).to.match(/^tcp:\/\/[0-9.:[\]]+:[1-9][0-9]*$/);
      expect((await client.svids().next()).svids).to.have.length(2);
    });
  }

  for (const address of [
    'tcp://0.0.0.0:0',
    'tcp://[::]:0',
    'tcp://192.0.2.1:8080',
    'tcp://[::ffff:127.0.0.1]:0',
  ]) {
    it(`WLE-03: refuses to listen on ${address}`, async () => {
      expect(await rejection(WorkloadApiServer.open({ ...OPTIONS, address }))).to.match(
        /loopback alone.*ERR_SPIFFE_ADDRESS_INVALID/,
      );
    });
  }

  for (const [method, streams] of Object.entries(RPCS)) {
    for (const [what, header] of [
      ['missing', []],
      ['in upper case', [['workload.spiffe.io', 'True']]],
      ['another value', [['workload.spiffe.io', '1']]],
      ['empty', [['workload.spiffe.io', '']]],
      [
        'given twice',
        [
          ['workload.spiffe.io', 'true'],
          ['workload.spiffe.io', 'true'],
        ],
      ],
      ['that of the broker', [['broker.spiffe.io', 'true']]],
    ] as const) {
      it(`WLE-05: ${method} is refused with InvalidArgument when the security header is ${what}`, async () => {
        await open();
        const ended = await client.outcome(method, header);
        expect(ended).to.have.property('code', INVALID_ARGUMENT);
        expect(ended).to.have.property('details').that.includes('security header');
        expect(server.openStreams).to.equal(0);
      });
    }

    it(`WLE-05: ${method} passes the check with the security header${streams ? ', streaming' : ''}`, async () => {
      await open();
      const outcome = await client.outcome(method);
      // What is served answers with a message, but for a token that is none; what is not is Unimplemented.
      const expected = { FetchWITSVID: 12, FetchWITBundles: 12, ValidateJWTSVID: 3 }[method];
      expect(outcome === 'a message' ? undefined : outcome.code).to.equal(expected);
      if (outcome !== 'a message') expect(outcome.details).not.to.include('security header');
    });
  }

  it('WLE-06 WLE-11: speaks HTTP/2 without TLS to a caller that shows nothing of itself', async () => {
    await open();
    const socket = connect(server.address.slice('unix://'.length));
    await once(socket, 'connect');
    // RFC 9113 3.4: the client's preface and an empty SETTINGS frame; the server answers with its own.
    socket.write(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1'));
    const [first] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    expect(first[3]).to.equal(4);
  });

  it('WLE-15 WLA-23 WLA-26: answers PermissionDenied to a caller without identity, on both streams', async () => {
    await open({ identities: [] });
    expect((await client.svids().ended).code).to.equal(PERMISSION_DENIED);
    expect((await client.bundles().ended).code).to.equal(PERMISSION_DENIED);
    server.setIdentities([RESEARCHER]);
    expect((await client.svids().next()).svids).to.have.length(1);
  });

  for (const method of ['FetchX509SVIDs', 'fetchX509SVID', 'Mint']) {
    it(`WLE-17 WLA-02: has no RPC beside the standard's: ${method}`, async () => {
      await open();
      expect(await client.outcome(method)).to.have.property('code', UNIMPLEMENTED);
    });
  }

  for (const method of ['FetchWITSVID', 'FetchWITBundles']) {
    it(`WLA-40 WLE-16: answers Unimplemented to ${method}`, async () => {
      await open();
      expect(await client.outcome(method)).to.have.property('code', UNIMPLEMENTED);
    });
  }
});

describe('the development Workload API: FetchX509SVID', () => {
  it('WLA-03 WLA-06 WLE-18: sends the first message at once, on each new stream', async () => {
    await open();
    const [one, two] = [client.svids(), client.svids()];
    expect(await one.next()).to.deep.equal(await two.next());
    expect(server.openStreams).to.equal(2);
  });

  it('WLA-14 WLA-15 WLA-48: gives every identity, the first one first, with all mandatory fields', async () => {
    await open();
    const { svids, crl, federated_bundles } = await client.svids().next();
    expect(svids.map(({ spiffe_id, hint }) => [spiffe_id, hint])).to.deep.equal([
      [RESEARCHER, 'researcher'],
      [SEARCH, 'search'],
    ]);
    for (const svid of svids) {
      expect(svid.x509_svid.length).to.be.above(0);
      expect(svid.x509_svid_key.length).to.be.above(0);
      expect(hex(svid.bundle)).to.equal(hex(server.ca.bundleDer));
    }
    expect(crl).to.deep.equal([]);
    expect(federated_bundles).to.deep.equal({});
  });

  it('WLA-16 WLA-18: carries DER, leaf first and the intermediate behind it; the bundle holds the root', async () => {
    await open({ intermediate: true });
    const { svids } = await client.svids().next();
    const chain = splitCertificates(svids[0]?.x509_svid ?? new Uint8Array()).map(
      (der) => new X509Certificate(der),
    );
    const [root] = splitCertificates(svids[0]?.bundle ?? new Uint8Array()).map(
      (der) => new X509Certificate(der),
    );
    expect(chain).to.have.length(2);
    expect(chain[0]?.subjectAltName).to.equal(`URI:${RESEARCHER}`);
    expect(chain[0]?.checkIssued(chain[1] as X509Certificate)).to.equal(true);
    expect(chain[1]?.checkIssued(root as X509Certificate)).to.equal(true);
  });

  it('WLA-14: gives the bundles of federated trust domains under their SPIFFE IDs', async () => {
    await open({ federated: ['partner.test', 'constructor', '__proto__'] });
    const { federated_bundles } = await client.svids().next();
    expect(Object.keys(federated_bundles)).to.have.members([
      'spiffe://partner.test',
      'spiffe://constructor',
      'spiffe://__proto__',
    ]);
    expect(hex(federated_bundles['spiffe://partner.test'])).to.equal(
      hex(server.caOf('partner.test').bundleDer),
    );
  });

  it('WLA-20: refuses two identities with one hint, and takes any number without', async () => {
    await open({ identities: [RESEARCHER, SEARCH] });
    const before = serials(await client.svids().next());
    const same: ServedIdentity[] = [
      { id: RESEARCHER, hint: 'same' },
      { id: SEARCH, hint: 'same' },
    ];
    expect(() => server.setIdentities(same)).to.throw(/"same".*\[ERR_SPIFFE_OPTION_INVALID\]$/);
    expect(await rejection(WorkloadApiServer.open({ ...OPTIONS, identities: same }))).to.include(
      'ERR_SPIFFE_OPTION_INVALID',
    );
    expect(serials(await client.svids().next())).to.deep.equal(before);
  });

  it('WLA-22: refuses a hint over 1024 bytes, and serves one of 1024', async () => {
    const longest = 'é'.repeat(512);
    await open({ identities: [{ id: RESEARCHER, hint: longest }] });
    expect((await client.svids().next()).svids[0]?.hint).to.equal(longest);
    expect(() => server.setIdentities([{ id: RESEARCHER, hint: `${longest}a` }])).to.throw(
      '[ERR_SPIFFE_OPTION_INVALID]',
    );
  });

  it('WLA-05 WLA-06: a change sends the complete state, and only to the streams that it concerns', async () => {
    await open({ federated: ['partner.test'] });
    const [svids, bundles] = [client.svids(), client.bundles()];
    const before = await svids.next();
    await bundles.next();
    server.rotateSvids();
    const after = await svids.next();
    expect(after.svids.map(({ spiffe_id }) => spiffe_id)).to.deep.equal([RESEARCHER, SEARCH]);
    expect(Object.keys(after.federated_bundles)).to.deep.equal(['spiffe://partner.test']);
    expect(serials(after)).not.to.have.members(serials(before));
    server.rotateCa({ trustDomain: 'partner.test' });
    // Had the new SVIDs been told here too, the partner's old bundle would come first.
    expect(hex((await bundles.next()).bundles['spiffe://partner.test'])).to.equal(
      hex(server.caOf('partner.test').bundleDer),
    );
  });

  it('sends new keys with new SVIDs', async () => {
    await open();
    const stream = client.svids();
    const before = await stream.next();
    server.rotateSvids();
    const after = await stream.next();
    expect(hex(after.svids[0]?.x509_svid_key)).not.to.equal(hex(before.svids[0]?.x509_svid_key));
  });
});

describe('the development Workload API: FetchX509Bundles', () => {
  it('WLA-25: gives its own trust domain and the federated ones, under their SPIFFE IDs', async () => {
    await open({ federated: ['partner.test'] });
    const { bundles, crl } = await client.bundles().next();
    expect(Object.keys(bundles)).to.deep.equal(['spiffe://example.org', 'spiffe://partner.test']);
    expect(hex(bundles['spiffe://example.org'])).to.equal(hex(server.ca.bundleDer));
    expect(crl).to.deep.equal([]);
  });

  it('WLA-05 WLA-09: a trust domain that leaves is absent from the next message of both streams', async () => {
    await open({ federated: ['partner.test'] });
    const [svids, bundles] = [client.svids(), client.bundles()];
    await Promise.all([svids.next(), bundles.next()]);
    server.unfederate('partner.test');
    expect((await svids.next()).federated_bundles).to.deep.equal({});
    expect(Object.keys((await bundles.next()).bundles)).to.deep.equal(['spiffe://example.org']);
    expect(server.federated).to.deep.equal([]);
  });

  it('takes the CA of another trust domain as it is, or makes one', async () => {
    await open();
    const partner = TestCa.create('partner.test');
    expect(server.federate(partner)).to.equal(partner);
    expect(server.federate('other.test').trustDomain.name).to.equal('other.test');
    const { bundles } = await client.bundles().next();
    expect(hex(bundles['spiffe://partner.test'])).to.equal(hex(partner.bundleDer));
    expect(server.federated).to.deep.equal(['partner.test', 'other.test']);
  });

  it('refuses to federate with itself, and to name a trust domain that is not federated', async () => {
    await open();
    expect(() => server.federate('example.org')).to.throw('[ERR_SPIFFE_OPTION_INVALID]');
    expect(() => server.unfederate('partner.test')).to.throw('[ERR_SPIFFE_BUNDLE_NOT_FOUND]');
    expect(() => server.rotateCa({ trustDomain: 'partner.test' })).to.throw(
      '[ERR_SPIFFE_BUNDLE_NOT_FOUND]',
    );
    expect(server.caOf('example.org')).to.equal(server.ca);
  });
});

describe('the development Workload API: rotation and withdrawal', () => {
  it('rotates the CA: one message brings the new SVIDs and a bundle of both authorities', async () => {
    await open();
    const [svids, bundles] = [client.svids(), client.bundles()];
    await Promise.all([svids.next(), bundles.next()]);
    server.rotateCa();
    const { svids: rotated } = await svids.next();
    const authorities = splitCertificates(rotated[0]?.bundle ?? new Uint8Array());
    expect(authorities).to.have.length(2);
    const [leaf, authority] = [rotated[0]?.x509_svid ?? '', authorities[0] ?? ''].map(
      (der) => new X509Certificate(der),
    );
    expect(leaf?.checkIssued(authority as X509Certificate)).to.equal(true);
    expect(hex((await bundles.next()).bundles['spiffe://example.org'])).to.equal(
      hex(rotated[0]?.bundle),
    );
  });

  it('rotates the CA without the old authority when told so', async () => {
    await open();
    server.rotateCa({ keepOld: false });
    const { svids } = await client.svids().next();
    expect(splitCertificates(svids[0]?.bundle ?? new Uint8Array())).to.have.length(1);
  });

  it('renews each SVID by itself when half of its life is over, and the others not', async () => {
    const clock = new FakeClock();
    await open({
      clock,
      ttlMs: 3600_000,
      identities: [{ id: RESEARCHER, ttlMs: 60_000 }, SEARCH],
    });
    const stream = client.svids();
    const first = serials(await stream.next());
    clock.advance(29_000);
    clock.advance(1000);
    const second = serials(await stream.next());
    expect(second[0]).not.to.equal(first[0]);
    expect(second[1]).to.equal(first[1]);
    expect(stream.unread).to.equal(0);
  });

  it('renews what was issued together in one message, though issuing takes time', async () => {
    const clock = new FakeClock(new Date('2030-01-01T00:00:00Z'));
    // Each look at this clock finds it a millisecond later.
    const slow = {
      now: () => {
        clock.advance(1);
        return clock.now();
      },
      setTimeout: (callback: () => void, ms: number) => clock.setTimeout(callback, ms),
      clearTimeout: (timer: NodeJS.Timeout | number | undefined) => clock.clearTimeout(timer),
    };
    await open({ clock: slow, ttlMs: 60_000 });
    const stream = client.svids();
    const before = serials(await stream.next());
    clock.advance(30_000);
    const after = serials(await stream.next());
    expect(after.filter((serial) => before.includes(serial))).to.deep.equal([]);
  });

  it('does not renew by itself when told so', async () => {
    const clock = new FakeClock();
    await open({ clock, ttlMs: 60_000, autoRotate: false });
    expect(clock.pendingTimers).to.equal(0);
    const before = server.identities;
    clock.advance(3600_000);
    expect(server.identities).to.deep.equal(before);
  });

  it('waits on when a timer ends before anything is due', async () => {
    const clock = new FakeClock();
    // Node's timers hold 24.8 days; this one behaves alike at 10.
    const short = {
      now: () => clock.now(),
      setTimeout: (callback: () => void, ms: number) =>
        clock.setTimeout(callback, Math.min(ms, 10 * 86_400_000)),
      clearTimeout: (timer: NodeJS.Timeout | number | undefined) => clock.clearTimeout(timer),
    };
    await open({ clock: short, ttlMs: 50 * 86_400_000 });
    const before = server.identities;
    clock.advance(24 * 86_400_000);
    expect(server.identities).to.deep.equal(before);
    clock.advance(2 * 86_400_000);
    expect(server.identities).not.to.deep.equal(before);
  });

  it('replaces its authority in time: years later SVIDs have their full life', async () => {
    const clock = new FakeClock();
    const ttlMs = 30 * 86_400_000;
    await open({ clock, ttlMs });
    clock.advance(3 * 365 * 86_400_000);
    const [one] = server.identities;
    expect((one?.notAfter.getTime() ?? 0) - clock.now()).to.be.within(ttlMs / 2 - 1000, ttlMs);
    expect(splitCertificates(server.ca.bundleDer).length).to.be.within(1, 3);
  });

  it('WLA-24 WLA-27: withdrawal ends the open streams with PermissionDenied and refuses new ones', async () => {
    await open();
    const [svids, bundles] = [client.svids(), client.bundles()];
    const before = await svids.next();
    await bundles.next();
    server.withdraw();
    expect((await svids.ended).code).to.equal(PERMISSION_DENIED);
    expect((await bundles.ended).code).to.equal(PERMISSION_DENIED);
    expect((await client.svids().ended).code).to.equal(PERMISSION_DENIED);
    server.restore();
    expect(serials(await client.svids().next())).to.deep.equal(serials(before));
  });

  it('ends a withdrawal when identities are set', async () => {
    await open();
    server.withdraw();
    server.setIdentities([SEARCH]);
    expect((await client.svids().next()).svids.map(({ spiffe_id }) => spiffe_id)).to.deep.equal([
      SEARCH,
    ]);
  });

  it('keeps the SVID of an identity that stays, and issues for one that is new or changed', async () => {
    await open({ identities: [RESEARCHER, SEARCH] });
    const stream = client.svids();
    const [researcher, search] = serials(await stream.next());
    server.setIdentities([
      { id: SEARCH, hint: 'renamed' },
      { id: RESEARCHER, ttlMs: 60_000 },
      'spiffe://example.org/new',
    ]);
    const message = await stream.next();
    expect(message.svids.map(({ spiffe_id, hint }) => [spiffe_id, hint])).to.deep.equal([
      [SEARCH, 'renamed'],
      [RESEARCHER, ''],
      ['spiffe://example.org/new', ''],
    ]);
    expect(serials(message)[0]).to.equal(search);
    expect(serials(message)[1]).not.to.equal(researcher);
  });

  it('changes nothing when one of the new identities cannot be served', async () => {
    await open();
    const before = server.identities;
    for (const id of ['spiffe://other.test/a', 'spiffe://example.org', 'not an ID']) {
      expect(() => server.setIdentities([SEARCH, id])).to.throw(
        /\[ERR_SPIFFE_(OPTION|ID)_INVALID\]$/,
      );
    }
    expect(server.identities).to.deep.equal(before);
  });

  it('tells what it serves', async () => {
    await open();
    expect(server.identities.map(({ id, hint }) => [id, hint])).to.deep.equal([
      [RESEARCHER, 'researcher'],
      [SEARCH, 'search'],
    ]);
    const { svids } = await client.svids().next();
    expect(new X509Certificate(svids[0]?.x509_svid ?? '').validTo).to.equal(
      new X509Certificate(svids[1]?.x509_svid ?? '').validTo,
    );
  });

  it('keeps its streams apart: one that ends leaves the others alone', async () => {
    await open();
    const [one, two] = [client.svids(), client.svids()];
    await Promise.all([one.next(), two.next()]);
    one.cancel();
    expect((await one.ended).code).not.to.equal(OK);
    server.rotateSvids();
    expect((await two.next()).svids).to.have.length(2);
  });
});
