import type { KeyObject } from 'node:crypto';
import {
  bitString,
  boolean,
  element,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  set,
  time,
  utf8String,
} from './der.js';
import type { Extension } from './extensions.js';
import {
  algorithmFor,
  algorithmIdentifier,
  type SignatureAlgorithm,
  signWith,
} from './signature.js';

/** Every field of an X.509 certificate, explicit: nothing is added, ordered or checked by the writer. */
export interface CertificateFields {
  readonly serialNumber: bigint;
  /** A Name as DER; see {@link distinguishedName}. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** A key, or a SubjectPublicKeyInfo as DER. */
  readonly publicKey: KeyObject | Uint8Array;
  readonly extensions: readonly Extension[];
  /** The issuer's private key. */
  readonly signingKey: KeyObject;
  /** Default: the one that fits the signing key. */
  readonly algorithm?: SignatureAlgorithm;
  /** Parts to write as they stand, in place of those made of the fields above. */
  readonly raw?: RawParts;
}

/** Raw DER for one part each, so that a test can make any defect. */
export interface RawParts {
  /** In place of the explicit `[0]` with version 3; empty leaves it out. */
  readonly version?: Uint8Array;
  readonly serialNumber?: Uint8Array;
  /** The AlgorithmIdentifier inside the signed part. */
  readonly innerAlgorithm?: Uint8Array;
  readonly validity?: Uint8Array;
  /** The whole explicit `[3]`; empty leaves it out. */
  readonly extensions?: Uint8Array;
  /** Behind the extensions, inside the signed part. */
  readonly tbsTail?: Uint8Array;
  /** The whole signed part; it is signed as it stands. */
  readonly tbs?: Uint8Array;
  /** The AlgorithmIdentifier beside the signature. */
  readonly outerAlgorithm?: Uint8Array;
  /** The BIT STRING element of the signature. */
  readonly signature?: Uint8Array;
  /** Inside the outer sequence, behind the signature. */
  readonly tail?: Uint8Array;
}

/** Writes and signs a certificate (RFC 5280 §4.1) as DER. */
export function writeCertificate(fields: CertificateFields): Uint8Array {
  const { raw = {}, algorithm = algorithmFor(fields.signingKey) } = fields;
  const identifier = algorithmIdentifier(algorithm);
  const tbs =
    raw.tbs ??
    sequence(
      raw.version ?? element(0xa0, integer(2)),
      raw.serialNumber ?? integer(fields.serialNumber),
      raw.innerAlgorithm ?? identifier,
      fields.issuer,
      raw.validity ?? sequence(time(fields.notBefore), time(fields.notAfter)),
      fields.subject,
      publicKeyInfo(fields.publicKey),
      raw.extensions ?? element(0xa3, sequence(...fields.extensions.map(writeExtension))),
      raw.tbsTail ?? Buffer.alloc(0),
    );
  return sequence(
    tbs,
    raw.outerAlgorithm ?? identifier,
    raw.signature ?? bitString(signWith(algorithm, tbs, fields.signingKey)),
    raw.tail ?? Buffer.alloc(0),
  );
}

/** One extension as it stands in the list of extensions. */
export function writeExtension({ oid, critical = false, value }: Extension): Uint8Array {
  return sequence(objectIdentifier(oid), ...(critical ? [boolean(true)] : []), octetString(value));
}

const ATTRIBUTES = { commonName: '2.5.4.3', organization: '2.5.4.10' } as const;

/** A Name of these attributes, in this order, one a set; without attributes, the empty Name. */
export function distinguishedName(
  attributes: { readonly organization?: string; readonly commonName?: string } = {},
): Uint8Array {
  const { organization, commonName } = attributes;
  const parts: Uint8Array[] = [];
  const add = (oid: string, value: string | undefined): void => {
    if (value !== undefined) parts.push(set(sequence(objectIdentifier(oid), utf8String(value))));
  };
  add(ATTRIBUTES.organization, organization);
  add(ATTRIBUTES.commonName, commonName);
  return sequence(...parts);
}

/** The SubjectPublicKeyInfo of a key as DER. */
export function publicKeyInfo(key: KeyObject | Uint8Array): Uint8Array {
  return key instanceof Uint8Array ? key : key.export({ type: 'spki', format: 'der' });
}
