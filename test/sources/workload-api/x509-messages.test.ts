import { createPublicKey, type KeyObject } from 'node:crypto';
import type { X509Snapshot, X509Svid } from 'agent-spiffe';
import { FakeClock, TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { parseWorkloadApiAddress } from '#lib/sources/workload-api/address.js';
import { resolveLimits } from '#lib/sources/workload-api/limits.js';
import {
  FETCH_X509_SVID,
  type X509SvidEntry,
  type X509SvidResponse,
} from '#lib/sources/workload-api/proto.js';
import { WorkloadX509Source } from '#lib/sources/workload-api/x509-source.js';
import { createAuthority, leafFields } from '#lib/testing/authority.js';
import { writeCertificate } from '#lib/testing/certificate.js';
import { subjectAltName } from '#lib/testing/extensions.js';
import { FakeStreams } from '../../support/fake-streams.js';
import { memoryLogger } from '../../support/memory-logger.js';
import { Random } from '../../support/random.js';

const HOUR_MS = 3600_000;
const MIB = 2 ** 20;
const clock = new FakeClock(new Date('2026-11-01T12:00:00Z'));
const now = (): Date => new Date(clock.now());
const ca = TestCa.create('example.org', { now });
const other = TestCa.create('other.org', { now });
const third = TestCa.create('third.org', { now });

function entry(path: string, fields: Partial<X509SvidEntry> = {}, issuer = ca): X509SvidEntry {
  const spiffeId = `${issuer.trustDomain.idString}/${path}`;
  const { certificates, key } = issuer.issueDer(spiffeId);
  return {
    spiffeId,
    x509Svid: certificates,
    x509SvidKey: key,
    bundle: issuer.bundleDer,
    hint: '',
    ...fields,
  };
}

function message(fields: Partial<X509SvidResponse> = {}): X509SvidResponse {
  return {
    svids: [entry('a', { hint: 'main' }), entry('b', { hint: 'second' })],
    crl: [],
    federatedBundles: new Map([
      ['spiffe://other.org', other.bundleDer],
      ['spiffe://third.org', third.bundleDer],
    ]),
    ...fields,
  };
}

const only = (one: X509SvidEntry): X509SvidResponse => message({ svids: [one] });
const pem = (kind: string, der: Uint8Array): Uint8Array =>
  Buffer.from(
    `-----BEGIN ${kind}-----\n${Buffer.from(der).toString('base64')}\n-----END ${kind}-----\n`,
  );
const cut = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, -1);
const longer = (bytes: Uint8Array): Uint8Array => Buffer.concat([bytes, Uint8Array.of(0)]);

/** The key of an entry in another encoding. */
function recode(one: X509SvidEntry, encode: (key: KeyObject) => Uint8Array): X509SvidResponse {
  const svid = ca.issue(one.spiffeId);
  return only({
    ...one,
    x509Svid: Buffer.concat(svid.certificates),
    x509SvidKey: encode(svid.privateKey),
  });
}

/** An entry whose leaf is made by hand. */
function leaf(id: string, uris: readonly string[], ttlMs: number = HOUR_MS): X509SvidEntry {
  const key = ca.issue('spiffe://example.org/key').privateKey;
  const fields = leafFields(ca.authority, {
    id,
    publicKey: createPublicKey(key),
    now: now(),
    ttlMs,
  });
  const x509Svid = writeCertificate({
    ...fields,
    extensions: [...fields.extensions.slice(0, -1), subjectAltName({ uris }, { critical: true })],
  });
  const x509SvidKey = key.export({ type: 'pkcs8', format: 'der' });
  return entry('a', { spiffeId: id, x509Svid, x509SvidKey });
}

function signingCertificate(): X509SvidEntry {
  const authority = createAuthority(ca.trustDomain, { now: now() });
  const x509SvidKey = authority.key.export({ type: 'pkcs8', format: 'der' });
  return entry('a', { x509Svid: authority.certificate, x509SvidKey });
}

