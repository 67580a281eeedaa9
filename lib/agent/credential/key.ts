import { createECDH, createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { SpiffeError } from '../../errors.js';
import type { SpiffeId } from '../../identity/spiffe-id.js';
import { EXTENSION_REQUEST, SUBJECT_ALT_NAME } from '../../identity/x509/certificate-request.js';
import { X509Svid } from '../../identity/x509/svid.js';
import * as der from '../../internal/der-writer.js';
import { P256_COORDINATE, P256_SPKI_HEAD } from '../../internal/p256-spki.js';

const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const CRITICAL = Buffer.of(0x01, 0x01, 0xff);
const OCTET_STRING = 0x04;

const SPKI_HEAD = Buffer.from(P256_SPKI_HEAD, 'hex');

/**
 * The key that a task's SVID certifies: made for the one task, and gone with it. P-256, since SPIRE
 * certifies an Ed25519 key too, but our verifier takes no such leaf; and a key of its own beside the one that signs, since a key that
 * TLS uses should sign nothing else.
 */
export class CredentialKey {
  readonly #spki: Uint8Array;
  #key: KeyObject | undefined;

  constructor() {
    // Not by generateKeyPairSync and DER: OpenSSL takes ten times as long to find out what it has just written.
    const pair = createECDH('prime256v1');
    const point = pair.generateKeys();
    // It comes without the zeros that it begins with.
    const secret = Buffer.alloc(P256_COORDINATE);
    const scalar = pair.getPrivateKey();
    scalar.copy(secret, P256_COORDINATE - scalar.length);
    const x = point.toString('base64url', 1, 1 + P256_COORDINATE);
    const y = point.toString('base64url', 1 + P256_COORDINATE);
    const d = secret.toString('base64url');
    secret.fill(0);
    scalar.fill(0);
    this.#key = createPrivateKey({ key: { kty: 'EC', crv: 'P-256', x, y, d }, format: 'jwk' });
    // The head holds the octet that says that the point is whole.
    this.#spki = Buffer.concat([SPKI_HEAD, point.subarray(1)]);
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
      der.octetBits(sign('sha256', info, this.#private())),
    );
  }

  /** @throws SpiffeError `ERR_SPIFFE_X509_SVID_INVALID` also when the leaf is not for this key. */
  svid(certificates: readonly Uint8Array[]): X509Svid {
    return X509Svid.forKey(Buffer.concat(certificates), this.#private(), this.#spki);
  }

  /** Lets go of the private half. Whoever holds an SVID made with it holds it still. */
  destroy(): void {
    this.#key = undefined;
  }

  #private(): KeyObject {
    if (this.#key !== undefined) return this.#key;
    throw new SpiffeError(
      'ERR_SPIFFE_TASK_ENDED',
      'cannot use the key of a credential whose task has ended: it is gone',
    );
  }
}
