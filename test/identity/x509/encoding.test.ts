import { SpiffeError } from 'agent-spiffe';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { Certificate } from '#lib/identity/x509/certificate.js';
import { DerError } from '#lib/internal/der.js';
import { writePem } from '#lib/internal/pem.js';
import {
  publicKeyInfo,
  type RawParts,
  writeCertificate,
  writeExtension,
} from '#lib/testing/certificate.js';
import {
  boolean,
  element,
  integer,
  nothing,
  objectIdentifier,
  octetString,
  sequence,
  set as setOf,
  time,
} from '#lib/testing/der.js';
import {
  basicConstraints,
  type Extension,
  keyUsage,
  subjectAltName,
} from '#lib/testing/extensions.js';
import { algorithmIdentifier } from '#lib/testing/signature.js';
import {
  add,
  type Case,
  type Change,
  ID,
  judgeRows,
  leaf,
  leafOf,
  MIDDLE,
  NOW,
  put,
  ROOT,
  type Row,
  raw,
  rawExtension,
  set,
  verify,
} from '../../support/chain.js';
import { below } from '../../support/lineage.js';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const one = (...changes: readonly Change[]): Case => ({ chain: [leaf(ROOT, ...changes)] });
const good = (): Case => one();
const part = (parts: RawParts) => (): Case => one(raw(parts));
/** A good leaf as bytes, altered. */
const altered = (alter: (bytes: Buffer) => Uint8Array) => (): Case => ({
  chain: [alter(Buffer.from(leaf()))],
});
/** The leaf with this value, as it stands, in one of its extensions. */
const value = (oid: string, der: Uint8Array) => (): Case => one(put({ oid, value: der }));

const SAN = '2.5.29.17';
const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const SUBJECT_KEY_ID = '2.5.29.14';
const AUTHORITY_KEY_ID = '2.5.29.35';
const OTHER = '1.3.6.1.4.1.59999.1';
const uri = element(0x86, Buffer.from(ID));
const ecdsa = algorithmIdentifier('ecdsa-sha256');
const notBefore = time(new Date(NOW.getTime() - 1000));
const notAfter = time(new Date(NOW.getTime() + 3600_000));
const other = (...inside: readonly Uint8Array[]): Change =>
  rawExtension(sequence(objectIdentifier(OTHER), ...inside));
/** The leaf with its extensions written by hand. */
const extensions = (write: (list: readonly Uint8Array[]) => Uint8Array) => (): Case => {
  const fields = leafOf();
  return one(raw({ extensions: write(fields.extensions.map(writeExtension)) }));
};
const list = (...all: readonly Uint8Array[]): Uint8Array => element(0xa3, sequence(...all));
/** A list of extensions that is missing: the name that says who it is goes with it, so it stands with a CA here. */
const cannot = 'cannot be decoded';

/** One BER length in place of the DER length of the outermost element, which takes three bytes after its tag. */
const outerLength = (length: string) =>
  altered((bytes) => Buffer.concat([bytes.subarray(0, 1), hex(length), bytes.subarray(4)]));
const outerSize = (): string => Buffer.from(leaf()).subarray(2, 4).toString('hex');

const rows = (
  requirement: string,
  all: readonly (readonly [what: string, says: string, bad: () => Case, twin?: () => Case])[],
): Row[] => all.map(([what, says, bad, twin = good]) => ({ requirement, what, says, bad, twin }));