function chainOf(length: number): X509SvidEntry {
  const one = entry('a');
  const more = Array.from({ length: length - 1 }, () => ca.authority.certificate);
  return { ...one, x509Svid: Buffer.concat([one.x509Svid, ...more]) };
}

function opened(limits: Parameters<typeof resolveLimits>[0] = {}) {
  const streams = new FakeStreams();
  const logger = memoryLogger();
  const source = new WorkloadX509Source({
    client: streams,
    address: parseWorkloadApiAddress('unix:/s'),
    pick: undefined,
    limits: resolveLimits(limits),
    clock,
    logger,
  });
  source.start();
  const send = (sent: X509SvidResponse | Uint8Array): void =>
    streams.call.send(sent instanceof Uint8Array ? sent : FETCH_X509_SVID.response.encode(sent));
  return { source, logger, send };
}

async function newest(source: WorkloadX509Source): Promise<X509Snapshot> {
  for await (const snapshot of source.updates()) return snapshot;
  throw new Error('there is always a present state');
}

const svidsOf = (source: WorkloadX509Source): readonly string[] =>
  source.svids().map(({ id }) => id.toString());

type Table = readonly (readonly [
  what: string,
  make: () => X509SvidResponse | Uint8Array,
  says: RegExp,
])[];

const REFUSED: Table = [
  ['bytes that are no message (WLA-14)', () => Uint8Array.of(0xff, 1, 2), /cannot decode 3 bytes/],
  [
    'a message that is cut short',
    () => cut(FETCH_X509_SVID.response.encode(message())),
    /cannot decode/,
  ],
  ['an empty message (WLA-11)', () => new Uint8Array(), /no X509-SVID \(WLA-14\)/],
  ['no X509-SVID beside bundles (WLA-14)', () => message({ svids: [] }), /no X509-SVID/],
  [
    '101 X509-SVIDs',
    () => message({ svids: Array.from({ length: 101 }, () => entry('a')) }),
    /101 X509-SVIDs, above the limit of 100/,
  ],
  [
    'no spiffe_id (WLA-15)',
    () => only(entry('a', { spiffeId: '' })),
    /X509-SVID 1 \(""\) has no spiffeId/,
  ],
  [
    'no x509_svid (WLA-15)',
    () => only(entry('a', { x509Svid: new Uint8Array() })),
    /has no x509Svid /,
  ],
  [
    'no x509_svid_key (WLA-15)',
    () => only(entry('a', { x509SvidKey: new Uint8Array() })),
    /has no x509SvidKey/,
  ],
  ['no bundle (WLA-15)', () => only(entry('a', { bundle: new Uint8Array() })), /has no bundle/],
  [
    'a spiffe_id that is none',
    () => only(entry('a', { spiffeId: 'spiffe://example.org/a/' })),
    /trailing slash/,
  ],
  [
    'a spiffe_id that the certificate does not have (WLA-19)',
    () => only({ ...entry('a'), spiffeId: 'spiffe://example.org/b' }),
    /the certificate is that of spiffe:\/\/example\.org\/a/,
  ],
  [
    'a certificate in PEM (WLA-16)',
    () => only(entry('a', { x509Svid: pem('CERTIFICATE', entry('a').x509Svid) })),
    /not DER certificates/,
  ],
  [
    'a certificate that is cut short',
    () => only({ ...entry('a'), x509Svid: cut(entry('a').x509Svid) }),
    /cut off/,
  ],
  [
    'a byte behind the certificate',
    () => only(entry('a', { x509Svid: longer(entry('a').x509Svid) })),
    /not DER certificates/,
  ],
  [
    'a key in PEM (WLA-17)',
    () => only(entry('a', { x509SvidKey: pem('PRIVATE KEY', entry('a').x509SvidKey) })),
    /PKCS#8 DER/,
  ],
  [
    'a key in SEC1 (WLA-17)',
    () => recode(entry('a'), (key) => key.export({ type: 'sec1', format: 'der' })),
    /PKCS#8 DER/,
  ],
  [
    'an encrypted key (WLA-17)',
    () =>
      recode(entry('a'), (key) =>
        key.export({ type: 'pkcs8', format: 'der', cipher: 'aes-256-cbc', passphrase: 'x' }),
      ),
    /PKCS#8 DER/,
  ],
  [
    'a byte behind the key',
    () => recode(entry('a'), (key) => longer(key.export({ type: 'pkcs8', format: 'der' }))),
    /PKCS#8 DER/,
  ],
  [
    'the key of another leaf (WLA-19)',
    () => only({ ...entry('a'), x509SvidKey: entry('a').x509SvidKey }),
    /does not belong to the leaf/,
  ],
  ['a signing certificate (X509-15)', () => only(signingCertificate()), /X509-SVID 1/],
  [
    'a leaf whose ID has no path (X509-07)',
    () => only(leaf('spiffe://example.org', ['spiffe://example.org'])),
    /X509-SVID 1/,
  ],
  [
    'a leaf with two URIs (X509-02)',
    () => only(leaf('spiffe://example.org/a', ['spiffe://example.org/a', 'https://example.org'])),
    /X509-SVID 1/,
  ],
  [
    'the leaf behind its issuer (WLA-16)',
    () => {
      const one = entry('a');
      return only({ ...one, x509Svid: Buffer.concat([ca.authority.certificate, one.x509Svid]) });
    },
    /X509-SVID 1/,
  ],
  ['17 certificates in a chain', () => only(chainOf(17)), /more than 16 certificates/],
  [
    'an SVID that has expired',
    () => {
      const one = leaf('spiffe://example.org/a', ['spiffe://example.org/a'], -1000);
      return only(one);
    },
    /has expired at 2026-11-01T11:59:59\.000Z/,
  ],
  [
    'a good SVID beside a broken one',
    () => message({ svids: [entry('a'), entry('b', { x509Svid: Uint8Array.of(1) })] }),
    /X509-SVID 2/,
  ],
  [
    'a bundle of its own that is no DER (WLA-18)',
    () => only(entry('a', { bundle: Buffer.from('hello') })),
    /the bundle beside X509-SVID 1/,
  ],
  [
    'a bundle of its own in PEM (WLA-18)',
    () => only(entry('a', { bundle: pem('CERTIFICATE', ca.bundleDer) })),
    /the bundle beside/,
  ],
  [
    'a bundle of its own that is cut short',
    () => only(entry('a', { bundle: cut(ca.bundleDer) })),
    /the bundle beside/,
  ],
  [
    'a bundle of its own above 4 MiB',
    () => only(entry('a', { bundle: new Uint8Array(4 * MIB + 1) })),
    /4194305 bytes are above the limit of 4194304/,
  ],
  [
    'two bundles that differ for one trust domain',
    () =>
      message({
        svids: [
          entry('a'),
          entry('b', { bundle: TestCa.create('example.org', { now }).bundleDer }),
        ],
      }),
    /two bundles that differ for example\.org/,
  ],
  [
    '201 foreign bundles',
    () =>
      message({
        federatedBundles: new Map(
          Array.from({ length: 201 }, (_, at) => [`spiffe://d${at}`, other.bundleDer]),
        ),
      }),
    /201 bundles, above the limit of 200/,
  ],
  [
    '200 foreign bundles beside our own',
    () =>
      message({
        federatedBundles: new Map(
          Array.from({ length: 200 }, (_, at) => [`spiffe://d${at}`, other.bundleDer]),
        ),
      }),
    /201 bundles, above the limit of 200/,
  ],
];

