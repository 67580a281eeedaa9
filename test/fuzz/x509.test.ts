import { SpiffeError, verifyX509Svid, X509Bundle, X509Bundles, X509Svid } from 'agent-spiffe';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { writePem } from '#lib/internal/pem.js';
import { readContent } from '#lib/sources/files/content.js';
import { DEFAULT_NAMES } from '#lib/sources/files/names.js';
import type { FileSet } from '#lib/sources/files/read-set.js';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';
import { mutateBytes } from '../support/mutation/bytes.js';
import { mutateDer } from '../support/mutation/der.js';
import type { Random } from '../support/mutation/random.js';
import { mutateText } from '../support/mutation/text.js';
import { hostileChains } from './hostile-chains.js';

const ID = 'spiffe://example.org/workload';
const KIB = 1024;
const PEM_PARTS = [
  '-----BEGIN CERTIFICATE-----',
  '-----END CERTIFICATE-----',
  '-----',
  '\n',
  '\r',
  '=',
  'A',
  ' ',
  '\u0000',
  'é',
];

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex').slice(0, 4000);
const changed = (random: Random, bytes: Uint8Array): Uint8Array =>
  random.oneIn(2) ? mutateDer(random, bytes) : mutateBytes(random, bytes);

const pem = (bytes: Uint8Array, label: string): Uint8Array => Buffer.from(writePem(bytes, label));

/** Sequences inside sequences, as deep as fits. */
function nested(length: number): Buffer {
  const heads = Array.from({ length: length / 4 }, (_, at) => {
    const head = Buffer.from('30820000', 'hex');
    head.writeUInt16BE(length - 4 * (at + 1), 2);
    return head;
  });
  return Buffer.concat(heads);
}

describe('fuzzed X.509, with nothing but SpiffeError and never more than 50 ms', function () {
  this.timeout(FUZZ_TIMEOUT_MS);
  const ca = TestCa.create('example.org', { intermediate: true });
  const partner = TestCa.create('partner.test');
  const { certificates, key } = ca.issueDer(ID);
  const pems = (count: number): string => writePem(partner.bundleDer, 'CERTIFICATE').repeat(count);

  it('X509Bundle.fromDer: what it takes comes out as it was', async () => {
    await fuzz<Uint8Array>({
      good: [ca.bundleDer, Buffer.concat([ca.bundleDer, partner.bundleDer]), new Uint8Array(0)],
      nasty: [
        nested(64 * KIB - 4),
        Buffer.alloc(64 * KIB, 0x30),
        Buffer.from('30837fffff30', 'hex'),
      ],
      mutate: changed,
      parse: (bytes) => {
        const { authorities } = X509Bundle.fromDer('example.org', bytes);
        expect(Buffer.concat(authorities).equals(bytes)).to.equal(true);
      },
      show: hex,
    });
  });

  it('X509Bundle.fromPem', async () => {
    await fuzz({
      good: [pems(1), pems(2)],
      nasty: [
        '-----BEGIN CERTIFICATE-----\n'.repeat(8 * KIB),
        `-----BEGIN CERTIFICATE-----\n${'A\n'.repeat(100 * KIB)}`,
        `-----BEGIN ${'A '.repeat(100 * KIB)}`,
        `-----BEGIN CERTIFICATE-----\n${' '.repeat(200 * KIB)}`,
        `-----BEGIN CERTIFICATE-----\nAAAA${'-----END '.repeat(20 * KIB)}`,
        pems(100),
      ],
      mutate: (random, value) => mutateText(random, value, PEM_PARTS),
      parse: (value) =>
        expect(X509Bundle.fromPem('example.org', value).authorities).not.to.have.length(0),
      show: JSON.stringify,
    });
  });

  it('X509Svid.fromDer: what it takes is a leaf with a path', async () => {
    await fuzz<readonly [certificates: Uint8Array, key: Uint8Array]>({
      good: [[certificates, key]],
      nasty: [
        [nested(64 * KIB - 4), key],
        [certificates, nested(64 * KIB - 4)],
      ],
      mutate: (random, [chain, secret]) =>
        random.oneIn(3) ? [chain, changed(random, secret)] : [changed(random, chain), secret],
      parse: ([chain, secret]) => {
        const svid = X509Svid.fromDer(chain, secret);
        expect(svid.id.path).not.to.equal('');
        expect(svid.notAfter.getTime()).not.to.be.NaN;
      },
      show: ([chain, secret]) => `${hex(chain)} ${hex(secret)}`,
    });
  });

  it('verifyX509Svid: nothing that was changed is believed, however much it costs to look at', async () => {
    const bundles = X509Bundles.of(ca.bundle);
    const now = new Date();
    await fuzz<readonly Uint8Array[]>({
      good: [X509Svid.fromDer(certificates, key).certificates],
      nasty: hostileChains(),
      mutate: (random, chain) => {
        if (chain.length === 0 || random.oneIn(8)) return [...chain, certificates];
        const at = random.int(chain.length);
        return random.oneIn(8)
          ? chain.toSpliced(at, 1)
          : chain.with(at, changed(random, chain[at] as Uint8Array));
      },
      parse: (chain) => expect(verifyX509Svid(chain, bundles, { now }).id.toString()).to.equal(ID),
      show: (chain) => chain.map(hex).join(' '),
    });
  });

  it('the PEM files of a workload: what it takes is a leaf and the bundle of its trust domain', async () => {
    const chain = X509Svid.fromDer(certificates, key).certificates;
    const place = { directory: '/nowhere', names: DEFAULT_NAMES };
    await fuzz<FileSet>({
      good: [
        {
          svid: Buffer.concat(chain.map((one) => pem(one, 'CERTIFICATE'))),
          key: pem(key, 'PRIVATE KEY'),
          keyMode: 0o600,
          bundle: pem(ca.bundleDer, 'CERTIFICATE'),
          federated: new Map([['partner.test', pem(partner.bundleDer, 'CERTIFICATE')]]),
        },
      ],
      mutate: (random, set) => {
        const file = random.pick(['svid', 'key', 'bundle', 'partner'] as const);
        const change = (bytes: Uint8Array): Uint8Array =>
          random.oneIn(2)
            ? mutateBytes(random, bytes)
            : Buffer.from(
                mutateText(random, Buffer.from(bytes).toString('latin1'), PEM_PARTS),
                'latin1',
              );
        if (file !== 'partner') return { ...set, [file]: change(set[file]) };
        const [[name, bytes] = ['partner.test', Buffer.alloc(0)]] = set.federated;
        return {
          ...set,
          federated: new Map([[random.oneIn(3) ? `${name}.` : name, change(bytes as Uint8Array)]]),
        };
      },
      parse: (set) => {
        const { content, omissions } = readContent(set, place, Date.now());
        expect(content.svid?.id.path).not.to.equal('');
        expect(omissions.every((error) => error instanceof SpiffeError)).to.equal(true);
      },
      show: ({ svid, bundle }) => `${hex(svid)} ${hex(bundle)}`,
    });
  });
});
