import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto';

/** C2SP signed-note: the type of an Ed25519 signature and key. */
const ED25519 = 0x01;
const KEY_ID_BYTES = 4;
const PUBLIC_KEY_BYTES = 32;
/** RFC 8410: what stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo. */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** C2SP signed-note: not empty, no blank of any kind, no plus. */
const NAME = /^[^\p{White_Space}+\p{Cc}]+$/u;
const VERIFIER_KEY = /^([^\p{White_Space}+\p{Cc}]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/u;
/** C2SP signed-note: the text is separated from the signatures by the last empty line. */
const NOTE = /^([^]*\n)\n((?:— [^ \n]+ [^ \n]+\n)+)$/;

/** A key that verifies notes, in the form in which it is passed around: `name+id+key`. */
export class VerifierKey {
  readonly name: string;
  /** Eight hexadecimal digits. */
  readonly id: string;
  readonly text: string;
  readonly #key: KeyObject;

  private constructor(name: string, bytes: Uint8Array) {
    const typed = Buffer.concat([Buffer.of(ED25519), bytes]);
    this.name = name;
    this.id = hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), typed]), 'hex').slice(0, 8);
    this.text = `${name}+${this.id}+${typed.toString('base64')}`;
    const spki = Buffer.concat([SPKI_PREFIX, bytes]);
    this.#key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  }

  /** The key of this name with this SubjectPublicKeyInfo, which is an Ed25519 key's. */
  static of(name: string, spki: Uint8Array): VerifierKey {
    return new VerifierKey(name, spki.subarray(SPKI_PREFIX.length));
  }

  /** Reads the form of C2SP signed-note "Verifier keys"; `undefined` unless it is one of Ed25519 and its id is right. */
  static parse(text: string): VerifierKey | undefined {
    const [, name = '', id, base64 = ''] = VERIFIER_KEY.exec(text) ?? [];
    const bytes = decodeBase64(base64);
    if (bytes?.length !== 1 + PUBLIC_KEY_BYTES || bytes[0] !== ED25519) return undefined;
    const key = new VerifierKey(name, bytes.subarray(1));
    return key.id === id ? key : undefined;
  }

  verify(text: string, signature: Uint8Array): Promise<boolean> {
    // With a callback it runs beside the hashing, in the thread pool.
    return new Promise((resolve, reject) => {
      verify(null, Buffer.from(text), this.#key, signature, (error, valid) => {
        if (error) reject(error);
        else resolve(valid);
      });
    });
  }
}

/** One signature under a note. */
export interface NoteSignature {
  readonly name: string;
  readonly keyId: string;
  readonly bytes: Uint8Array;
}

/** A note as read: a text, and who says to have signed it. */
export interface Note {
  /** Ends with a newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** C2SP signed-note: the text and one signature, by an Ed25519 key. */
export function signNote(text: string, key: VerifierKey, privateKey: KeyObject): string {
  const signature = sign(null, Buffer.from(text), privateKey);
  const line = Buffer.concat([Buffer.from(key.id, 'hex'), signature]).toString('base64');
  return `${text}\n— ${key.name} ${line}\n`;
}

/** Reads a note; `undefined` when it is none. Who signed it is still to be verified. */
export function parseNote(note: string): Note | undefined {
  const [, text = '', lines = ''] = NOTE.exec(note) ?? [];
  const signatures = lines.split('\n').slice(0, -1).map(parseSignature);
  if (signatures.length === 0 || !signatures.every((signature) => signature !== undefined))
    return undefined;
  return { text, signatures };
}

function parseSignature(line: string): NoteSignature | undefined {
  const [, name = '', base64 = ''] = line.split(' ');
  const bytes = decodeBase64(base64);
  if (!NAME.test(name) || bytes === undefined || bytes.length <= KEY_ID_BYTES) return undefined;
  const keyId = bytes.subarray(0, KEY_ID_BYTES).toString('hex');
  return { name, keyId, bytes: bytes.subarray(KEY_ID_BYTES) };
}

/** Whether the note is signed by this key; a signature of the key's that does not verify makes it false. */
export async function isSignedBy(note: Note, key: VerifierKey): Promise<boolean> {
  const own = note.signatures.filter(({ name, keyId }) => name === key.name && keyId === key.id);
  const verdicts = await Promise.all(own.map(({ bytes }) => key.verify(note.text, bytes)));
  return own.length > 0 && verdicts.every(Boolean);
}

/** Standard base64 with its padding (RFC 4648 §4), in its canonical form alone. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}
