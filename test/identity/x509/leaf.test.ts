import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { expect } from 'chai';
import { distinguishedName } from '#lib/testing/certificate.js';
import {
  bitString,
  element,
  integer,
  nothing,
  objectIdentifier,
  sequence,
} from '#lib/testing/der.js';
import {
  basicConstraints,
  CLIENT_AUTH,
  type Extension,
  extKeyUsage,
  type KeyUsage,
  keyUsage,
  SERVER_AUTH,
  subjectAltName,
  uriNameConstraints,
} from '#lib/testing/extensions.js';
import { makeKey } from '#lib/testing/keys.js';
import {
  authority,
  type Case,
  type Change,
  drop,
  ID,
  judgeRows,
  leaf,
  MIDDLE,
  put,
  ROOT,
  type Row,
  set,
  TD,
  verify,
} from '../../support/chain.js';

const SAN = '2.5.29.17';
const one = (...changes: readonly Change[]): Case => ({ chain: [leaf(ROOT, ...changes)] });
const good = (): Case => one();
const uris = (...names: readonly string[]): Change => put(subjectAltName({ uris: names }));
/** A subject alternative name of these GeneralNames, written out. */
const names = (...parts: readonly Uint8Array[]): Change =>
  put({ oid: SAN, critical: true, value: sequence(...parts) });
const text = (tag: number, value: string): Uint8Array => element(tag, Buffer.from(value, 'latin1'));
const usage = (...bits: readonly KeyUsage[]): Change => put(keyUsage(bits));
const unknown = (critical: boolean): Extension => ({
  oid: '1.3.6.1.4.1.59999.1',
  critical,
  value: nothing(),
});
const publicKey = (key: KeyObject | Uint8Array): Change => set({ publicKey: key });

/** A public key straight from DER: Node 20 can deadlock on the export of one straight from the generator. */
function curveKey(namedCurve: string): KeyObject {
  const { publicKey: der } = generateKeyPairSync('ec', {
    namedCurve,
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
  });
  return createPublicKey({ key: der, format: 'der', type: 'spki' });
}
function ed25519Key(): KeyObject {
  const { publicKey: der } = generateKeyPairSync('ed25519', {
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
  });
  return createPublicKey({ key: der, format: 'der', type: 'spki' });
}

/** An RSA public key of any size: nobody asks whether it has two prime factors. */
function rsaKey(bits: number, exponent: Uint8Array | number = 65537): Uint8Array {
  const modulus = (1n << BigInt(bits - 1)) + 12345n;
  return rsaInfo(
    sequence(integer(modulus), exponent instanceof Uint8Array ? exponent : integer(exponent)),
  );
}
const rsaInfo = (key: Uint8Array): Uint8Array =>
  sequence(sequence(objectIdentifier('1.2.840.113549.1.1.1'), nothing()), bitString(key));

