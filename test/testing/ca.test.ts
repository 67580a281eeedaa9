import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { inspect } from 'node:util';
import { SpiffeError } from 'agent-spiffe';
import { FakeClock, TestCa, type TestCaOptions } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { X509Bundles } from '#lib/identity/x509/bundles.js';
import { verifyX509Svid } from '#lib/identity/x509/verify.js';
import {
  opensslAvailable,
  readCertificate,
  readExtension,
  splitCertificates,
  verifyChain,
} from '../support/openssl-verdicts.js';

const WORKLOAD = 'spiffe://example.org/agents/researcher';

interface Issued {
  readonly leaf: Uint8Array;
  readonly intermediates: readonly Uint8Array[];
  readonly authorities: readonly Uint8Array[];
}

function issue(options: TestCaOptions, dnsNames: readonly string[] = []): Issued {
  const ca = TestCa.create('example.org', options);
  const [leaf, ...intermediates] = splitCertificates(
    ca.issueDer(WORKLOAD, { dnsNames }).certificates,
  );
  if (leaf === undefined) throw new Error('no leaf');
  return { leaf, intermediates, authorities: splitCertificates(ca.bundleDer) };
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof SpiffeError) return error.code;
    throw error;
  }
  return 'nothing thrown';
}

const KINDS: readonly (readonly [string, TestCaOptions])[] = [
  ['EC P-256', {}],
  ['EC P-256 through an intermediate', { intermediate: true }],
  ['EC P-384', { keyType: 'ec-p384' }],
  ['EC P-521', { keyType: 'ec-p521' }],
  ['RSA 2048', { keyType: 'rsa-2048' }],
];

for (const [kind, options] of KINDS) {
  describe(`what the development CA issues, judged by OpenSSL: ${kind}`, () => {
    let issued: Issued;
    let signing: readonly Uint8Array[];

    before(function () {
      if (!opensslAvailable()) this.skip();
      issued = issue(options);
      signing = [...issued.intermediates, ...issued.authorities];
    });

    it('ID-23 X509-27: the leaf verifies against the bundle, strictly', () => {
      expect(verifyChain(issued.leaf, issued.authorities, issued.intermediates).text).to.match(
        /: OK\n$/,
      );
    });

    it('X509-27: it does not verify against the bundle of another CA of the same trust domain', () => {
      const other = issue(options);
      const verdict = verifyChain(issued.leaf, other.authorities, issued.intermediates);
      expect(verdict.ok).to.equal(false);
    });

    it('X509-01: the leaf has exactly one URI SAN, and it is the SPIFFE ID', () => {
      const [, names] = readExtension(issued.leaf, 'subjectAltName');
      expect(names).to.equal(`URI:${WORKLOAD}`);
    });

    it('X509-09: the subject is empty and the SAN extension critical', () => {
      expect(readCertificate(issued.leaf)).to.match(/^ *Subject: *$/m);
      const [title] = readExtension(issued.leaf, 'subjectAltName');
      expect(title).to.equal('X509v3 Subject Alternative Name: critical');
    });

    it('X509-17: the leaf is no CA', () => {
      expect(readExtension(issued.leaf, 'basicConstraints')[1]).to.equal('CA:FALSE');
    });

    it('X509-20 X509-22 X509-23: the leaf has key usage digitalSignature alone, critical', () => {
      expect(readExtension(issued.leaf, 'keyUsage')).to.deep.equal([
        'X509v3 Key Usage: critical',
        'Digital Signature',
      ]);
    });

    it('X509-24 X509-25: the leaf has extended key usage for servers and clients', () => {
      expect(readExtension(issued.leaf, 'extendedKeyUsage')[1]).to.equal(
        'TLS Web Server Authentication, TLS Web Client Authentication',
      );
    });

    it('X509-18: no certificate has name constraints', () => {
      for (const certificate of [issued.leaf, ...signing]) {
        expect(readCertificate(certificate)).not.to.include('Name Constraints');
      }
    });

    it('X509-10: every signing certificate is a CA', () => {
      for (const certificate of signing) {
        expect(readExtension(certificate, 'basicConstraints')).to.deep.equal([
          'X509v3 Basic Constraints: critical',
          'CA:TRUE',
        ]);
      }
    });

    it('X509-10 X509-20 X509-21: every signing certificate signs certificates and CRLs, critical', () => {
      for (const certificate of signing) {
        expect(readExtension(certificate, 'keyUsage')).to.deep.equal([
          'X509v3 Key Usage: critical',
          'Certificate Sign, CRL Sign',
        ]);
      }
    });

    it('ID-20 ID-21 X509-11 X509-12 X509-13: every signing certificate holds the ID of its trust domain', () => {
      for (const certificate of signing) {
        expect(readExtension(certificate, 'subjectAltName')[1]).to.equal(
          'URI:spiffe://example.org',
        );
      }
    });

    it('ID-22 X509-34: the authority in the bundle is self-signed', () => {
      for (const authority of issued.authorities) {
        expect(verifyChain(authority, [authority]).text).to.match(/: OK\n$/);
      }
    });

    it('WLA-16: the leaf stands first, then what is needed to reach the bundle', () => {
      expect(issued.intermediates).to.have.length(options.intermediate ? 1 : 0);
      expect(verifyChain(issued.leaf, issued.authorities, []).ok).to.equal(!options.intermediate);
    });

    it('names the issuer by its key, and each certificate by its own', () => {
      const [, issuer] = readExtension(issued.leaf, 'authorityKeyIdentifier');
      const [, own] = readExtension(signing[0] ?? issued.leaf, 'subjectKeyIdentifier');
      expect(issuer)
        .to.equal(own)
        .and.to.match(/^([0-9A-F]{2}:){19}[0-9A-F]{2}$/);
    });

    it('is version 3 with a positive serial number of at most 128 bits', () => {
      for (const certificate of [issued.leaf, ...signing]) {
        const text = readCertificate(certificate);
        expect(text).to.include('Version: 3 (0x2)');
        expect(text).not.to.include('Negative');
        expect(new X509Certificate(certificate).serialNumber).to.match(/^[0-9A-F]{1,32}$/);
      }
    });
  });
}

