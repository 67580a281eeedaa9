import type { KeyObject } from 'node:crypto';
import { nodeCrypto } from '../../internal/crypto.js';
import * as der from '../../internal/der.js';
import { type KeyKind, readKeyKind } from './key-kind.js';
import { readSignatureAlgorithm, type SignatureAlgorithm } from './signature.js';

/** keyUsage bits of RFC 5280 §4.2.1.3, as `readNamedBits` numbers them. */
export const DIGITAL_SIGNATURE: number = 1 << 0;
export const KEY_CERT_SIGN: number = 1 << 5;
export const CRL_SIGN: number = 1 << 6;

const SUBJECT_KEY_ID = '2.5.29.14';
const KEY_USAGE = '2.5.29.15';
const SUBJECT_ALT_NAME = '2.5.29.17';
const BASIC_CONSTRAINTS = '2.5.29.19';
const NAME_CONSTRAINTS = '2.5.29.30';
const AUTHORITY_KEY_ID = '2.5.29.35';

/**
 * Extensions that may be critical without being read: certificate policies and extended key usage. No path of ours
 * demands a policy (RFC 5280 §6.1.1 (c) is any-policy), and X509-SVID §5 does not judge a leaf by its extended key
 * usage, which go-spiffe and SPIRE leave alone too.
 */
const HARMLESS = new Set(['2.5.29.32', '2.5.29.37']);

/** A certificate, decoded once. What it says is well formed; whether it is to be believed is decided elsewhere. */
export class Certificate {
  /** The whole certificate. */
  readonly der: Uint8Array;
  /** The part that is signed. */
  readonly tbs: Uint8Array;
  readonly serialNumber: Uint8Array;
  /** Names as text of one character a byte, so that they compare and serve as keys. */
  readonly issuer: string;
  readonly subject: string;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly spki: Uint8Array;
  /** `undefined` for a key of a kind that no SVID of ours uses. */
  readonly keyKind: KeyKind | undefined;
  /** `undefined` for an algorithm that is not accepted. */
  readonly signatureAlgorithm: SignatureAlgorithm | undefined;
  readonly signature: Uint8Array;
  readonly uriNames: readonly string[];
  readonly ca: boolean;
  /** How many intermediates may stand below it; Infinity when it does not say. */
  readonly pathLength: number;
  /** `undefined` without the extension. */
  readonly keyUsage: number | undefined;
  readonly subjectKeyId: string | undefined;
  readonly authorityKeyId: string | undefined;
  /** The first critical extension that is not understood; name constraints are among these (X509-19, A-31). */
  readonly unknownCritical: string | undefined;
  #publicKey: KeyObject | undefined;

  private constructor(fields: Fields, extensions: Extensions) {
    this.der = fields.der;
    this.tbs = fields.tbs;
    this.serialNumber = fields.serialNumber;
    this.issuer = fields.issuer;
    this.subject = fields.subject;
    this.notBefore = fields.notBefore;
    this.notAfter = fields.notAfter;
    this.spki = fields.spki;
    this.keyKind = fields.keyKind;
    this.signatureAlgorithm = fields.signatureAlgorithm;
    this.signature = fields.signature;
    this.uriNames = extensions.uriNames;
    this.ca = extensions.ca;
    this.pathLength = extensions.pathLength;
    this.keyUsage = extensions.keyUsage;
    this.subjectKeyId = extensions.subjectKeyId;
    this.authorityKeyId = extensions.authorityKeyId;
    this.unknownCritical = extensions.unknownCritical;
  }

  /**
   * Decodes exactly one certificate (RFC 5280 §4.1). One of version 1 or 2 has no extensions, so it is no CA and
   * has no SPIFFE ID; an old root among a bundle's authorities harms none of the others.
   *
   * @throws DerError when the bytes are anything else.
   */
  static decode(bytes: Uint8Array): Certificate {
    return Certificate.from(der.readDer(bytes, der.SEQUENCE, 'the certificate'));
  }

  /**
   * Decodes certificates that stand one after another, with nothing between or behind them.
   *
   * @throws DerError
   */
  static decodeAll(bytes: Uint8Array): Certificate[] {
    const reader = new der.DerReader(bytes);
    const all: Certificate[] = [];
    while (!reader.done) all.push(Certificate.from(reader.take(der.SEQUENCE, 'the certificate')));
    return all;
  }

  private static from(element: der.Der): Certificate {
    const outer = element.children();
    const tbs = outer.take(der.SEQUENCE, 'the signed part');
    const algorithm = outer.take(der.SEQUENCE, 'the signature algorithm');
    const signature = der.readOctetBits(
      outer.take(der.BIT_STRING, 'the signature'),
      'the signature',
    );
    outer.finish('the certificate');

    const reader = tbs.children();
    const version = readVersion(reader.optional(der.context(0), 'the version'));
    const serialNumber = der.readInteger(
      reader.take(der.INTEGER, 'the serial number'),
      'the serial number',
    );
    const innerAlgorithm = reader.take(der.SEQUENCE, 'the inner signature algorithm');
    // RFC 5280 §4.1.1.2: what is signed names the algorithm too, so that it cannot be exchanged.
    if (text(innerAlgorithm.whole) !== text(algorithm.whole)) {
      throw new der.DerError('the certificate names two signature algorithms');
    }
    const issuer = text(reader.take(der.SEQUENCE, 'the issuer').whole);
    const validity = reader.take(der.SEQUENCE, 'the validity').children();
    const notBefore = der.readTime(validity.any('notBefore'), 'notBefore');
    const notAfter = der.readTime(validity.any('notAfter'), 'notAfter');
    validity.finish('the validity');
    const subject = text(reader.take(der.SEQUENCE, 'the subject').whole);
    const key = reader.take(der.SEQUENCE, 'the public key');
    reader.optional(der.context(1, false), 'the issuer id');
    reader.optional(der.context(2, false), 'the subject id');
    const extensions = new Extensions(
      version === 3 ? reader.optional(der.context(3), 'the extensions') : undefined,
    );
    reader.finish('the signed part');

    return new Certificate(
      {
        der: element.whole,
        tbs: tbs.whole,
        serialNumber,
        issuer,
        subject,
        notBefore,
        notAfter,
        spki: key.whole,
        keyKind: readKeyKind(key),
        signatureAlgorithm: readSignatureAlgorithm(algorithm),
        signature,
      },
      extensions,
    );
  }

