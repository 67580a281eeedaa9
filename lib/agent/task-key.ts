import { generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto';
import { SpiffeError } from '../errors.js';

/** The public half of a task's key. */
export interface TaskPublicJwk {
  readonly crv: 'Ed25519';
  readonly kty: 'OKP';
  readonly x: string;
}

/** RFC 8410 4: the key itself is the last 32 bytes of an Ed25519 SubjectPublicKeyInfo. */
const RAW_LENGTH = 32;

/**
 * The public half as bytes, the private one never: it is not written down, not even in this process. Node does this; its
 * types know only both or neither. Exporting afterwards costs more, and Node 20 can deadlock in it on a new key.
 */
const generate = generateKeyPairSync as unknown as (
  type: 'ed25519',
  options: { readonly publicKeyEncoding: { readonly type: 'spki'; readonly format: 'der' } },
) => { readonly publicKey: Buffer; readonly privateKey: KeyObject };

/** The key of one task: made with it, gone with it, never outside the process. */
export class TaskKey {
  readonly publicJwk: TaskPublicJwk;
  /** RFC 7638, SHA-256, base64url. */
  readonly thumbprint: string;
  #key: KeyObject | undefined;

  constructor() {
    const { publicKey, privateKey } = generate('ed25519', {
      publicKeyEncoding: { type: 'spki', format: 'der' },
    });
    const x = publicKey.subarray(-RAW_LENGTH).toString('base64url');
    this.publicJwk = Object.freeze({ crv: 'Ed25519', kty: 'OKP', x });
    // RFC 7638 3.2: the required members alone, in this order.
    const members = JSON.stringify(this.publicJwk);
    this.thumbprint = hash('sha256', members, 'base64url');
    this.#key = privateKey;
  }

  /** The Ed25519 signature (RFC 8032) of these bytes. @throws SpiffeError `ERR_SPIFFE_TASK_ENDED` */
  sign(data: Uint8Array): Uint8Array {
    if (this.#key === undefined) {
      throw new SpiffeError(
        'ERR_SPIFFE_TASK_ENDED',
        'cannot sign with the key of a task that has ended: it is gone',
      );
    }
    return sign(null, data, this.#key);
  }

  /** Lets go of the private half. @internal */
  destroy(): void {
    this.#key = undefined;
  }
}
