import * as der from '../../internal/der.js';

const RSA = '1.2.840.113549.1.1.1';
const RSA_PSS = '1.2.840.113549.1.1.10';
const EC = '1.2.840.10045.2.1';
const CURVES: ReadonlySet<string> = new Set([
  '1.2.840.10045.3.1.7',
  '1.3.132.0.34',
  '1.3.132.0.35',
]);
const FEWEST_RSA_BITS = 2048;
/** More, in modulus or exponent, would let a stranger's certificates cost tens of milliseconds each to check. */
const MOST_RSA_BITS = 8192;
const MOST_EXPONENT_OCTETS = 4;

/** Which signatures a key can make. A key for PSS alone (RFC 4055 §1.2) makes none of PKCS#1: OpenSSL sees to that. */
export type KeyKind = 'ec' | 'rsa';

/**
 * The kind of a SubjectPublicKeyInfo; `undefined` for one that is not accepted: other algorithms and curves, RSA
 * below 2048 or above 8192 bits or with an exponent above 32.
 */
export function readKeyKind(spki: der.Der): KeyKind | undefined {
  const reader = spki.children();
  const algorithm = reader.take(der.SEQUENCE, 'the key algorithm').children();
  const bits = der.readOctetBits(reader.take(der.BIT_STRING, 'the key'), 'the key');
  reader.finish('the public key');
  const oid = der.readOid(algorithm.take(der.OID, 'the key algorithm'), 'the key algorithm');
  if (oid === EC) {
    // RFC 5480 §2.1.1: a named curve; parameters written out in full are not used with certificates.
    const curve = algorithm.optional(der.OID, 'the curve');
    if (curve === undefined || !CURVES.has(der.readOid(curve, 'the curve'))) return undefined;
    algorithm.finish('the key algorithm');
    return 'ec';
  }
  if (oid !== RSA && oid !== RSA_PSS) return undefined;
  const key = der.readDer(bits, der.SEQUENCE, 'the RSA key').children();
  const modulus = der.readUnsigned(key.take(der.INTEGER, 'the RSA modulus'), 'the RSA modulus');
  const exponent = der.readUnsigned(key.take(der.INTEGER, 'the RSA exponent'), 'the RSA exponent');
  key.finish('the RSA key');
  const size = modulus.length * 8 - (Math.clz32(modulus[0] as number) - 24);
  if (size < FEWEST_RSA_BITS || size > MOST_RSA_BITS) return undefined;
  if (exponent.length > MOST_EXPONENT_OCTETS) return undefined;
  return 'rsa';
}