describe('the development CA', () => {
  it('X509-04 X509-09: with DNS names it has a subject, and then the SAN extension is not critical', function () {
    if (!opensslAvailable()) this.skip();
    const { leaf } = issue({}, ['tools.test', 'search.test']);
    expect(readCertificate(leaf)).to.match(/^ *Subject: CN ?= ?tools\.test$/m);
    expect(readExtension(leaf, 'subjectAltName')).to.deep.equal([
      'X509v3 Subject Alternative Name:',
      `URI:${WORKLOAD}, DNS:tools.test, DNS:search.test`,
    ]);
  });

  it('X509-09: a DNS name too long for a common name leaves the subject empty', function () {
    if (!opensslAvailable()) this.skip();
    const { leaf } = issue({}, [`${'a'.repeat(60)}.test`]);
    expect(readExtension(leaf, 'subjectAltName')[0]).to.equal(
      'X509v3 Subject Alternative Name: critical',
    );
  });

  it('X509-06: refuses to issue for the trust domain itself', () => {
    const ca = TestCa.create('example.org');
    expect(codeOf(() => ca.issueDer('spiffe://example.org'))).to.equal('ERR_SPIFFE_OPTION_INVALID');
    expect(codeOf(() => ca.issueDer('spiffe://example.org/a'))).to.equal('nothing thrown');
  });

  it('X509-13: refuses to issue for another trust domain', () => {
    const ca = TestCa.create('example.org');
    expect(codeOf(() => ca.issueDer('spiffe://other.test/a'))).to.equal(
      'ERR_SPIFFE_OPTION_INVALID',
    );
    expect(codeOf(() => ca.issueDer('spiffe://example.org.test/a'))).to.equal(
      'ERR_SPIFFE_OPTION_INVALID',
    );
  });

  it('ID-16: refuses to issue an ID longer than 2048 bytes, and issues one of 2048', () => {
    const ca = TestCa.create('example.org');
    const longest = `spiffe://example.org/${'a'.repeat(2048 - 'spiffe://example.org/'.length)}`;
    expect(ca.issue(longest).id.toString()).to.equal(longest);
    expect(codeOf(() => ca.issue(`${longest}a`))).to.equal('ERR_SPIFFE_ID_INVALID');
  });

  it('ID-04 ID-05: refuses a trust domain that is none', () => {
    expect(codeOf(() => TestCa.create('Example.org'))).to.equal('ERR_SPIFFE_TRUST_DOMAIN_INVALID');
  });

  for (const ttlMs of [
    0,
    999,
    1000.5,
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    183 * 86_400_000,
  ]) {
    it(`refuses a life of ${ttlMs} ms`, () => {
      const ca = TestCa.create('example.org');
      expect(codeOf(() => TestCa.create('example.org', { ttlMs }))).to.equal(
        'ERR_SPIFFE_OPTION_INVALID',
      );
      expect(codeOf(() => ca.issueDer(WORKLOAD, { ttlMs }))).to.equal('ERR_SPIFFE_OPTION_INVALID');
    });
  }

  it('dates an SVID ten seconds back, and ends it after its life, in whole seconds', () => {
    const clock = new FakeClock(new Date('2030-01-02T03:04:05.678Z'));
    const ca = TestCa.create('example.org', { now: () => new Date(clock.now()), ttlMs: 60_000 });
    const svid = ca.issue(WORKLOAD);
    expect(svid.notBefore.toISOString()).to.equal('2030-01-02T03:03:55.000Z');
    expect(svid.notAfter.toISOString()).to.equal('2030-01-02T03:05:05.000Z');
    expect(ca.issue(WORKLOAD, { ttlMs: 1000 }).notAfter.toISOString()).to.equal(
      '2030-01-02T03:04:06.000Z',
    );
  });

  it('lives an hour unless told otherwise', () => {
    const now = new Date('2030-01-01T00:00:00Z');
    const svid = TestCa.create('example.org', { now: () => now }).issue(WORKLOAD);
    expect(svid.notAfter.toISOString()).to.equal('2030-01-01T01:00:00.000Z');
  });

  it('never lets an SVID outlive its authority', () => {
    const clock = new FakeClock(new Date('2030-01-01T00:00:00Z'));
    const ca = TestCa.create('example.org', { now: () => new Date(clock.now()) });
    const end = ca.authority.notAfter;
    clock.advance(end.getTime() - clock.now() - 1000);
    expect(ca.issue(WORKLOAD).notAfter.toISOString()).to.equal(end.toISOString());
  });

  it('WLA-17: gives the key as unencrypted PKCS#8, and it is the one certified', () => {
    const { certificates, key } = TestCa.create('example.org').issueDer(WORKLOAD);
    const privateKey = createPrivateKey({ key: Buffer.from(key), format: 'der', type: 'pkcs8' });
    const certified = new X509Certificate(certificates).publicKey;
    expect(createPublicKey(privateKey).equals(certified)).to.equal(true);
  });

  it('gives every SVID a key and a serial number of its own', () => {
    const ca = TestCa.create('example.org');
    const [one, two] = [ca.issue(WORKLOAD), ca.issue(WORKLOAD)];
    expect(one.serialNumber).not.to.equal(two.serialNumber);
    expect(one.privateKey.equals(two.privateKey)).to.equal(false);
  });

  it('hands on the hint', () => {
    const ca = TestCa.create('example.org');
    expect(ca.issue(WORKLOAD, { hint: 'internal' }).hint).to.equal('internal');
    expect(ca.issue(WORKLOAD).hint).to.equal('');
  });

  it('shows no key when an SVID is printed', () => {
    const svid = TestCa.create('example.org').issueDer(WORKLOAD);
    const printed = inspect(svid, { depth: 9 }) + JSON.stringify(svid);
    expect(printed).to.include('notAfter').and.not.to.include('key');
  });

  for (const [kind, options] of KINDS) {
    it(`is believed by this library: ${kind}`, () => {
      const ca = TestCa.create('example.org', options);
      const { certificates } = ca.issue(WORKLOAD);
      expect(verifyX509Svid(certificates, X509Bundles.of(ca.bundle)).id.toString()).to.equal(
        WORKLOAD,
      );
    });
  }
});