describe('a message of the Workload API that is wrong about our own identity', () => {
  for (const [what, make, says] of REFUSED) {
    it(`is refused whole, and the last good state stays: ${what}`, async () => {
      const { source, logger, send } = opened();
      const good = message();
      send(good);
      const held = await newest(source);
      expect(held.state).to.equal('ready');

      send(make());
      expect(await newest(source), 'the state before').to.equal(held);
      expect(source.svid()).to.equal(held.svid);
      expect(source.trouble?.code).to.equal('ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID');
      expect(source.trouble?.message).to.match(says);
      expect(logger.at('warn').map(({ message: text }) => text)).to.have.lengthOf(1);

      send(message({ svids: [entry('c')] }));
      expect(svidsOf(source), 'the good one after it is taken').to.deep.equal([
        'spiffe://example.org/c',
      ]);
      expect(source.trouble).to.equal(undefined);
    });
  }

  it('changes nothing either where it is the first', () => {
    const { source, send } = opened();
    send(only(entry('a', { spiffeId: '' })));
    expect(source.state).to.equal('pending');
    send(message());
    expect(source.state).to.equal('ready');
  });

  it('is logged once however often it comes, and counted', () => {
    const { logger, send } = opened();
    const broken = only(entry('a', { spiffeId: '' }));
    for (let i = 0; i < 9; i++) send(broken);
    expect(logger.lines).to.have.lengthOf(1);
    send(message());
    expect(logger.lines).to.have.lengthOf(2);
    expect(logger.lines[1]?.fields).to.deep.equal({ messages: 9 });
  });
});

