import {
  createECDH,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { DerReader, SEQUENCE } from '#lib/internal/der.js';
import { type Authority, keyIdentifier } from '#lib/testing/authority.js';
import {
  type CertificateFields,
  distinguishedName,
  writeCertificate,
} from '#lib/testing/certificate.js';
import {
  authorityKeyIdentifier,
  basicConstraints,
  CLIENT_AUTH,
  extKeyUsage,
  keyUsage,
  SERVER_AUTH,
  subjectAltName,
  subjectKeyIdentifier,
} from '#lib/testing/extensions.js';
import { makeKey } from '#lib/testing/keys.js';
import { DAY_MS, NOW } from '../chain.js';
import type { Random } from './random.js';

/** A P-256 key that the seed gives. */
function seededKey(random: Random): KeyObject {
  const pair = createECDH('prime256v1');
  const secret = random.bytes(32);
  // Below the order of the curve, and not zero.
  secret[0] = 0x70;
  pair.setPrivateKey(secret);
  const point = pair.getPublicKey();
  const [x, y, d] = [point.subarray(1, 33), point.subarray(33), secret].map((bytes) =>
    bytes.toString('base64url'),
  ) as [string, string, string];
  return createPrivateKey({ key: { kty: 'EC', crv: 'P-256', x, y, d }, format: 'jwk' });
}

function generated(make: () => { readonly privateKey: KeyObject }): KeyObject {
  // Through DER once: a key straight from the generator can deadlock when it is exported (Node 20).
  const der = make().privateKey.export({ type: 'pkcs8', format: 'der' });
  return createPrivateKey({ key: der, type: 'pkcs8', format: 'der' });
}

/** The keys that certificates are made with. */
export interface Keys {
  readonly usual: readonly KeyObject[];
  /** Of other kinds that are accepted. */
  readonly other: readonly KeyObject[];
  /** Of kinds that are not. */
  readonly odd: readonly KeyObject[];
}

export function makeKeys(random: Random): Keys {
  return {
    usual: Array.from({ length: 6 }, () => seededKey(random)),
    other: [makeKey('ec-p384'), makeKey('ec-p521'), makeKey('rsa-2048')],
    odd: [
      generated(() => generateKeyPairSync('rsa', { modulusLength: 1024 })),
      generated(() => generateKeyPairSync('ed25519')),
      generated(() => generateKeyPairSync('ec', { namedCurve: 'secp224r1' })),
      generated(() => generateKeyPairSync('ec', { namedCurve: 'secp256k1' })),
    ],
  };
}

/** Who signs, and under which name. */
export type Signer = Pick<Authority, 'key' | 'name' | 'keyId'>;

/** The fields of a good signing certificate; self-signed without `issuer`. */
export function caFields(random: Random, key: KeyObject, issuer?: Signer): CertificateFields {
  const publicKey = createPublicKey(key);
  const keyId = keyIdentifier(publicKey);
  const subject = distinguishedName({ organization: 'test', commonName: `ca ${random.int(1000)}` });
  return {
    ...common(random, issuer?.name ?? subject, issuer?.key ?? key),
    subject,
    publicKey,
    extensions: [
      basicConstraints({ ca: true }),
      keyUsage(['keyCertSign', 'cRLSign']),
      subjectKeyIdentifier(keyId),
      ...(issuer === undefined ? [] : [authorityKeyIdentifier(issuer.keyId)]),
      subjectAltName({ uris: ['spiffe://example.org'] }),
    ],
  };
}

/** The fields of a good leaf. */
export function leafFieldsOf(
  random: Random,
  key: KeyObject,
  issuer: Signer,
  id: string,
): CertificateFields {
  const publicKey = createPublicKey(key);
  return {
    ...common(random, issuer.name, issuer.key),
    subject: distinguishedName(),
    publicKey,
    extensions: [
      keyUsage(['digitalSignature']),
      extKeyUsage([SERVER_AUTH, CLIENT_AUTH]),
      basicConstraints({ ca: false }),
      subjectKeyIdentifier(keyIdentifier(publicKey)),
      authorityKeyIdentifier(issuer.keyId),
      subjectAltName({ uris: [id] }, { critical: true }),
    ],
  };
}

function common(random: Random, issuer: Uint8Array, signingKey: KeyObject) {
  return {
    serialNumber: BigInt(1 + random.int(2 ** 31)),
    issuer,
    signingKey,
    notBefore: new Date(NOW.getTime() - DAY_MS),
    notAfter: new Date(NOW.getTime() + DAY_MS),
  };
}

/** What signs with the certificate of these fields. */
export function signerOf(fields: CertificateFields, key: KeyObject): Signer {
  return { key, name: fields.subject, keyId: keyIdentifier(createPublicKey(key)) };
}

/** The part of a certificate that is signed. */
export function signedPart(fields: CertificateFields): Uint8Array {
  if (fields.raw?.tbs !== undefined) return fields.raw.tbs;
  const certificate = new DerReader(writeCertificate(fields)).take(SEQUENCE, 'certificate');
  return certificate.children().take(SEQUENCE, 'signed part').whole;
}