  get selfIssued(): boolean {
    return this.issuer === this.subject;
  }

  /**
   * The subject's key, made on first use and kept.
   *
   * @throws Error of node:crypto when the bytes are no key, a point off the curve for one.
   */
  get publicKey(): KeyObject {
    this.#publicKey ??= nodeCrypto().createPublicKey({
      key: Buffer.from(this.spki),
      format: 'der',
      type: 'spki',
    });
    return this.#publicKey;
  }
}

type Fields = Pick<
  Certificate,
  | 'der'
  | 'tbs'
  | 'serialNumber'
  | 'issuer'
  | 'subject'
  | 'notBefore'
  | 'notAfter'
  | 'spki'
  | 'keyKind'
  | 'signatureAlgorithm'
  | 'signature'
>;

class Extensions {
  uriNames: string[] = [];
  ca = false;
  pathLength = Number.POSITIVE_INFINITY;
  keyUsage: number | undefined;
  subjectKeyId: string | undefined;
  authorityKeyId: string | undefined;
  unknownCritical: string | undefined;

  constructor(element: der.Der | undefined) {
    if (element === undefined) return;
    const wrapper = element.children();
    const list = wrapper.take(der.SEQUENCE, 'the extensions').children();
    wrapper.finish('the extensions');
    const seen = new Set<string>();
    while (!list.done) {
      const extension = list.take(der.SEQUENCE, 'an extension').children();
      const oid = der.readOid(extension.take(der.OID, 'an extension id'), 'an extension id');
      // RFC 5280 §4.2: no more than one instance of an extension.
      if (seen.has(oid)) throw new der.DerError(`the extension ${oid} stands twice`);
      seen.add(oid);
      const flag = extension.optional(der.BOOLEAN, 'the critical flag');
      const critical = flag !== undefined && der.readBoolean(flag, 'the critical flag');
      const value = extension.take(der.OCTET_STRING, `the extension ${oid}`);
      extension.finish(`the extension ${oid}`);
      this.#read(oid, critical, value);
    }
  }

  #read(oid: string, critical: boolean, value: der.Der): void {
    const reader = value.children();
    if (oid === SUBJECT_ALT_NAME) {
      const names = reader.take(der.SEQUENCE, 'the subject alternative name').children();
      while (!names.done) {
        const name = names.any('a subject alternative name');
        if (name.tag === der.context(6, false)) this.uriNames.push(text(name.content));
        // X.690 §10.2: DER writes a string in one piece, so [6] constructed is no URI but hides one.
        else if (name.tag === der.context(6)) throw new der.DerError('a URI name is constructed');
      }
    } else if (oid === BASIC_CONSTRAINTS) {
      const constraints = reader.take(der.SEQUENCE, 'the basic constraints').children();
      const ca = constraints.optional(der.BOOLEAN, 'the CA flag');
      this.ca = ca !== undefined && der.readBoolean(ca, 'the CA flag');
      const pathLength = constraints.optional(der.INTEGER, 'the path length');
      if (pathLength !== undefined) this.pathLength = der.readCount(pathLength, 'the path length');
      constraints.finish('the basic constraints');
    } else if (oid === KEY_USAGE) {
      this.keyUsage = der.readNamedBits(
        reader.take(der.BIT_STRING, 'the key usage'),
        'the key usage',
      );
    } else if (oid === SUBJECT_KEY_ID) {
      this.subjectKeyId = text(reader.take(der.OCTET_STRING, 'the subject key id').content);
    } else if (oid === AUTHORITY_KEY_ID) {
      const id = reader.take(der.SEQUENCE, 'the authority key id').children();
      const key = id.optional(der.context(0, false), 'the authority key id');
      if (key !== undefined) this.authorityKeyId = text(key.content);
    } else {
      if (critical && !HARMLESS.has(oid)) {
        this.unknownCritical ??= oid === NAME_CONSTRAINTS ? 'name constraints (2.5.29.30)' : oid;
      }
      return;
    }
    reader.finish(`the extension ${oid}`);
  }
}

function readVersion(element: der.Der | undefined): number {
  if (element === undefined) return 1;
  const reader = element.children();
  const number = der.readCount(reader.take(der.INTEGER, 'the version'), 'the version');
  reader.finish('the version');
  if (number > 2) throw new der.DerError('the certificate is of no known version');
  return number + 1;
}

/** One character a byte: nothing is decoded, so nothing can be normalised. */
function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