const SPIFFE_RULES: readonly Row[] = [
  {
    requirement: 'X509-02',
    what: 'two SPIFFE IDs',
    says: '2 URIs',
    bad: () => one(uris(ID, 'spiffe://example.org/other')),
    twin: good,
    openssl: 'accepts',
  },
  {
    requirement: 'X509-02',
    what: 'the same SPIFFE ID twice',
    says: '2 URIs',
    bad: () => one(uris(ID, ID)),
    twin: good,
    openssl: 'accepts',
  },
  {
    requirement: 'X509-02',
    what: 'a web address behind the SPIFFE ID',
    says: '2 URIs',
    bad: () => one(uris(ID, 'https://example.org/agent')),
    twin: () => one(put(subjectAltName({ uris: [ID], dnsNames: ['example.org'] }))),
    openssl: 'accepts',
  },
  {
    requirement: 'X509-02',
    what: 'a web address before the SPIFFE ID',
    says: '2 URIs',
    bad: () => one(uris('https://example.org/agent', ID)),
    twin: good,
    openssl: 'accepts',
  },
  {
    requirement: 'X509-02',
    what: 'an empty URI beside the SPIFFE ID',
    says: '2 URIs',
    bad: () => one(uris('', ID)),
    twin: good,
  },
  {
    requirement: 'X509-02',
    what: 'a second URI behind another name',
    says: '2 URIs',
    bad: () => one(names(text(0x86, ID), text(0x82, 'example.org'), text(0x86, ID))),
    twin: () => one(names(text(0x82, 'example.org'), text(0x86, ID), text(0x82, 'b.example.org'))),
    openssl: 'accepts',
  },
  {
    requirement: 'X509-03',
    what: 'no subject alternative name',
    says: 'no URI',
    bad: () => one(drop(SAN)),
    twin: good,
    openssl: 'accepts',
  },
  {
    requirement: 'X509-03',
    what: 'a subject alternative name without a URI',
    says: 'no URI',
    bad: () => one(put(subjectAltName({ dnsNames: ['example.org'] }))),
    twin: () => one(put(subjectAltName({ uris: [ID], dnsNames: ['example.org'] }))),
    openssl: 'accepts',
  },
  {
    requirement: 'X509-03',
    what: 'an empty subject alternative name',
    says: 'no URI',
    bad: () => one(names()),
    twin: good,
  },
  {
    requirement: 'X509-03',
    what: 'a SPIFFE ID as common name',
    says: 'no URI',
    bad: () => one(drop(SAN), set({ subject: distinguishedName({ commonName: ID }) })),
    twin: () =>
      one(set({ subject: distinguishedName({ commonName: 'spiffe://example.org/other' }) })),
    openssl: 'accepts',
  },
  {
    requirement: 'X509-03',
    what: 'a SPIFFE ID as DNS name',
    says: 'no URI',
    bad: () => one(names(text(0x82, ID))),
    twin: () => one(names(text(0x86, ID))),
  },
  {
    requirement: 'X509-03',
    what: 'a DNS name that spells a URI',
    says: 'no URI',
    bad: () => one(names(text(0x82, `a, URI:${ID}`))),
    twin: () => one(names(text(0x82, 'a, URI:spiffe://example.org/other'), text(0x86, ID))),
  },
  {
    requirement: 'X509-03',
    what: 'a SPIFFE ID as mail address',
    says: 'no URI',
    bad: () => one(names(text(0x81, ID))),
    twin: () => one(names(text(0x81, 'a@example.org'), text(0x86, ID))),
  },
  {
    requirement: 'X509-03',
    what: 'a SPIFFE ID under the tag of an IA5String',
    says: 'no URI',
    bad: () => one(names(text(0x16, ID))),
    twin: () => one(names(text(0x86, ID))),
  },
  {
    requirement: 'X509-03',
    what: 'a SPIFFE ID among the names of the issuer',
    says: 'no URI',
    bad: () => one(drop(SAN), put({ ...subjectAltName({ uris: [ID] }), oid: '2.5.29.18' })),
    twin: () => one(put({ ...subjectAltName({ uris: ['spiffe://a/b'] }), oid: '2.5.29.18' })),
    openssl: 'accepts',
  },
  {
    requirement: 'X509-07',
    what: "the trust domain's own ID",
    says: 'no path',
    bad: () => one(uris('spiffe://example.org')),
    twin: good,
    openssl: 'accepts',
  },
  {
    requirement: 'X509-05, X509-15, X509-28',
    what: 'the authority itself as peer',
    says: 'no path',
    bad: () => ({ chain: [ROOT.certificate] }),
    twin: good,
  },
  {
    requirement: 'X509-05, X509-15, X509-28',
    what: 'an intermediate with a SPIFFE ID like a workload',
    says: "is a CA's",
    bad: () => ({ chain: [authority({ issuer: ROOT }, uris(ID)).certificate] }),
    twin: good,
  },
  {
    requirement: 'X509-28, X509-17',
    what: 'a leaf whose cA is true',
    says: "is a CA's",
    bad: () => one(put(basicConstraints({ ca: true }))),
    twin: good,
    openssl: 'accepts',
  },
  {
    requirement: 'X509-28, X509-17',
    what: 'a leaf whose cA is true, though that is not critical',
    says: "is a CA's",
    bad: () => one(put(basicConstraints({ ca: true }, { critical: false }))),
    twin: () => one(put(basicConstraints({ ca: false }, { critical: false }))),
    openssl: 'accepts',
  },
  {
    requirement: 'X509-29, X509-22',
    what: 'a leaf with keyCertSign',
    says: 'may sign certificates or CRLs',
    bad: () => one(usage('digitalSignature', 'keyCertSign')),
    twin: () => one(usage('digitalSignature', 'keyAgreement')),
  },
  {
    requirement: 'X509-29, X509-22',
    what: 'a leaf with cRLSign',
    says: 'may sign certificates or CRLs',
    bad: () => one(usage('digitalSignature', 'cRLSign')),
    twin: () => one(usage('digitalSignature', 'encipherOnly')),
    openssl: 'accepts',
  },
  {
    requirement: 'X509-22, A-06',
    what: 'a leaf without digitalSignature',
    says: 'lacks digitalSignature',
    bad: () => one(usage('keyEncipherment', 'keyAgreement')),
    twin: () => one(usage('digitalSignature', 'keyEncipherment', 'keyAgreement')),
    openssl: 'accepts',
  },
  {
    requirement: 'X509-20, X509-22, A-06',
    what: 'a leaf without key usage',
    says: 'lacks digitalSignature',
    bad: () => one(drop('2.5.29.15')),
    twin: good,
    openssl: 'accepts',
  },
  {
    requirement: 'X509-20, X509-22, A-06',
    what: 'a key usage without a bit',
    says: 'lacks digitalSignature',
    bad: () => one(usage()),
    twin: good,
  },
  {
    requirement: 'X509-27',
    what: 'an unknown critical extension in the leaf',
    says: '1.3.6.1.4.1.59999.1',
    bad: () => one(put(unknown(true))),
    twin: () => one(put(unknown(false))),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'an unknown critical extension before those that are known',
    says: '1.3.6.1.4.1.59999.1',
    bad: () => one((fields) => ({ ...fields, extensions: [unknown(true), ...fields.extensions] })),
    twin: () =>
      one((fields) => ({ ...fields, extensions: [unknown(false), ...fields.extensions] })),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-18, X509-19, A-31',
    what: 'critical name constraints in the leaf',
    says: 'name constraints',
    bad: () => one(put(uriNameConstraints({ permitted: ['example.org'] }))),
    twin: () => one(put(uriNameConstraints({ permitted: ['example.org'] }, { critical: false }))),
  },
];

