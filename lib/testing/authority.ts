import { createHash, createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import type { SpiffeId } from '../identity/spiffe-id.js';
import type { TrustDomain } from '../identity/trust-domain.js';
import {
  type CertificateFields,
  distinguishedName,
  publicKeyInfo,
  writeCertificate,
} from './certificate.js';
import {
  authorityKeyIdentifier,
  basicConstraints,
  CLIENT_AUTH,
  extKeyUsage,
  keyUsage,
  SERVER_AUTH,
  subjectAltName,
  subjectKeyIdentifier,
} from './extensions.js';
import { type KeyType, makeKey } from './keys.js';

/** A signing certificate with its key. */
export interface Authority {
  readonly certificate: Uint8Array;
  readonly key: KeyObject;
  /** Its subject, a Name as DER. */
  readonly name: Uint8Array;
  readonly keyId: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const SECOND = 1000;
/** Clocks differ a little: what is issued now is valid a little earlier. */
const BACKDATE_MS = 10 * SECOND;
const AUTHORITY_TTL_MS = 365 * 24 * 3600 * SECOND;
/** RFC 5280 appendix A.1, `ub-common-name`. */
const LONGEST_COMMON_NAME = 64;

/**
 * Makes a signing certificate as X509-SVID §3.2 and §4 ask: `cA`, `keyCertSign` and `cRLSign`, and the trust domain's
 * own ID. Without `issuer` it is self-signed. `change` may alter any field before it is signed.
 */
export function createAuthority(
  trustDomain: TrustDomain,
  options: {
    readonly now: Date;
    readonly keyType?: KeyType;
    readonly issuer?: Authority;
    readonly change?: (fields: CertificateFields) => CertificateFields;
  },
): Authority {
  const { now, keyType = 'ec-p256', issuer, change = (fields) => fields } = options;
  const key = makeKey(keyType);
  const publicKey = createPublicKey(key);
  const keyId = keyIdentifier(publicKey);
  // A name of its own for each authority: no path has to be tried twice after a rotation.
  const name = distinguishedName({
    organization: 'agent-spiffe development',
    commonName: `${issuer === undefined ? 'authority' : 'intermediate'} ${hex(keyId).slice(0, 16)}`,
  });
  const fields = change({
    serialNumber: randomSerial(),
    issuer: issuer?.name ?? name,
    subject: name,
    ...validity(now, AUTHORITY_TTL_MS, issuer?.notAfter),
    publicKey,
    signingKey: issuer?.key ?? key,
    extensions: [
      basicConstraints({ ca: true }),
      keyUsage(['keyCertSign', 'cRLSign']),
      subjectKeyIdentifier(keyId),
      ...(issuer === undefined ? [] : [authorityKeyIdentifier(issuer.keyId)]),
      subjectAltName({ uris: [trustDomain.idString] }),
    ],
  });
  return {
    certificate: writeCertificate(fields),
    key,
    name: fields.subject,
    keyId,
    notBefore: fields.notBefore,
    notAfter: fields.notAfter,
  };
}

/**
 * The fields of a leaf as X509-SVID asks, ready for the writer. Its subject is empty, or the first DNS name, and the
 * subject alternative name is critical exactly when the subject is empty (RFC 5280 §4.1.2.6).
 */
export function leafFields(
  issuer: Authority,
  options: {
    readonly id: SpiffeId | string;
    readonly publicKey: KeyObject;
    readonly now: Date;
    readonly ttlMs: number;
    readonly dnsNames?: readonly string[];
  },
): CertificateFields {
  const { id, publicKey, now, ttlMs, dnsNames = [] } = options;
  const commonName = dnsNames.find((name) => name.length <= LONGEST_COMMON_NAME);
  return {
    serialNumber: randomSerial(),
    issuer: issuer.name,
    subject: commonName === undefined ? distinguishedName() : distinguishedName({ commonName }),
    // A leaf that outlives its authority would be refused for the authority's sake.
    ...validity(now, ttlMs, issuer.notAfter),
    publicKey,
    signingKey: issuer.key,
    extensions: [
      keyUsage(['digitalSignature']),
      extKeyUsage([SERVER_AUTH, CLIENT_AUTH]),
      basicConstraints({ ca: false }),
      subjectKeyIdentifier(keyIdentifier(publicKey)),
      authorityKeyIdentifier(issuer.keyId),
      subjectAltName({ uris: [id.toString()], dnsNames }, { critical: commonName === undefined }),
    ],
  };
}

/** A serial number of 128 random bits, never zero (RFC 5280 §4.1.2.2 wants it positive, and 20 octets at most). */
export function randomSerial(): bigint {
  return BigInt(`0x${hex(randomBytes(16))}`) || 1n;
}

/** The first 160 bits of the SHA-256 of the key (RFC 5280 §4.2.1.2 leaves the method free). */
export function keyIdentifier(publicKey: KeyObject): Uint8Array {
  return createHash('sha256').update(publicKeyInfo(publicKey)).digest().subarray(0, 20);
}

function validity(
  now: Date,
  ttlMs: number,
  latest: Date | undefined,
): Pick<CertificateFields, 'notBefore' | 'notAfter'> {
  const end = wholeSecond(now.getTime() + ttlMs);
  return {
    notBefore: wholeSecond(now.getTime() - BACKDATE_MS),
    notAfter: latest !== undefined && latest < end ? latest : end,
  };
}

function wholeSecond(ms: number): Date {
  return new Date(Math.floor(ms / SECOND) * SECOND);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