describe('bytes of the Workload API that were changed at random', () => {
  it('are taken or refused, and never more than that', () => {
    const { source, send } = opened();
    send(message());
    const good = FETCH_X509_SVID.response.encode(message());
    let refused = 0;
    for (let seed = 1; seed <= 400; seed++) {
      const random = new Random(seed);
      const bytes = Uint8Array.from(
        good.subarray(0, good.length - random.below(3) * random.below(200)),
      );
      // Half of them where lengths and tags are dense.
      const within = random.below(2) === 0 ? 40 : bytes.length;
      for (let changes = random.below(3); changes >= 0; changes--)
        bytes[random.below(within)] = random.below(256);
      send(bytes);
      expect(source.state, `seed ${seed}`).to.equal('ready');
      expect(source.svid().id.trustDomain.name, `seed ${seed}`).to.equal('example.org');
      if (source.trouble !== undefined) {
        refused++;
        expect(source.trouble.code, `seed ${seed}`).to.equal(
          'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID',
        );
        // That would be a fault of ours.
        expect(source.trouble.message, `seed ${seed}`).not.to.match(/^cannot read an/);
      }
    }
    expect(refused).to.be.within(100, 399);
  });
});

describe('a message of the Workload API at a limit', () => {
  it('is taken with 100 X509-SVIDs, 16 certificates in a chain and 200 bundles', async () => {
    const { source, send } = opened();
    const foreign = Array.from(
      { length: 199 },
      (_, at) => [`spiffe://d${at}`, other.bundleDer] as const,
    );
    send(
      message({
        svids: [chainOf(16), ...Array.from({ length: 99 }, () => entry('a'))],
        federatedBundles: new Map(foreign),
      }),
    );
    expect(source.svids()).to.have.lengthOf(100);
    expect(source.svid().certificates).to.have.lengthOf(16);
    expect(source.bundles.get('d198')?.authorities).to.have.lengthOf(1);
  });

  it('is judged by the limits given', () => {
    const { source, send } = opened({ svids: 1, bundles: 2, chainCertificates: 1 });
    send(message());
    expect(source.trouble?.message).to.match(/2 X509-SVIDs, above the limit of 1/);
    send(only(entry('a')));
    expect(source.trouble?.message).to.match(/3 bundles, above the limit of 2/);
    send(message({ svids: [chainOf(2)], federatedBundles: new Map() }));
    expect(source.trouble?.message).to.match(/more than 1 certificates/);
    send(message({ svids: [entry('a')], federatedBundles: new Map() }));
    expect(source.state).to.equal('ready');
  });
});

