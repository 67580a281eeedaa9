import { spawnSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { SpiffeId } from 'agent-spiffe';
import { expect } from 'chai';
import { CredentialKey } from '#lib/agent/credential/key.js';
import { readCertificateRequest } from '#lib/identity/x509/certificate-request.js';
import { DerError } from '#lib/internal/der.js';
import { distinguishedName, publicKeyInfo } from '#lib/testing/certificate.js';
import { element, objectIdentifier, sequence, set } from '#lib/testing/der.js';
import { basicConstraints, keyUsage, subjectAltName } from '#lib/testing/extensions.js';
import { makeKey } from '#lib/testing/keys.js';
import { craftRequest, type RequestParts } from '../../support/certificate-request.js';

const TASK = 'spiffe://example.org/agents/a/task/1';

describe('a certificate request', () => {
  it('is read as the agent writes it', () => {
    const csr = new CredentialKey().request(SpiffeId.parse(TASK));
    const { uri, spki, publicKey } = readCertificateRequest(csr);
    expect(uri).to.equal(TASK);
    expect(publicKey.asymmetricKeyDetails).to.include({ namedCurve: 'prime256v1' });
    expect(Buffer.from(spki)).to.deep.equal(publicKey.export({ type: 'spki', format: 'der' }));
  });

  it('is to OpenSSL what it is to us', () => {
    const csr = new CredentialKey().request(SpiffeId.parse(TASK));
    const args = ['req', '-inform', 'DER', '-verify', '-noout', '-text'];
    const { stdout, stderr } = spawnSync('openssl', args, { input: csr, encoding: 'utf8' });
    expect(`${stdout}${stderr}`).to.match(/verify OK/);
    expect(stdout).to.match(/Subject: *\n/);
    expect(stdout).to.include(`URI:${TASK}`);
    expect(stdout).to.include('X509v3 Subject Alternative Name: critical');
  });

  it('is read with a key of each kind that an SVID may have', () => {
    for (const type of ['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048'] as const) {
      const key = makeKey(type);
      const { publicKey } = readCertificateRequest(craftRequest({ uris: [TASK], key }));
      expect(publicKey.equals(createPublicKey(key)), type).to.equal(true);
    }
  });

  const key = makeKey('ec-p256');
  const offCurve = Buffer.from(publicKeyInfo(createPublicKey(key)));
  offCurve[offCurve.length - 1] = (offCurve.at(-1) ?? 0) ^ 1;
  const other = makeKey('ec-p256');
  const refused: readonly (readonly [string, RequestParts, RegExp])[] = [
    ['no name', { uris: [] }, /missing/],
    ['two URIs', { uris: [TASK, TASK] }, /more names than one URI/],
    ['a DNS name beside', { uris: [TASK], dnsNames: ['db.internal'] }, /more names/],
    ['a DNS name alone', { dnsNames: ['db.internal'] }, /no URI/],
    ['an address', { uris: [TASK], ipAddresses: [Buffer.of(127, 0, 0, 1)] }, /more names/],
    ['a mailbox', { uris: [TASK], mailboxes: ['a@example.org'] }, /more names/],
    [
      'a subject',
      { uris: [TASK], subject: distinguishedName({ commonName: 'db' }) },
      /subject is not empty/,
    ],
    [
      'another extension, to be a CA',
      { uris: [TASK], extensions: [basicConstraints({ ca: true })] },
      /bytes left over/,
    ],
    [
      'another extension, to sign certificates',
      { uris: [TASK], extensions: [keyUsage(['keyCertSign'])] },
      /bytes left over/,
    ],
    [
      'a second list of names',
      { uris: [TASK], extensions: [subjectAltName({ uris: [TASK] })] },
      /bytes left over/,
    ],
    [
      'another attribute',
      {
        uris: [TASK],
        attributes: [
          sequence(objectIdentifier('1.2.840.113549.1.9.7'), set(element(0x0c, Buffer.from('x')))),
        ],
      },
      /bytes left over/,
    ],
    ['a version to come', { uris: [TASK], version: 1 }, /no known version/],
    ['bytes behind it', { uris: [TASK], tail: Buffer.of(5, 0) }, /bytes left over/],
    ['the signature of another key', { uris: [TASK], key, signingKey: other }, /not signed/],
    [
      'a borrowed public key',
      { uris: [TASK], publicKey: publicKeyInfo(createPublicKey(other)) },
      /not signed/,
    ],
    ['a point off the curve', { uris: [TASK], key, publicKey: offCurve }, /key is broken/],
  ];
  for (const [what, parts, why] of refused) {
    it(`is refused with ${what}`, () => {
      expect(() => readCertificateRequest(craftRequest(parts))).to.throw(DerError, why);
    });
  }

  it('is refused in any other encoding', () => {
    const csr = Buffer.from(craftRequest({ uris: [TASK] }));
    for (let length = 0; length < csr.length; length += 7)
      expect(() => readCertificateRequest(csr.subarray(0, length))).to.throw(DerError);
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${csr.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
    expect(() => readCertificateRequest(Buffer.from(pem))).to.throw(DerError);
  });

  it('is refused, and never passes, with any one byte changed', () => {
    const csr = Buffer.from(new CredentialKey().request(SpiffeId.parse(TASK)));
    for (let at = 0; at < csr.length; at++) {
      const changed = Buffer.from(csr);
      changed[at] = (changed[at] ?? 0) ^ 0x01;
      expect(() => readCertificateRequest(changed), `byte ${at}`).to.throw(DerError);
    }
  });
});