const FRAME = rows('X509-27, A-34', [
  ['no bytes', cannot, () => ({ chain: [new Uint8Array(0)] })],
  ['a NUL', cannot, () => ({ chain: [new Uint8Array(1)] })],
  ['PEM', cannot, () => ({ chain: [Buffer.from(writePem(leaf(), 'CERTIFICATE'))] })],
  ['base64', cannot, () => ({ chain: [Buffer.from(Buffer.from(leaf()).toString('base64'))] })],
  [
    'a key in place of a certificate',
    cannot,
    () => ({ chain: [publicKeyInfo(leafOf().publicKey)] }),
  ],
  [
    'a byte behind the leaf',
    'left over',
    altered((bytes) => Buffer.concat([bytes, Buffer.alloc(1)])),
  ],
  [
    'a certificate behind the leaf, in one piece',
    'left over',
    () => ({ chain: [Buffer.concat([leaf(MIDDLE), MIDDLE.certificate])] }),
    () => ({ chain: [leaf(MIDDLE), MIDDLE.certificate] }),
  ],
  [
    'a byte behind an intermediate',
    'certificate 1 of the chain',
    () => ({ chain: [leaf(MIDDLE), Buffer.concat([MIDDLE.certificate, Buffer.alloc(1)])] }),
    () => ({ chain: [leaf(MIDDLE), MIDDLE.certificate] }),
  ],
  [
    'bytes that are no certificate behind the leaf',
    'certificate 1 of the chain',
    () => ({ chain: [leaf(), hex('00')] }),
  ],
  ['a leaf cut short', 'cut off', altered((bytes) => bytes.subarray(0, -1))],
  [
    'an indefinite length',
    'indefinite',
    altered((bytes) => Buffer.concat([hex('3080'), bytes.subarray(4), hex('0000')])),
  ],
  ['a length in four bytes', 'shortest form', () => outerLength(`8300${outerSize()}`)()],
  ['a length in five bytes', '16 MiB', () => outerLength(`840000${outerSize()}`)()],
  [
    'a SET for a certificate',
    'tag 0x31',
    altered((bytes) => Buffer.concat([hex('31'), bytes.subarray(1)])),
  ],
  ['something behind the signature', 'left over', part({ tail: nothing() })],
  ['something behind the extensions', 'left over', part({ tbsTail: nothing() })],
  [
    'a signature that is no bit string',
    'the signature',
    part({ signature: octetString(Buffer.alloc(70)) }),
  ],
  ['a signature of seven bits', 'whole octets', part({ signature: hex('03 02 01 fe') })],
  ['no signature', 'the signature', part({ signature: Buffer.alloc(0) })],
]);

const FIELDS = rows('X509-27, A-34', [
  [
    'version 4',
    'no known version',
    part({ version: element(0xa0, integer(3)) }),
    part({ version: element(0xa0, integer(2)) }),
  ],
  ['version 2 with extensions', 'left over', part({ version: element(0xa0, integer(1)) })],
  ['version 1 with extensions', 'left over', part({ version: Buffer.alloc(0) })],
  ['version 1, said, with extensions', 'left over', part({ version: element(0xa0, integer(0)) })],
  ['a negative version', 'negative', part({ version: element(0xa0, hex('02 01 ff')) })],
  ['a padded version', 'shortest form', part({ version: element(0xa0, hex('02 02 00 02')) })],
  ['two versions', 'left over', part({ version: element(0xa0, integer(2), integer(2)) })],
  [
    'a version that is no integer',
    'the version',
    part({ version: element(0xa0, octetString(hex('02'))) }),
  ],
  ['an empty version', 'the version', part({ version: element(0xa0) })],
  ['an empty serial number', 'serial number', part({ serialNumber: hex('02 00') })],
  [
    'a padded serial number',
    'shortest form',
    part({ serialNumber: hex('02 02 00 01') }),
    part({ serialNumber: hex('02 02 00 81') }),
  ],
  [
    'a serial number that is no integer',
    'serial number',
    part({ serialNumber: octetString(hex('01')) }),
  ],
  [
    'two algorithms',
    'two signature algorithms',
    part({ outerAlgorithm: algorithmIdentifier('ecdsa-sha384') }),
  ],
  [
    'two algorithms, the other inside',
    'two signature algorithms',
    part({ innerAlgorithm: algorithmIdentifier('ecdsa-sha384') }),
  ],
  [
    'an algorithm inside with a parameter more',
    'two signature algorithms',
    part({ innerAlgorithm: sequence(objectIdentifier('1.2.840.10045.4.3.2'), nothing()) }),
    part({ innerAlgorithm: ecdsa, outerAlgorithm: ecdsa }),
  ],
  [
    'an empty algorithm',
    'the signature algorithm',
    part({ innerAlgorithm: sequence(), outerAlgorithm: sequence() }),
  ],
  ['an issuer that is no sequence', 'the issuer', () => one(set({ issuer: setOf() }))],
  ['a subject that is no sequence', 'the subject', () => one(set({ subject: setOf() }))],
  [
    'no notAfter',
    'notAfter',
    part({ validity: sequence(notBefore) }),
    part({ validity: sequence(notBefore, notAfter) }),
  ],
  [
    'a third time',
    'left over',
    part({ validity: sequence(notBefore, notAfter, notAfter) }),
    part({ validity: sequence(notBefore, notAfter) }),
  ],
  [
    'times that are text',
    'not a time',
    part({ validity: sequence(octetString(hex('00')), notAfter) }),
  ],
  [
    'a time without seconds',
    'with seconds in UTC',
    part({ validity: sequence(element(0x17, Buffer.from('2606010000Z')), notAfter) }),
    part({ validity: sequence(element(0x17, Buffer.from('260601000000Z')), notAfter) }),
  ],
  [
    'a day that does not exist',
    'that exists',
    part({ validity: sequence(element(0x17, Buffer.from('260431000000Z')), notAfter) }),
    part({ validity: sequence(element(0x17, Buffer.from('260430000000Z')), notAfter) }),
  ],
]);

