import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { SpiffeId } from '../../identity/spiffe-id.js';
import { EXTENSION_REQUEST, SUBJECT_ALT_NAME } from '../../identity/x509/certificate-request.js';
import { X509Svid } from '../../identity/x509/svid.js';
import * as der from '../../internal/der-writer.js';

const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const CRITICAL = Buffer.of(0x01, 0x01, 0xff);
const OCTET_STRING = 0x04;

/**
 * The key that a task's SVID certifies: made for the one task, and gone with it. P-256, since few verifiers of SVIDs take
 * an Ed25519 leaf, this library's among them; and a key of its own beside the one that signs, since a key that
 * TLS uses should sign nothing else.
 */
export class CredentialKey {
  readonly #spki: Buffer;
  readonly #pkcs8: Buffer;
  readonly #key: KeyObject;

  constructor() {
    // As DER: Node 20 can deadlock when a key that comes straight from the generator is exported.
    const { publicKey, privateKey } = generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      publicKeyEncoding: { type: 'spki', format: 'der' },
      privateKeyEncoding: { type: 'pkcs8', format: 'der' },
    });
    this.#spki = publicKey;
    this.#pkcs8 = privateKey;
    this.#key = createPrivateKey({ key: privateKey, format: 'der', type: 'pkcs8' });
  }

  /** A PKCS#10 request (RFC 2986) for an SVID of this ID, and for nothing else. */
  request(id: SpiffeId): Uint8Array {
    const uri = der.tagged(6, false, Buffer.from(id.toString()));
    // RFC 5280 §4.2.1.6: critical, since the subject is empty.
    const name = der.sequence(
      der.objectIdentifier(SUBJECT_ALT_NAME),
      CRITICAL,
      der.element(OCTET_STRING, der.sequence(uri)),
    );
    const attribute = der.sequence(
      der.objectIdentifier(EXTENSION_REQUEST),
      der.element(der.SET, der.sequence(name)),
    );
    const info = der.sequence(
      der.smallInteger(0),
      der.sequence(),
      this.#spki,
      der.tagged(0, true, attribute),
    );
    return der.sequence(
      info,
      der.sequence(der.objectIdentifier(ECDSA_WITH_SHA256)),
      der.octetBits(sign('sha256', info, this.#key)),
    );
  }

  /** @throws SpiffeError `ERR_SPIFFE_X509_SVID_INVALID` also when the leaf is not for this key. */
  svid(certificates: readonly Uint8Array[]): X509Svid {
    return X509Svid.fromDer(Buffer.concat(certificates), this.#pkcs8);
  }

  /** Overwrites the private half. Whoever holds an SVID made with it holds it still. */
  destroy(): void {
    this.#pkcs8.fill(0);
  }
}