const OMITTED: readonly (readonly [
  what: string,
  key: string,
  bytes: () => Uint8Array,
  says: RegExp,
])[] = [
  [
    'bytes that are no DER',
    'spiffe://other.org',
    () => Buffer.from('hello'),
    /not DER certificates/,
  ],
  ['PEM', 'spiffe://other.org', () => pem('CERTIFICATE', other.bundleDer), /not DER certificates/],
  ['DER that is cut short', 'spiffe://other.org', () => cut(other.bundleDer), /cut off/],
  [
    'a byte behind the DER',
    'spiffe://other.org',
    () => longer(other.bundleDer),
    /not DER certificates/,
  ],
  ['more than 4 MiB', 'spiffe://other.org', () => new Uint8Array(4 * MIB + 1), /above the limit/],
  [
    'a bare name as its key (WLA-14)',
    'other.org',
    () => other.bundleDer,
    /does not begin with spiffe:/,
  ],
  [
    "a workload's ID as its key (WLA-14)",
    'spiffe://other.org/a',
    () => other.bundleDer,
    /not of a trust domain/,
  ],
  ['upper case in its key', 'spiffe://OTHER.org', () => other.bundleDer, /lower case/],
  ['an empty key', '', () => other.bundleDer, /it is empty/],
];

describe('a foreign bundle that is wrong', () => {
  for (const [what, key, bytes, says] of OMITTED) {
    it(`costs its own trust domain and nothing else: ${what}`, () => {
      const { source, logger, send } = opened();
      send(message());
      const before = source.bundles.get('third.org');
      expect(source.bundles.get('other.org')?.equals(other.bundle)).to.equal(true);

      const rotated = entry('a');
      send(
        message({
          svids: [rotated],
          federatedBundles: new Map([
            [key, bytes()],
            ['spiffe://third.org', third.bundleDer],
          ]),
        }),
      );
      expect(source.state).to.equal('ready');
      expect(source.svid().certificates[0]).to.deep.equal(Uint8Array.from(rotated.x509Svid));
      expect(source.bundles.get('other.org')).to.equal(undefined);
      expect(source.bundles.get('third.org')).to.equal(before);
      expect(source.bundles.get('example.org')?.equals(ca.bundle)).to.equal(true);
      const [line] = logger.at('warn');
      expect(line?.message).to.match(says);
      expect(line?.message).to.include(`the bundle of ${JSON.stringify(key)}`);
    });
  }

  it('is back as soon as it is right', () => {
    const { source, send } = opened();
    send(message({ federatedBundles: new Map([['spiffe://other.org', Uint8Array.of(1)]]) }));
    expect(source.bundles.get('other.org')).to.equal(undefined);
    send(message());
    expect(source.bundles.get('other.org')?.equals(other.bundle)).to.equal(true);
  });
});

