import type { KeyObject } from 'node:crypto';
import { nodeCrypto } from '../../internal/crypto.js';
import * as der from '../../internal/der.js';
import { P256_COORDINATE, P256_SPKI_HEAD } from '../../internal/p256-spki.js';
import { readKeyKind } from './key-kind.js';
import { readSignatureAlgorithm, verifySignature } from './signature.js';

/** PKCS#9, RFC 2985 §5.4.2: what extensions the certificate is to have. */
export const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
export const SUBJECT_ALT_NAME = '2.5.29.17';

/** What a certificate request asks for. */
export interface CertificateRequest {
  /** The one name that it asks for, as it is written. */
  readonly uri: string;
  /** The key to certify, as a SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  readonly publicKey: KeyObject;
}

/**
 * Reads a PKCS#10 request (RFC 2986) that asks for an X.509-SVID and for nothing else: an empty subject, one attribute,
 * in it one extension, in that one URI. So what an issuer makes of it cannot depend on how it reads the rest. The key
 * is of a kind that SVIDs have, and has signed the request.
 *
 * @throws DerError with what is wrong.
 */
export function readCertificateRequest(bytes: Uint8Array): CertificateRequest {
  const outer = der.readDer(bytes, der.SEQUENCE, 'the request').children();
  const info = outer.take(der.SEQUENCE, 'the signed part');
  const algorithm = readSignatureAlgorithm(outer.take(der.SEQUENCE, 'the signature algorithm'));
  const signature = der.readOctetBits(outer.take(der.BIT_STRING, 'the signature'), 'the signature');
  outer.finish('the request');

  const reader = info.children();
  const version = reader.take(der.INTEGER, 'the version');
  if (der.readCount(version, 'the version') !== 0)
    throw new der.DerError('the request is of no known version');
  if (reader.take(der.SEQUENCE, 'the subject').length !== 0)
    throw new der.DerError('the subject is not empty: an SVID is named by its URI alone');
  const key = reader.take(der.SEQUENCE, 'the public key');
  const uri = readOnlyUri(reader.take(der.context(0), 'the attributes'));
  reader.finish('the signed part');

  const kind = readKeyKind(key);
  if (kind === undefined)
    throw new der.DerError('the key is none of RSA from 2048 bits, P-256, P-384, P-521');
  const publicKey = readKey(key.whole);
  if (
    algorithm === undefined ||
    !verifySignature(algorithm, kind, publicKey, info.whole, signature)
  )
    throw new der.DerError('the request is not signed by the key that it holds');
  return { uri, spki: key.whole, publicKey };
}

const P_256 = Buffer.from(P256_SPKI_HEAD, 'hex');

function readKey(spki: Uint8Array): KeyObject {
  const key = Buffer.from(spki);
  try {
    if (key.length === P_256.length + 2 * P256_COORDINATE && key.indexOf(P_256) === 0) {
      // OpenSSL reads a point in half the time that it takes to find out what DER is.
      const x = key.toString('base64url', P_256.length, P_256.length + P256_COORDINATE);
      const y = key.toString('base64url', P_256.length + P256_COORDINATE);
      return nodeCrypto().createPublicKey({
        key: { kty: 'EC', crv: 'P-256', x, y },
        format: 'jwk',
      });
    }
    return nodeCrypto().createPublicKey({ key, format: 'der', type: 'spki' });
  } catch {
    throw new der.DerError('the public key is broken');
  }
}

function readOnlyUri(attributes: der.Der): string {
  const attribute = only(attributes, der.SEQUENCE, 'the attributes').children();
  const type = der.readOid(attribute.take(der.OID, 'an attribute'), 'an attribute');
  if (type !== EXTENSION_REQUEST)
    throw new der.DerError(`there is an attribute ${type}; only extensions are asked for`);
  const values = attribute.take(0x31, 'the values of the attribute');
  attribute.finish('the attribute');
  const extensions = only(values, der.SEQUENCE, 'the extensions');
  const extension = only(extensions, der.SEQUENCE, 'the extensions').children();
  const oid = der.readOid(extension.take(der.OID, 'an extension id'), 'an extension id');
  if (oid !== SUBJECT_ALT_NAME)
    throw new der.DerError(`there is an extension ${oid}; only one URI is asked for`);
  const flag = extension.optional(der.BOOLEAN, 'the critical flag');
  if (flag !== undefined) der.readBoolean(flag, 'the critical flag');
  const value = extension.take(der.OCTET_STRING, 'the subject alternative name');
  extension.finish('the extension');
  const names = only(value, der.SEQUENCE, 'the subject alternative name').children();
  const uri = names.any('the subject alternative name');
  if (uri.tag !== der.context(6, false))
    throw new der.DerError('it asks for a name that is no URI: a DNS name, an address, a mailbox');
  if (!names.done) throw new der.DerError('it asks for more names than one URI');
  return Buffer.from(uri.content).toString('latin1');
}

/** What stands alone inside another element. */
function only(element: der.Der, tag: number, what: string): der.Der {
  const reader = element.children();
  const found = reader.take(tag, what);
  reader.finish(what);
  return found;
}