const URIS: readonly (readonly [what: string, uri: string, says?: string])[] = [
  ['an empty URI', ''],
  ['a web address', 'https://example.org/agent'],
  ['a scheme in upper case', 'SPIFFE://example.org/agent'],
  ['a trust domain in upper case', 'spiffe://Example.org/agent'],
  ['a query', 'spiffe://example.org/agent?a'],
  ['a bare question mark', 'spiffe://example.org/agent?'],
  ['a bare hash', 'spiffe://example.org/agent#'],
  ['a port', 'spiffe://example.org:443/agent'],
  ['a user', 'spiffe://root@example.org/agent'],
  ['percent-encoding', 'spiffe://example.org/%61gent'],
  ['a trailing slash', 'spiffe://example.org/agent/'],
  ['dots', 'spiffe://example.org/x/../agent'],
  ['a blank before', ' spiffe://example.org/agent'],
  ['a line feed behind', 'spiffe://example.org/agent\n'],
  ['a NUL behind', 'spiffe://example.org/agent\0'],
  ['a NUL and another ID behind', 'spiffe://example.org/agent\0.evil.example/x'],
  ['two IDs in one', `${ID},${ID}`],
  ['a byte above 127', 'spiffe://example.org/agent\xe9'],
  ['2049 bytes', ID.padEnd(2049, 'a')],
  ['a trust domain of 256 bytes', `spiffe://${'d'.repeat(256)}/agent`],
];

const KEYS: readonly (readonly [what: string, key: () => KeyObject | Uint8Array])[] = [
  ['P-224', () => curveKey('secp224r1')],
  ['secp256k1', () => curveKey('secp256k1')],
  ['Ed25519', ed25519Key],
  ['RSA of 1024 bits', () => rsaKey(1024)],
  ['RSA of 2047 bits', () => rsaKey(2047)],
  ['RSA of 8193 bits', () => rsaKey(8193)],
  ['RSA with an exponent of 33 bits', () => rsaKey(2048, 2 ** 32 + 1)],
  [
    'a curve written out',
    () =>
      sequence(
        sequence(objectIdentifier('1.2.840.10045.2.1'), sequence(integer(1))),
        bitString(Buffer.alloc(65, 4)),
      ),
  ],
  [
    'no curve',
    () => sequence(sequence(objectIdentifier('1.2.840.10045.2.1')), bitString(Buffer.alloc(65, 4))),
  ],
];