describe('the state that a message of the Workload API gives', () => {
  it('has the identities in their order, the first one as the default (WLA-48)', () => {
    const { source, send } = opened();
    send(message());
    expect(svidsOf(source)).to.deep.equal(['spiffe://example.org/a', 'spiffe://example.org/b']);
    expect(source.svid()).to.equal(source.svids()[0]);
    expect(source.svid().hint).to.equal('main');
  });

  it('keeps the first of two identities with one hint, and all without (WLA-21)', () => {
    const { source, logger, send } = opened();
    const hints = ['x', '', 'x', '', 'y'];
    send(message({ svids: hints.map((hint, at) => entry(`w${at}`, { hint })) }));
    expect(source.svids().map(({ id, hint }) => [id.path, hint])).to.deep.equal([
      ['/w0', 'x'],
      ['/w1', ''],
      ['/w3', ''],
      ['/w4', 'y'],
    ]);
    expect(logger.at('warn')[0]?.message).to.match(
      /X509-SVID 3 .* repeats the hint "x" \(WLA-20\)/,
    );
  });

  it('has the bundle of each identity, also those of several trust domains', () => {
    const { source, send } = opened();
    send(
      message({
        svids: [entry('a'), entry('b'), entry('z', {}, third)],
        federatedBundles: new Map(),
      }),
    );
    expect(source.bundles.get('example.org')?.equals(ca.bundle)).to.equal(true);
    expect(source.bundles.get('third.org')?.equals(third.bundle)).to.equal(true);
    expect(source.bundles.get('other.org')).to.equal(undefined);
  });

  it('takes the bundle of our own trust domain from beside the SVID, not from among the foreign', () => {
    const { source, send } = opened();
    const forged = TestCa.create('example.org', { now }).bundleDer;
    send(message({ federatedBundles: new Map([['spiffe://example.org', forged]]) }));
    expect(source.bundles.get('example.org')?.equals(ca.bundle)).to.equal(true);
  });

  it('is the whole state: what is not in it is withdrawn (WLA-05, WLA-08, WLA-09)', () => {
    const { source, send } = opened();
    send(message());
    send(message({ svids: [entry('a')], federatedBundles: new Map() }));
    expect(svidsOf(source)).to.deep.equal(['spiffe://example.org/a']);
    expect(source.bundles.get('other.org')).to.equal(undefined);
    expect(source.bundles.get('third.org')).to.equal(undefined);
  });

  it('has a foreign trust domain without authorities as one that trusts nothing', () => {
    const { source, send } = opened();
    send(message({ federatedBundles: new Map([['spiffe://other.org', new Uint8Array()]]) }));
    expect(source.bundles.get('other.org')?.authorities).to.deep.equal([]);
  });

  it('has a trust domain that is called __proto__', () => {
    const { source, send } = opened();
    const odd = TestCa.create('__proto__', { now });
    send(message({ federatedBundles: new Map([['spiffe://__proto__', odd.bundleDer]]) }));
    expect(source.bundles.get('__proto__')?.equals(odd.bundle)).to.equal(true);
    expect(source.bundles.get('constructor')).to.equal(undefined);
  });

  it('is no new one where it says what the last one said, in whatever order of its bundles', async () => {
    const { source, send } = opened();
    const said = message();
    send(said);
    const held = await newest(source);
    send(said);
    send({ ...said, federatedBundles: new Map([...said.federatedBundles].toReversed()) });
    expect(await newest(source)).to.equal(held);
    send({ ...said, svids: said.svids.toReversed() });
    expect((await newest(source)).sequence).to.equal(held.sequence + 1);
  });

  it('is a new one for each thing that changes, and what has not changed keeps its object', async () => {
    const { source, send } = opened();
    const [a, b] = [entry('a'), entry('b')];
    send(message({ svids: [a, b] }));
    const svidB = source.svids()[1] as X509Svid;
    const changes: readonly X509SvidResponse[] = [
      message({ svids: [entry('a'), b] }),
      message({ svids: [entry('a', { hint: 'h' }), b] }),
      message({
        svids: [a, b],
        federatedBundles: new Map([['spiffe://other.org', other.bundleDer]]),
      }),
      message({
        svids: [a, b],
        federatedBundles: new Map([['spiffe://other.org', third.bundleDer]]),
      }),
    ];
    for (const [at, change] of changes.entries()) {
      send(change);
      expect((await newest(source)).sequence).to.equal(at + 2);
      expect(source.svids()[1]).to.equal(svidB);
    }
  });

  it('does not change with the bytes it came from', () => {
    const { source, send } = opened();
    const bytes = FETCH_X509_SVID.response.encode(message());
    send(bytes);
    const { authorities } = source.bundles.get('other.org') ?? { authorities: [] };
    const before = [...source.svid().certificates, ...authorities].map((der) => Buffer.from(der));
    bytes.fill(0);
    expect(
      [...source.svid().certificates, ...authorities].map((der) => Buffer.from(der)),
    ).to.deep.equal(before);
  });
});
