import { constants, type KeyObject, sign } from 'node:crypto';
import { element, integer, nothing, objectIdentifier, sequence } from './der.js';

type Hash = 'sha256' | 'sha384' | 'sha512';

/** How a certificate is signed. */
export type SignatureAlgorithm = `${'ecdsa' | 'rsa' | 'rsa-pss'}-${Hash}`;

const HASHES: Readonly<Record<Hash, { oid: string; octets: number; rsa: string; ecdsa: string }>> =
  {
    sha256: {
      oid: '2.16.840.1.101.3.4.2.1',
      octets: 32,
      rsa: '1.2.840.113549.1.1.11',
      ecdsa: '1.2.840.10045.4.3.2',
    },
    sha384: {
      oid: '2.16.840.1.101.3.4.2.2',
      octets: 48,
      rsa: '1.2.840.113549.1.1.12',
      ecdsa: '1.2.840.10045.4.3.3',
    },
    sha512: {
      oid: '2.16.840.1.101.3.4.2.3',
      octets: 64,
      rsa: '1.2.840.113549.1.1.13',
      ecdsa: '1.2.840.10045.4.3.4',
    },
  };

const CURVE_HASH: Readonly<Record<string, Hash>> = {
  prime256v1: 'sha256',
  secp384r1: 'sha384',
  secp521r1: 'sha512',
};

/** The algorithm that fits a key: ECDSA with the hash of the curve's size, else RSA PKCS#1 or PSS with SHA-256. */
export function algorithmFor(key: KeyObject): SignatureAlgorithm {
  if (key.asymmetricKeyType === 'rsa') return 'rsa-sha256';
  if (key.asymmetricKeyType === 'rsa-pss') return 'rsa-pss-sha256';
  return `ecdsa-${CURVE_HASH[key.asymmetricKeyDetails?.namedCurve ?? ''] ?? 'sha256'}`;
}

function hashOf(algorithm: SignatureAlgorithm): Hash {
  if (algorithm.endsWith('sha256')) return 'sha256';
  return algorithm.endsWith('sha384') ? 'sha384' : 'sha512';
}

/** The AlgorithmIdentifier as DER (RFC 5758 §3.2: ECDSA without parameters; RFC 4055 §3 and §5 for RSA). */
export function algorithmIdentifier(algorithm: SignatureAlgorithm): Uint8Array {
  const hash = HASHES[hashOf(algorithm)];
  if (algorithm.startsWith('ecdsa')) return sequence(objectIdentifier(hash.ecdsa));
  if (!algorithm.startsWith('rsa-pss')) return sequence(objectIdentifier(hash.rsa), nothing());
  const hashId = sequence(objectIdentifier(hash.oid), nothing());
  return sequence(
    objectIdentifier('1.2.840.113549.1.1.10'),
    sequence(
      element(0xa0, hashId),
      element(0xa1, sequence(objectIdentifier('1.2.840.113549.1.1.8'), hashId)),
      element(0xa2, integer(hash.octets)),
    ),
  );
}

/** Signs `data`; an ECDSA signature comes as DER, as X.509 wants it. */
export function signWith(
  algorithm: SignatureAlgorithm,
  data: Uint8Array,
  key: KeyObject,
): Uint8Array {
  const hash = hashOf(algorithm);
  if (algorithm.startsWith('rsa-pss')) {
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    return sign(hash, data, { key, padding, saltLength: HASHES[hash].octets });
  }
  return sign(hash, data, key);
}