const EXTENSIONS = rows('X509-27, A-34', [
  ['a list in a set', 'the extensions', extensions((all) => element(0xa3, setOf(...all)))],
  [
    'two lists',
    'left over',
    extensions((all) => element(0xa3, sequence(...all), sequence(...all))),
  ],
  ['an empty wrapper', 'the extensions', extensions(() => element(0xa3))],
  [
    'an extension that is a set',
    'an extension',
    () => one(rawExtension(setOf(objectIdentifier(OTHER), octetString(hex('00'))))),
  ],
  [
    'an extension without a name',
    'an extension id',
    () => one(rawExtension(sequence(octetString(hex('00'))))),
  ],
  [
    'an extension without a value',
    `the extension ${OTHER}`,
    () => one(other()),
    () => one(other(octetString(hex('00')))),
  ],
  ['a value that is no octet string', `the extension ${OTHER}`, () => one(other(sequence()))],
  ['a second value', 'left over', () => one(other(octetString(hex('00')), octetString(hex('00'))))],
  [
    'a critical flag of 01',
    'the critical flag',
    () => one(other(hex('01 01 01'), octetString(hex('00')))),
    () => one(other(boolean(false), octetString(hex('00')))),
  ],
  [
    'two critical flags',
    `the extension ${OTHER}`,
    () => one(other(boolean(false), boolean(false), octetString(hex('00')))),
  ],
  [
    'a critical flag behind the value',
    'left over',
    () => one(other(octetString(hex('00')), boolean(false))),
  ],
  [
    'a padded name',
    'object identifier',
    () => one(rawExtension(sequence(hex('06 03 55 80 1d'), octetString(hex('00'))))),
  ],
  [
    'an unknown extension twice',
    'stands twice',
    () =>
      one(other(octetString(hex('00'))), add({ oid: OTHER, value: hex('00') }), (fields) => ({
        ...fields,
        raw: {},
        extensions: [...fields.extensions, { oid: OTHER, value: hex('00') }],
      })),
    () => one(add({ oid: OTHER, value: hex('00') })),
  ],
  [
    'the subject alternative name twice',
    'stands twice',
    () => one(add(subjectAltName({ uris: [ID] }))),
  ],
  [
    'the subject alternative name twice, of which one is empty',
    'stands twice',
    () => one(add({ oid: SAN, value: sequence() })),
  ],
  ['basic constraints twice', 'stands twice', () => one(add(basicConstraints({ ca: false })))],
  ['key usage twice', 'stands twice', () => one(add(keyUsage(['digitalSignature'])))],
]);

