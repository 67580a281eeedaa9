import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { publicKeyInfo, writeExtension } from '#lib/testing/certificate.js';
import { bitString, element, integer, objectIdentifier, sequence, set } from '#lib/testing/der.js';
import { type Extension, subjectAltName } from '#lib/testing/extensions.js';
import { makeKey } from '#lib/testing/keys.js';
import { algorithmFor, algorithmIdentifier, signWith } from '#lib/testing/signature.js';

/** A PKCS#10 request as a test wants it; what is left out is as it should be. */
export interface RequestParts {
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly Uint8Array[];
  readonly mailboxes?: readonly string[];
  readonly subject?: Uint8Array;
  readonly version?: number;
  /** Beside the names. */
  readonly extensions?: readonly Extension[];
  /** Beside the extensions, already written. */
  readonly attributes?: readonly Uint8Array[];
  /** The key that the request holds, as a private key. */
  readonly key?: KeyObject;
  /** In place of the public half of `key`. */
  readonly publicKey?: Uint8Array;
  /** The key that signs, when it is another one. */
  readonly signingKey?: KeyObject;
  readonly tail?: Uint8Array;
}

const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';

/** Writes a certificate request by other code than the agent's. */
export function craftRequest(parts: RequestParts): Uint8Array {
  const { uris = [], dnsNames = [], ipAddresses = [], mailboxes = [] } = parts;
  const { key = makeKey('ec-p256'), extensions = [], attributes = [] } = parts;
  const names = subjectAltName({ uris, dnsNames, ipAddresses });
  const withMailboxes: Extension =
    mailboxes.length === 0
      ? names
      : {
          ...names,
          value: sequence(
            ...uris.map((uri) => element(0x86, Buffer.from(uri))),
            ...mailboxes.map((mailbox) => element(0x81, Buffer.from(mailbox))),
          ),
        };
  const asked = sequence(...[withMailboxes, ...extensions].map(writeExtension));
  const info = sequence(
    integer(parts.version ?? 0),
    parts.subject ?? sequence(),
    parts.publicKey ?? publicKeyInfo(createPublicKey(key)),
    element(0xa0, sequence(objectIdentifier(EXTENSION_REQUEST), set(asked)), ...attributes),
  );
  const signingKey = parts.signingKey ?? key;
  return sequence(info, ...signatureOf(info, signingKey), parts.tail ?? Buffer.alloc(0));
}

function signatureOf(info: Uint8Array, key: KeyObject): readonly Uint8Array[] {
  // RFC 8410 §3: no parameters.
  if (key.asymmetricKeyType === 'ed25519')
    return [sequence(objectIdentifier('1.3.101.112')), bitString(sign(null, info, key))];
  const algorithm = algorithmFor(key);
  return [algorithmIdentifier(algorithm), bitString(signWith(algorithm, info, key))];
}