describe('the leaf of an X.509-SVID', () => {
  judgeRows(SPIFFE_RULES);

  describe('by its SPIFFE ID', () => {
    judgeRows(
      URIS.map(([what, uri]) => ({
        requirement: 'X509-08',
        what,
        says: 'is not a SPIFFE ID',
        bad: () => one(names(text(0x86, uri))),
        twin: () => one(names(text(0x86, ID))),
      })),
    );
  });

  describe('by its key', () => {
    judgeRows(
      KEYS.map(([what, key]) => ({
        requirement: 'A-30',
        what,
        says: 'the key of the leaf',
        bad: () => one(publicKey(key())),
        twin: good,
      })),
    );
  });

  const accepted: readonly (readonly [requirement: string, what: string, one: () => Case])[] = [
    [
      'X509-04, ID-25',
      'DNS names and addresses beside its SPIFFE ID',
      () =>
        one(
          put(
            subjectAltName({
              uris: [ID],
              dnsNames: ['example.org', '*.example.org'],
              ipAddresses: [Buffer.from([127, 0, 0, 1]), Buffer.alloc(16)],
            }),
          ),
        ),
    ],
    [
      'X509-04, ID-25',
      'names of every other kind',
      () =>
        one(
          names(
            element(0xa0, objectIdentifier('1.2.3'), element(0xa0, text(0x0c, ID))),
            text(0x81, 'a@example.org'),
            element(0xa4, distinguishedName({ commonName: ID })),
            text(0x86, ID),
            element(0x88, Buffer.from([0x2a, 3])),
          ),
        ),
    ],
    ['X509-08', 'an ID of 2048 bytes', () => one(uris(ID.padEnd(2048, 'a')))],
    [
      'X509-09',
      'a subject',
      () => one(set({ subject: distinguishedName({ commonName: 'agent' }) })),
    ],
    ['X509-17', 'no basic constraints, which means cA false', () => one(drop('2.5.29.19'))],
    [
      'X509-17, A-34',
      'an explicit cA false',
      () => one(put({ oid: '2.5.29.19', critical: true, value: Buffer.from('3003010100', 'hex') })),
    ],
    [
      'X509-20',
      "a key usage that is not critical: the duty is the issuer's",
      () => one(put(keyUsage(['digitalSignature'], { critical: false }))),
    ],
    [
      'X509-23',
      'keyEncipherment and keyAgreement',
      () => one(usage('digitalSignature', 'keyEncipherment', 'keyAgreement')),
    ],
    [
      'X509-23',
      'every usage that does not sign certificates or CRLs',
      () =>
        one(
          usage(
            'digitalSignature',
            'nonRepudiation',
            'keyEncipherment',
            'dataEncipherment',
            'keyAgreement',
            'encipherOnly',
            'decipherOnly',
          ),
        ),
    ],
    ['X509-24', 'no extended key usage', () => one(drop('2.5.29.37'))],
    [
      'X509-25',
      'a critical extended key usage',
      () => one(put(extKeyUsage([SERVER_AUTH, CLIENT_AUTH], { critical: true }))),
    ],
    [
      'X509-25',
      "extended key usage for one role alone: the duty is the issuer's",
      () => one(put(extKeyUsage([SERVER_AUTH]))),
    ],
    [
      'X509-27',
      'a critical certificate policy',
      () =>
        one(
          put({
            oid: '2.5.29.32',
            critical: true,
            value: sequence(sequence(objectIdentifier('2.5.29.32.0'))),
          }),
        ),
    ],
    ['A-30', 'RSA of 2048 bits', () => one(publicKey(rsaKey(2048)))],
    ['A-30', 'RSA of 8192 bits', () => one(publicKey(rsaKey(8192)))],
    ['A-30', 'RSA with an exponent of 32 bits', () => one(publicKey(rsaKey(2048, 2 ** 32 - 1)))],
    ['A-30', 'P-384', () => one(publicKey(createPublicKey(makeKey('ec-p384'))))],
    ['A-30', 'P-521', () => one(publicKey(createPublicKey(makeKey('ec-p521'))))],
  ];
  for (const [requirement, what, build] of accepted) {
    it(`may have: ${what} (${requirement})`, () => {
      const { id } = verify(build());
      expect(id.memberOf(TD)).to.equal(true);
      expect(id.path).to.match(/^\/agenta*$/);
    });
  }

  it('is named by its URI and by nothing else (X509-03, X509-04, X509-26)', () => {
    const forged = one(
      set({ subject: distinguishedName({ commonName: 'spiffe://example.org/admin' }) }),
      names(
        text(0x82, 'a, URI:spiffe://example.org/admin'),
        text(0x82, 'spiffe://example.org/admin'),
        text(0x86, ID),
      ),
    );
    expect(verify(forged).id.toString()).to.equal(ID);
  });

  it('is the first certificate of the chain, whatever stands behind it (X509-05)', () => {
    const other = leaf(ROOT, uris('spiffe://example.org/other'));
    expect(verify({ chain: [leaf(), other] }).id.toString()).to.equal(ID);
    expect(verify({ chain: [leaf(MIDDLE), MIDDLE.certificate] }).id.toString()).to.equal(ID);
  });
});
