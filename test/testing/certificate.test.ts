import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { TrustDomain } from 'agent-spiffe';
import { expect } from 'chai';
import { createAuthority, leafFields, randomSerial } from '#lib/testing/authority.js';
import {
  type CertificateFields,
  distinguishedName,
  type RawParts,
  writeCertificate,
  writeExtension,
} from '#lib/testing/certificate.js';
import { boolean, element, integer, namedBits, sequence, time } from '#lib/testing/der.js';
import {
  basicConstraints,
  extKeyUsage,
  keyUsage,
  subjectAltName,
  uriNameConstraints,
} from '#lib/testing/extensions.js';
import { makeKey } from '#lib/testing/keys.js';
import { algorithmIdentifier, type SignatureAlgorithm } from '#lib/testing/signature.js';
import {
  openssl,
  opensslAvailable,
  readCertificate,
  readExtension,
  verifyChain,
} from '../support/openssl-verdicts.js';

function selfSigned(key: KeyObject, changes: Partial<CertificateFields> = {}): Uint8Array {
  const name = distinguishedName({ organization: 'test', commonName: 'writer' });
  return writeCertificate({
    serialNumber: 1n,
    issuer: name,
    subject: name,
    notBefore: new Date(Date.now() - 1000),
    notAfter: new Date(Date.now() + 60_000),
    publicKey: createPublicKey(key),
    signingKey: key,
    extensions: [basicConstraints({ ca: true }), keyUsage(['keyCertSign'])],
    ...changes,
  });
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

describe('the certificate writer, judged by OpenSSL', () => {
  before(function () {
    if (!opensslAvailable()) this.skip();
  });

  const rsa = makeKey('rsa-2048');
  const ALGORITHMS: readonly (readonly [SignatureAlgorithm, KeyObject, string])[] = [
    ['ecdsa-sha256', makeKey('ec-p256'), 'ecdsa-with-SHA256'],
    ['ecdsa-sha384', makeKey('ec-p384'), 'ecdsa-with-SHA384'],
    ['ecdsa-sha512', makeKey('ec-p521'), 'ecdsa-with-SHA512'],
    ['rsa-sha256', rsa, 'sha256WithRSAEncryption'],
    ['rsa-sha384', rsa, 'sha384WithRSAEncryption'],
    ['rsa-sha512', rsa, 'sha512WithRSAEncryption'],
    ['rsa-pss-sha256', rsa, 'rsassaPss'],
    ['rsa-pss-sha384', rsa, 'rsassaPss'],
    ['rsa-pss-sha512', rsa, 'rsassaPss'],
  ];
  for (const [algorithm, key, name] of ALGORITHMS) {
    it(`signs with ${algorithm}`, () => {
      const certificate = selfSigned(key, { algorithm });
      expect(readCertificate(certificate)).to.include(`Signature Algorithm: ${name}`);
      expect(verifyChain(certificate, [certificate]).text).to.match(/: OK\n$/);
    });
  }

  it('signs with PSS unasked where the key is for PSS alone', () => {
    const { privateKey } = generateKeyPairSync('rsa-pss', { modulusLength: 2048 });
    const certificate = selfSigned(privateKey);
    expect(readCertificate(certificate)).to.include('Signature Algorithm: rsassaPss');
    expect(verifyChain(certificate, [certificate]).text).to.match(/: OK\n$/);
  });

  const INSTANTS: readonly (readonly [string, string, string])[] = [
    ['1949-12-31T23:59:59Z', 'GENERALIZEDTIME', '19491231235959Z'],
    ['1950-01-01T00:00:00Z', 'UTCTIME', '500101000000Z'],
    ['2049-12-31T23:59:59Z', 'UTCTIME', '491231235959Z'],
    ['2050-01-01T00:00:00Z', 'GENERALIZEDTIME', '20500101000000Z'],
  ];
  for (const [instant, kind, text] of INSTANTS) {
    it(`writes ${instant} as ${kind} (RFC 5280 4.1.2.5)`, () => {
      const { text: printed } = openssl(['asn1parse', '-inform', 'DER'], time(new Date(instant)));
      expect(printed).to.match(new RegExp(`prim: ${kind} +:${text}\n$`));
    });
  }

  it('writes name constraints, path length, addresses and every key usage', () => {
    const certificate = selfSigned(makeKey('ec-p256'), {
      extensions: [
        basicConstraints({ ca: true, pathLength: 0 }),
        uriNameConstraints({ permitted: ['.example.org'], excluded: ['bad.test', 'worse.test'] }),
        keyUsage([
          'digitalSignature',
          'nonRepudiation',
          'keyEncipherment',
          'dataEncipherment',
          'keyAgreement',
          'keyCertSign',
          'cRLSign',
          'encipherOnly',
          'decipherOnly',
        ]),
        subjectAltName({
          uris: ['spiffe://example.org'],
          dnsNames: ['a.test'],
          ipAddresses: [Uint8Array.of(127, 0, 0, 1), Uint8Array.from({ length: 16 }, () => 1)],
        }),
      ],
    });
    expect(readExtension(certificate, 'basicConstraints')[1]).to.equal('CA:TRUE, pathlen:0');
    expect(readExtension(certificate, 'nameConstraints')).to.deep.equal([
      'X509v3 Name Constraints: critical',
      'Permitted:',
      'URI:.example.org',
      'Excluded:',
      'URI:bad.test',
      'URI:worse.test',
    ]);
    expect(readExtension(certificate, 'keyUsage')[1]).to.equal(
      'Digital Signature, Non Repudiation, Key Encipherment, Data Encipherment, Key Agreement, Certificate Sign, CRL Sign, Encipher Only, Decipher Only',
    );
    expect(readExtension(certificate, 'subjectAltName')[1]).to.equal(
      'URI:spiffe://example.org, DNS:a.test, IP Address:127.0.0.1, IP Address:101:101:101:101:101:101:101:101',
    );
  });

  it('writes an extension twice, and one that nobody knows, when it is given them', () => {
    const unknown = { oid: '1.3.6.1.4.1.99999.1', critical: true, value: Uint8Array.of(5, 0) };
    const text = readCertificate(
      selfSigned(makeKey('ec-p256'), {
        extensions: [basicConstraints({ ca: true }), basicConstraints({ ca: false }), unknown],
      }),
    );
    expect(text.match(/X509v3 Basic Constraints: critical/g)).to.have.length(2);
    expect(text).to.include('1.3.6.1.4.1.99999.1: critical');
  });

  const key = makeKey('ec-p256');
  const RAW: readonly (readonly [string, RawParts, RegExp])[] = [
    ['version', { version: Buffer.alloc(0), extensions: Buffer.alloc(0) }, /Version: 1 \(0x0\)/],
    [
      'serial number',
      { serialNumber: Uint8Array.of(2, 1, 0xff) },
      /Serial Number:\s+(\(Negative\)01|-1)/,
    ],
    [
      'inner algorithm',
      { innerAlgorithm: algorithmIdentifier('ecdsa-sha512') },
      /Signature Algorithm: ecdsa-with-SHA512[^]*Signature Algorithm: ecdsa-with-SHA256/,
    ],
    [
      'outer algorithm',
      { outerAlgorithm: algorithmIdentifier('ecdsa-sha384') },
      /Signature Algorithm: ecdsa-with-SHA256[^]*Signature Algorithm: ecdsa-with-SHA384/,
    ],
    [
      'validity',
      { validity: sequence(time(new Date(0)), time(new Date(1000))) },
      /Not After : Jan {2}1 00:00:01 1970 GMT/,
    ],
    [
      'extensions',
      { extensions: element(0xa3, sequence(writeExtension(extKeyUsage(['2.5.29.37.0'])))) },
      /Any Extended Key Usage/,
    ],
    ['signature', { signature: Uint8Array.of(3, 2, 0, 0xab) }, /Signature Value:\s+ab\n/],
  ];
  for (const [part, raw, expected] of RAW) {
    it(`lets raw DER stand in for the ${part}`, () => {
      expect(readCertificate(selfSigned(key, { raw }))).to.match(expected);
      expect(readCertificate(selfSigned(key))).not.to.match(expected);
    });
  }

  for (const raw of [{ tail: Uint8Array.of(5, 0) }, { tbsTail: Uint8Array.of(5, 0) }]) {
    it(`lets something stand behind the end: ${Object.keys(raw).join()}`, () => {
      expect(() => readCertificate(selfSigned(key, { raw }))).to.throw('cannot read');
    });
  }

  it('signs a raw signed part as it stands', () => {
    const tbs = sequence(boolean(false));
    const certificate = writeCertificate({ ...template(), raw: { tbs } });
    expect(hex(certificate)).to.include(hex(tbs));
  });

  it('makes a leaf from fields that a test may change', () => {
    const now = new Date();
    const authority = createAuthority(TrustDomain.parse('example.org'), {
      now,
      change: (fields) => ({ ...fields, serialNumber: 7n }),
    });
    expect(readCertificate(authority.certificate)).to.include('Serial Number: 7 (0x7)');
    const fields = leafFields(authority, {
      id: 'spiffe://example.org/a',
      publicKey: createPublicKey(makeKey('ec-p256')),
      now,
      ttlMs: 60_000,
    });
    expect(verifyChain(writeCertificate(fields), [authority.certificate]).ok).to.equal(true);
    const expired = { ...fields, notAfter: fields.notBefore };
    expect(verifyChain(writeCertificate(expired), [authority.certificate]).text).to.include(
      'certificate has expired',
    );
  });
});

function template(): CertificateFields {
  const key = makeKey('ec-p256');
  return {
    serialNumber: randomSerial(),
    issuer: distinguishedName(),
    subject: distinguishedName(),
    notBefore: new Date(),
    notAfter: new Date(),
    publicKey: createPublicKey(key),
    signingKey: key,
    extensions: [],
  };
}

describe('the DER writer', () => {
  // X.690 8.3, 10.1 and 11.2 by hand.
  const CASES: readonly (readonly [string, Uint8Array, string])[] = [
    ['zero', integer(0), '020100'],
    ['127', integer(127), '02017f'],
    ['128 with a leading zero octet', integer(128n), '02020080'],
    ['256', integer(256), '02020100'],
    ['no named bits', namedBits([]), '030100'],
    ['named bit 0', namedBits([0]), '03020780'],
    ['named bits 5 and 6', namedBits([5, 6]), '03020106'],
    ['named bits 0 and 8', namedBits([8, 0]), '0303078080'],
    ['an empty element', sequence(), '3000'],
    ['127 octets in the short form', element(0x04, Buffer.alloc(127)), `047f${'00'.repeat(127)}`],
    ['128 octets in the long form', element(0x04, Buffer.alloc(128)), `048180${'00'.repeat(128)}`],
    ['a context tag', element(0xa3, boolean(true)), 'a3030101ff'],
  ];
  for (const [what, written, expected] of CASES) {
    it(`writes ${what}`, () => {
      expect(hex(written)).to.equal(expected);
    });
  }

  it('makes serial numbers that are positive and differ', () => {
    const serials = Array.from({ length: 100 }, randomSerial);
    expect(new Set(serials).size).to.equal(100);
    expect(serials.every((serial) => serial > 0n && serial < 2n ** 128n)).to.equal(true);
  });
});