const VALUES = rows('X509-27, A-34', [
  [
    'a set of alternative names',
    'the subject alternative name',
    value(SAN, setOf(uri)),
    value(SAN, sequence(uri)),
  ],
  [
    'a bare alternative name',
    'the subject alternative name',
    value(SAN, uri),
    value(SAN, sequence(uri)),
  ],
  [
    'a URI in pieces',
    'constructed',
    value(SAN, sequence(element(0xa6, element(0x16, Buffer.from(ID))))),
    value(SAN, sequence(uri)),
  ],
  [
    'a URI in pieces beside a whole one',
    'constructed',
    value(SAN, sequence(uri, element(0xa6, element(0x16, Buffer.from(ID))))),
  ],
  [
    'something behind the alternative names',
    'left over',
    value(SAN, Buffer.concat([sequence(uri), nothing()])),
    value(SAN, sequence(uri)),
  ],
  [
    'an alternative name cut off',
    'cut off',
    value(SAN, sequence(uri.subarray(0, -1))),
    value(SAN, sequence(uri)),
  ],
  [
    'an alternative name with a BER length',
    'shortest form',
    value(SAN, sequence(Buffer.concat([hex('86 81'), uri.subarray(1)]))),
    value(SAN, sequence(uri)),
  ],
  [
    'no alternative names at all',
    'the subject alternative name',
    value(SAN, Buffer.alloc(0)),
    value(SAN, sequence(uri)),
  ],
  [
    'basic constraints in a set',
    'the basic constraints',
    value(BASIC_CONSTRAINTS, setOf()),
    value(BASIC_CONSTRAINTS, sequence()),
  ],
  [
    'cA as 01',
    'the CA flag',
    value(BASIC_CONSTRAINTS, sequence(hex('01 01 01'))),
    value(BASIC_CONSTRAINTS, sequence(boolean(false))),
  ],
  [
    'cA as an integer',
    'the basic constraints',
    value(BASIC_CONSTRAINTS, sequence(boolean(false), octetString(hex('00')))),
    value(BASIC_CONSTRAINTS, sequence(boolean(false))),
  ],
  [
    'something behind the path length',
    'left over',
    value(BASIC_CONSTRAINTS, sequence(integer(0), integer(0))),
    value(BASIC_CONSTRAINTS, sequence(integer(0))),
  ],
  [
    'something behind basic constraints',
    'left over',
    value(BASIC_CONSTRAINTS, Buffer.concat([sequence(), sequence()])),
    value(BASIC_CONSTRAINTS, sequence()),
  ],
  [
    'a path length before cA',
    'left over',
    value(BASIC_CONSTRAINTS, sequence(integer(0), boolean(false))),
    value(BASIC_CONSTRAINTS, sequence(boolean(false), integer(0))),
  ],
  [
    'a key usage with a trailing zero bit',
    'named bits',
    value(KEY_USAGE, hex('03 02 06 80')),
    value(KEY_USAGE, hex('03 02 07 80')),
  ],
  [
    'a key usage with eight unused bits',
    'named bits',
    value(KEY_USAGE, hex('03 02 08 80')),
    value(KEY_USAGE, hex('03 02 07 80')),
  ],
  [
    'a key usage that is an octet string',
    'the key usage',
    value(KEY_USAGE, octetString(hex('80'))),
    value(KEY_USAGE, hex('03 02 07 80')),
  ],
  [
    'something behind the key usage',
    'left over',
    value(KEY_USAGE, hex('03 02 07 80 05 00')),
    value(KEY_USAGE, hex('03 02 07 80')),
  ],
  [
    'a subject key id that is no octet string',
    'the subject key id',
    value(SUBJECT_KEY_ID, sequence()),
    value(SUBJECT_KEY_ID, octetString(hex('01'))),
  ],
  [
    'something behind the subject key id',
    'left over',
    value(SUBJECT_KEY_ID, Buffer.concat([octetString(hex('01')), nothing()])),
    value(SUBJECT_KEY_ID, octetString(hex('01'))),
  ],
  [
    'an authority key id that is no sequence',
    'the authority key id',
    value(AUTHORITY_KEY_ID, octetString(hex('01'))),
    value(AUTHORITY_KEY_ID, sequence()),
  ],
  [
    'something behind the authority key id',
    'left over',
    value(AUTHORITY_KEY_ID, Buffer.concat([sequence(), nothing()])),
    value(AUTHORITY_KEY_ID, sequence()),
  ],
]);

const PATH_LENGTHS = rows('X509-16, A-34', [
  [
    'a negative path length',
    'negative',
    () =>
      below(
        put({
          oid: BASIC_CONSTRAINTS,
          critical: true,
          value: sequence(boolean(true), hex('02 01 ff')),
        }),
      ),
    () => below(put(basicConstraints({ ca: true, pathLength: 0 }))),
  ],
  [
    'a padded path length',
    'shortest form',
    () =>
      below(
        put({
          oid: BASIC_CONSTRAINTS,
          critical: true,
          value: sequence(boolean(true), hex('02 02 00 01')),
        }),
      ),
    () => below(put(basicConstraints({ ca: true, pathLength: 1 }))),
  ],
  [
    'a path length of 33 bits',
    'too large',
    () => below(put(basicConstraints({ ca: true, pathLength: 2 ** 32 }))),
    () => below(put(basicConstraints({ ca: true, pathLength: 2 ** 32 - 1 }))),
  ],
]);

