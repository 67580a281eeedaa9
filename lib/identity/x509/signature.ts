import type { KeyObject, VerifyKeyObjectInput } from 'node:crypto';
import { nodeCrypto } from '../../internal/crypto.js';
import * as der from '../../internal/der.js';
import type { KeyKind } from './key-kind.js';

/** How a certificate is signed: the digest, the kind of key that can have made it, and what OpenSSL must be told. */
export interface SignatureAlgorithm {
  readonly digest: 'sha256' | 'sha384' | 'sha512';
  readonly keyKind: KeyKind;
  readonly saltLength?: number;
}

const EC = (digest: SignatureAlgorithm['digest']): SignatureAlgorithm => ({
  digest,
  keyKind: 'ec',
});
const RSA = (digest: SignatureAlgorithm['digest']): SignatureAlgorithm => ({
  digest,
  keyKind: 'rsa',
});

const ALGORITHMS: ReadonlyMap<string, SignatureAlgorithm> = new Map([
  ['1.2.840.10045.4.3.2', EC('sha256')],
  ['1.2.840.10045.4.3.3', EC('sha384')],
  ['1.2.840.10045.4.3.4', EC('sha512')],
  ['1.2.840.113549.1.1.11', RSA('sha256')],
  ['1.2.840.113549.1.1.12', RSA('sha384')],
  ['1.2.840.113549.1.1.13', RSA('sha512')],
]);
const PSS = '1.2.840.113549.1.1.10';
const MGF1 = '1.2.840.113549.1.1.8';
const DIGESTS: ReadonlyMap<string, SignatureAlgorithm['digest']> = new Map([
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
]);

/** The algorithm that an AlgorithmIdentifier names; `undefined` for one that is not accepted, SHA-1 among them. */
export function readSignatureAlgorithm(element: der.Der): SignatureAlgorithm | undefined {
  const reader = element.children();
  const oid = der.readOid(
    reader.take(der.OID, 'the signature algorithm'),
    'the signature algorithm',
  );
  if (oid === PSS) return readPss(reader);
  const algorithm = ALGORITHMS.get(oid);
  if (algorithm === undefined) return undefined;
  // RFC 5758 §3.2: ECDSA has no parameters.
  if (algorithm.keyKind === 'rsa') finishRsa(reader, 'the signature algorithm');
  else reader.finish('the signature algorithm');
  return algorithm;
}

/** RFC 4055 §2.1 and §5: the parameters are NULL, and one must accept that they are left out. */
function finishRsa(reader: der.DerReader, what: string): void {
  const parameters = reader.optional(der.NULL, what);
  if (parameters !== undefined && parameters.length !== 0)
    throw new der.DerError(`${what} has a NULL with content`);
  reader.finish(what);
}

/** RFC 4055 §3.1. The defaults are SHA-1, so digest, mask and salt must all be said. */
function readPss(reader: der.DerReader): SignatureAlgorithm | undefined {
  const parameters = reader.take(der.SEQUENCE, 'the PSS parameters').children();
  reader.finish('the signature algorithm');
  const hash = parameters.optional(der.context(0), 'the PSS digest');
  const mask = parameters.optional(der.context(1), 'the PSS mask');
  const salt = parameters.optional(der.context(2), 'the PSS salt length');
  if (hash === undefined || mask === undefined || salt === undefined || !parameters.done)
    return undefined;
  const digest = readDigest(only(hash, der.SEQUENCE, 'the PSS digest'));
  const generator = only(mask, der.SEQUENCE, 'the PSS mask').children();
  const isMgf1 = der.readOid(generator.take(der.OID, 'the PSS mask'), 'the PSS mask') === MGF1;
  const maskDigest = readDigest(generator.take(der.SEQUENCE, 'the PSS mask digest'));
  generator.finish('the PSS mask');
  const length = only(salt, der.INTEGER, 'the PSS salt length');
  const saltLength = der.readCount(length, 'the PSS salt length');
  if (digest === undefined || !isMgf1 || maskDigest !== digest) return undefined;
  return { digest, keyKind: 'rsa', saltLength };
}

/** What stands alone inside an explicit tag. */
function only(element: der.Der, tag: number, what: string): der.Der {
  return der.readDer(element.content, tag, what);
}

function readDigest(element: der.Der): SignatureAlgorithm['digest'] | undefined {
  const reader = element.children();
  const digest = DIGESTS.get(der.readOid(reader.take(der.OID, 'a digest'), 'a digest'));
  if (digest !== undefined) finishRsa(reader, 'a digest');
  return digest;
}

/** Whether `key` made `signature` over `data`. A key of another kind than the algorithm's never did. */
export function verifySignature(
  algorithm: SignatureAlgorithm,
  kind: KeyKind,
  key: KeyObject,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (kind !== algorithm.keyKind) return false;
  const input: VerifyKeyObjectInput = { key };
  if (algorithm.saltLength !== undefined) {
    // RFC 8017 §8.1.2, step 1: it is as long as the modulus. OpenSSL lets it lose its zeros.
    const { modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
    if (signature.length !== Math.ceil(modulusLength / 8)) return false;
    input.padding = nodeCrypto().constants.RSA_PKCS1_PSS_PADDING;
    input.saltLength = algorithm.saltLength;
  }
  return nodeCrypto().verify(algorithm.digest, data, input, signature);
}
