import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';

/** Which kind of key pair is made. */
export type KeyType = 'ec-p256' | 'ec-p384' | 'ec-p521' | 'rsa-2048';

const CURVES = { 'ec-p256': 'P-256', 'ec-p384': 'P-384', 'ec-p521': 'P-521' } as const;

/** Makes a key pair and gives its private half (the public half is derived from it). */
export function makeKey(type: KeyType): KeyObject {
  const privateKeyEncoding = { type: 'pkcs8', format: 'der' } as const;
  const publicKeyEncoding = { type: 'spki', format: 'der' } as const;
  const { privateKey } =
    type === 'rsa-2048'
      ? generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding, publicKeyEncoding })
      : generateKeyPairSync('ec', {
          namedCurve: CURVES[type],
          privateKeyEncoding,
          publicKeyEncoding,
        });
  // Node 20 can deadlock when a key that comes straight from the generator is exported; one that went through DER cannot.
  return createPrivateKey({ key: privateKey, format: 'der', type: 'pkcs8' });
}
