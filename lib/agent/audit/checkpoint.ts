import type { KeyObject } from 'node:crypto';
import { decodeBase64, type Note, parseNote, signNote, type VerifierKey } from './note.js';
import { bytesOf, HASH_BYTES, type Hash, hashOf } from './tree.js';

/** C2SP tlog-checkpoint: what a log says about all of its entries so far. */
export interface Checkpoint {
  /** Names the log. */
  readonly origin: string;
  /** The number of entries. */
  readonly size: number;
  /** The root of their tree. */
  readonly root: Hash;
}

/** A checkpoint with the note that carries it. */
export interface SignedCheckpoint extends Checkpoint {
  readonly note: Note;
  /** The whole note, as it was read. */
  readonly signed: string;
}

const SIZE = /^(?:0|[1-9][0-9]{0,15})$/;

/** The signed note of a checkpoint: five lines. */
export function signCheckpoint(
  { origin, size, root }: Checkpoint,
  key: VerifierKey,
  privateKey: KeyObject,
): string {
  return signNote(`${origin}\n${size}\n${bytesOf(root).toString('base64')}\n`, key, privateKey);
}

/** Reads a checkpoint; `undefined` when it is none. Extension lines are let be, as C2SP tlog-checkpoint has them. */
export function parseCheckpoint(signed: string): SignedCheckpoint | undefined {
  const note = parseNote(signed);
  const [origin = '', size = '', hash = '', ...extensions] =
    note?.text.slice(0, -1).split('\n') ?? [];
  const root = decodeBase64(hash);
  if (
    note === undefined ||
    origin === '' ||
    !SIZE.test(size) ||
    !Number.isSafeInteger(Number(size))
  )
    return undefined;
  if (root?.length !== HASH_BYTES || extensions.includes('')) return undefined;
  return { origin, size: Number(size), root: hashOf(root), note, signed };
}