const ACCEPTED: readonly (readonly [what: string, one: () => Case])[] = [
  ['a serial number of 20 octets', part({ serialNumber: element(2, Buffer.alloc(20, 0x7f)) })],
  ['a serial number of zero', part({ serialNumber: integer(0) })],
  ['a negative serial number', part({ serialNumber: hex('02 01 ff') })],
  [
    'times as GeneralizedTime',
    part({
      validity: sequence(
        element(0x18, Buffer.from('20260601000000Z')),
        element(0x18, Buffer.from('20260602000000Z')),
      ),
    }),
  ],
  [
    'the end of time (RFC 5280 4.1.2.5)',
    part({ validity: sequence(notBefore, element(0x18, Buffer.from('99991231235959Z'))) }),
  ],
  ['an explicit critical FALSE', () => one(other(boolean(false), octetString(hex('00'))))],
  [
    'issuer and subject ids',
    extensions((all) => Buffer.concat([hex('81 02 00 01 82 02 00 02'), list(...all)])),
  ],
  ['a whole list of extensions written by hand', extensions((all) => list(...all))],
];

describe('the encoding of a certificate', () => {
  describe('as a whole', () => judgeRows(FRAME));
  describe('in its fields', () => judgeRows(FIELDS));
  describe('in its list of extensions', () => judgeRows(EXTENSIONS));
  describe('in the values of its extensions', () => judgeRows(VALUES));
  describe('in a path length', () => judgeRows(PATH_LENGTHS));

  describe('may have', () => {
    for (const [what, build] of ACCEPTED) {
      it(`${what} (X509-27, A-34)`, () => {
        expect(verify(build()).id.toString()).to.equal(ID);
      });
    }
  });

  it('keeps an old root of version 1 or 2 beside the others of a bundle, of which it is none (A-34)', () => {
    for (const version of [Buffer.alloc(0), element(0xa0, integer(1))]) {
      const old = writeCertificate({ ...leafOf(), raw: { version, extensions: Buffer.alloc(0) } });
      expect(verify({ chain: [leaf()], anchors: [old, ROOT.certificate] }).id.toString()).to.equal(
        ID,
      );
    }
  });

  it('says what it read, and where', () => {
    const der = leaf(
      ROOT,
      put({ oid: OTHER, critical: true, value: hex('00') } satisfies Extension),
    );
    const certificate = Certificate.decode(der);
    expect(certificate.der).to.deep.equal(Uint8Array.from(der));
    expect(Buffer.from(der).includes(Buffer.from(certificate.tbs))).to.equal(true);
    expect(certificate.uriNames).to.deep.equal([ID]);
    expect(certificate.ca).to.equal(false);
    expect(certificate.pathLength).to.equal(Number.POSITIVE_INFINITY);
    expect(certificate.selfIssued).to.equal(false);
    expect(certificate.keyUsage).to.equal(1);
    expect(certificate.keyKind).to.equal('ec');
    expect(certificate.unknownCritical).to.equal(OTHER);
    expect(Certificate.decode(ROOT.certificate).selfIssued).to.equal(true);
    const anchor = Certificate.decode(ROOT.certificate);
    expect(anchor.subjectKeyId).to.equal(certificate.authorityKeyId);
    expect(anchor.subject).to.equal(certificate.issuer);
  });

  it('is refused by our own error alone, whichever byte is altered', () => {
    const bytes = leaf(MIDDLE);
    const chain = [MIDDLE.certificate];
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, by) => {
        const wrong = Uint8Array.from(bytes).with(at, (bytes[at] as number) ^ by);
        // Nothing but the signed bytes verifies, so no altered byte may pass.
        expect(() => verify({ chain: [wrong, ...chain] })).to.throw(SpiffeError);
      }),
      { numRuns: 1500 },
    );
  });

  it('is refused by the reader alone, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(() => Certificate.decode(bytes)).to.throw(DerError);
      }),
      { numRuns: 1000 },
    );
  });
});