function verified(ca: TestCa, certificates: readonly Uint8Array[]): string {
  return codeOf(() => verifyX509Svid(certificates, X509Bundles.of(ca.bundle)));
}

describe('rotation of the development CA', () => {
  for (const intermediate of [false, true]) {
    const through = intermediate ? ' through an intermediate' : '';

    it(`keeps the old authority: what was issued before is still believed${through}`, () => {
      const ca = TestCa.create('example.org', { intermediate });
      const before = ca.issue(WORKLOAD).certificates;
      ca.rotate();
      expect(ca.bundle.authorities).to.have.length(2);
      expect(verified(ca, before)).to.equal('nothing thrown');
      expect(verified(ca, ca.issue(WORKLOAD).certificates)).to.equal('nothing thrown');
    });

    it(`BDL-03: drops the old authority when told so: what was issued before is believed no more${through}`, () => {
      const ca = TestCa.create('example.org', { intermediate });
      const before = ca.issue(WORKLOAD).certificates;
      ca.rotate({ keepOld: false });
      expect(ca.bundle.authorities).to.have.length(1);
      expect(verified(ca, before)).to.equal('ERR_SPIFFE_X509_UNTRUSTED');
      expect(verified(ca, ca.issue(WORKLOAD).certificates)).to.equal('nothing thrown');
    });
  }

  it('puts the newest authority first, and drops those that have expired', () => {
    const clock = new FakeClock();
    const ca = TestCa.create('example.org', { now: () => new Date(clock.now()) });
    const first = ca.authority.certificate;
    clock.advance(200 * 86_400_000);
    ca.rotate();
    const second = ca.authority.certificate;
    expect(splitCertificates(ca.bundleDer).map(hex)).to.deep.equal([second, first].map(hex));
    clock.advance(200 * 86_400_000);
    ca.rotate();
    const third = ca.authority.certificate;
    expect(splitCertificates(ca.bundleDer).map(hex)).to.deep.equal([third, second].map(hex));
  });
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

describe('a development CA: JWT-SVIDs', () => {
  const ID = 'spiffe://example.org/agents/researcher';

  it('JWT-09 JWT-10 JWT-14 JWT-18: issues a token with the claims asked for', async () => {
    const now = new Date('2030-01-01T00:00:00.900Z');
    const ca = TestCa.create('example.org', { now: () => now });
    const svid = await ca.issueJwt(ID, { audience: 'a', ttlMs: 60_000, claims: { team: ['x'] } });
    expect(String(svid.id)).to.equal(ID);
    expect(svid.audience).to.deep.equal(['a']);
    expect(svid.expiresAt.toISOString()).to.equal('2030-01-01T00:01:00.000Z');
    const { payload } = await jwtVerify(
      svid.token,
      createLocalJWKSet(JSON.parse(Buffer.from(ca.jwtBundleJson).toString()) as JSONWebKeySet),
      { audience: 'a', currentDate: now },
    );
    expect(payload).to.deep.equal({
      team: ['x'],
      sub: ID,
      aud: 'a',
      iat: 1893456000,
      exp: 1893456060,
    });
  });

  it('keeps the old JWT key in its bundle unless told otherwise, and its X.509 authority always', async () => {
    const ca = TestCa.create('example.org');
    const [first] = ca.jwtBundle.keyIds;
    const authority = ca.bundle;
    ca.rotateJwtKey();
    expect(ca.jwtBundle.keyIds).to.have.length(2).and.to.include(first);
    expect(decodeProtectedHeader((await ca.issueJwt(ID, { audience: 'a' })).token).kid)
      .to.equal(ca.jwtBundle.keyIds[0])
      .and.not.to.equal(first);
    ca.rotateJwtKey({ keepOld: false });
    expect(ca.jwtBundle.keyIds).to.have.length(1);
    expect(ca.bundle.equals(authority)).to.equal(true);
  });

  for (const [what, code, id, options] of [
    ['an ID of another trust domain', 'OPTION', 'spiffe://other.test/a', { audience: 'a' }],
    ['an ID without a path (A-05)', 'OPTION', 'spiffe://example.org', { audience: 'a' }],
    ['what is no ID', 'ID', 'example.org/a', { audience: 'a' }],
    ['no audience (JWT-10)', 'OPTION', ID, { audience: [] }],
    ['an empty audience', 'OPTION', ID, { audience: ['a', ''] }],
    ['a life under one second', 'OPTION', ID, { audience: 'a', ttlMs: 999 }],
    ['a subject among the claims', 'OPTION', ID, { audience: 'a', claims: { sub: ID } }],
    ['an end among the claims', 'OPTION', ID, { audience: 'a', claims: { exp: 1 } }],
  ] as const) {
    it(`issues no token for ${what}`, async () => {
      const error: unknown = await TestCa.create('example.org')
        .issueJwt(id, options)
        .catch((thrown: unknown) => thrown);
      expect(error).to.have.property('code', `ERR_SPIFFE_${code}_INVALID`);
    });
  }
});
