import type { KeyObject } from 'node:crypto';
import { SpiffeError } from '../../errors.js';
import { nodeCrypto } from '../../internal/crypto.js';
import * as der from '../../internal/der.js';
import type { SpiffeId } from '../spiffe-id.js';
import { Certificate, KEY_CERT_SIGN } from './certificate.js';
import { leafId } from './leaf.js';

/**
 * An X.509-SVID of our own: certificates and the private key that belongs to them. Immutable. The key is reached by
 * {@link X509Svid.privateKey} alone; `JSON.stringify`, `util.inspect` and loggers never show it.
 */
export class X509Svid {
  readonly id: SpiffeId;
  /** What the issuer says the identity is for; empty when it says nothing. */
  readonly hint: string;
  /** DER certificates, the leaf first. */
  readonly certificates: readonly Uint8Array[];
  /** The leaf's serial number in hexadecimal. */
  readonly serialNumber: string;
  readonly #key: KeyObject;
  readonly #notBefore: number;
  readonly #notAfter: number;

  private constructor(
    id: SpiffeId,
    chain: readonly Certificate[],
    leaf: Certificate,
    key: KeyObject,
    hint: string,
  ) {
    this.id = id;
    this.hint = hint;
    this.certificates = Object.freeze(chain.map((certificate) => certificate.der));
    // Without the octet that only keeps a DER integer positive: the form that OpenSSL and SPIRE print.
    this.serialNumber = Buffer.from(leaf.serialNumber)
      .toString('hex')
      .replace(/^00(?=.)/, '');
    this.#key = key;
    this.#notBefore = leaf.notBefore;
    this.#notAfter = leaf.notAfter;
    Object.freeze(this);
  }

  /**
   * Takes an SVID in the form of the Workload API and holds it to the same rules as a peer's (X509-SVID §2 to §5);
   * whether it is valid now and whom it chains to is for the one who verifies it.
   *
   * @param certificates - DER certificates one after another, the leaf first.
   * @param key - the leaf's private key, PKCS#8 DER without encryption.
   * @throws SpiffeError `ERR_SPIFFE_X509_SVID_INVALID`; its message and cause never hold the key.
   */
  static fromDer(
    certificates: Uint8Array,
    key: Uint8Array,
    options: { readonly hint?: string } = {},
  ): X509Svid {
    const { id, leaf, chain } = readChain(certificates);
    const privateKey = readKey(key, id);
    if (!belongs(privateKey, publicKeyOf(leaf, id)))
      throw invalid(`the private key does not belong to the leaf of ${id} (WLA-19)`);
    return new X509Svid(id, chain, leaf, privateKey, options.hint ?? '');
  }

  /**
   * The same for a key that was made in this process, whose public half is known by its bytes: to read keys of unknown
   * origin takes longer than all else.
   *
   * @param spki - the SubjectPublicKeyInfo of `key`.
   * @internal
   */
  static forKey(certificates: Uint8Array, key: KeyObject, spki: Uint8Array): X509Svid {
    const { id, leaf, chain } = readChain(certificates);
    if (Buffer.compare(leaf.spki, spki) !== 0)
      throw invalid(`the leaf of ${id} is for another key (WLA-19)`);
    return new X509Svid(id, chain, leaf, key, '');
  }

  /** The leaf is valid from this instant, included. Each call gives a Date of its own, since none can be frozen. */
  get notBefore(): Date {
    return new Date(this.#notBefore);
  }

  /** The leaf is valid to this instant, included. */
  get notAfter(): Date {
    return new Date(this.#notAfter);
  }

  /** The private key. Whoever has it is this workload. */
  get privateKey(): KeyObject {
    return this.#key;
  }

  /** What is worth a line in a log: neither the key nor the certificates. */
  toJSON(): Record<'id' | 'hint' | 'serialNumber' | 'notBefore' | 'notAfter', string> {
    return {
      id: this.id.toString(),
      hint: this.hint,
      serialNumber: this.serialNumber,
      notBefore: this.notBefore.toISOString(),
      notAfter: this.notAfter.toISOString(),
    };
  }
}

/** Certificates that are an X.509-SVID's by all but the key. */
function readChain(certificates: Uint8Array): {
  readonly id: SpiffeId;
  readonly leaf: Certificate;
  readonly chain: readonly Certificate[];
} {
  const chain = decodeChain(certificates);
  const leaf = chain[0];
  if (leaf === undefined) throw invalid('there is no certificate');
  const id = leafId(leaf);
  // X509-SVID §3.2 and §4.3: what is presented beyond the leaf are signing certificates.
  if (!chain.slice(1).every(maySign))
    throw invalid(`a certificate of ${id} beyond the leaf is not a CA's (X509-10)`);
  return { id, leaf, chain };
}

function decodeChain(certificates: Uint8Array): Certificate[] {
  try {
    return Certificate.decodeAll(Uint8Array.from(certificates));
  } catch (cause) {
    throw invalid(
      `the bytes are not DER certificates one after another: ${(cause as Error).message}`,
      cause,
    );
  }
}

function publicKeyOf(leaf: Certificate, id: SpiffeId): KeyObject {
  try {
    return leaf.publicKey;
  } catch (cause) {
    throw invalid(`the public key of the leaf of ${id} is broken`, cause);
  }
}

function maySign({ ca, keyUsage = 0 }: Certificate): boolean {
  return ca && (keyUsage & KEY_CERT_SIGN) !== 0;
}

const PROBE = Buffer.from('agent-spiffe');

/** Shown by a signature: OpenSSL believes the public half that is written beside a private one. */
function belongs(privateKey: KeyObject, publicKey: KeyObject): boolean {
  try {
    return nodeCrypto().verify(
      'sha256',
      PROBE,
      publicKey,
      nodeCrypto().sign('sha256', PROBE, privateKey),
    );
  } catch {
    return false;
  }
}

/** PKCS#8 DER and nothing behind it; Node itself would read PEM as well, and ignore what follows. */
function readKey(bytes: Uint8Array, id: SpiffeId): KeyObject {
  try {
    der.readDer(bytes, der.SEQUENCE, 'the private key');
    return nodeCrypto().createPrivateKey({ key: Buffer.from(bytes), format: 'der', type: 'pkcs8' });
  } catch {
    // The cause is left out: it was made from the key's bytes.
    throw invalid(`the private key of ${id} is not unencrypted PKCS#8 DER (WLA-17)`);
  }
}

function invalid(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_X509_SVID_INVALID', `cannot use an X.509-SVID: ${why}`, {
    cause,
  });
}
