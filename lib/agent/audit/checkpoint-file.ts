import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseCheckpoint, type SignedCheckpoint } from './checkpoint.js';
import { CHECKPOINTS } from './layout.js';

const NEWLINE = 0x0a;
const SIGNATURE = Buffer.from('— ');

/** What stands in the file of checkpoints where a note should. */
export interface CheckpointEntry {
  /** `undefined` when it is no checkpoint. */
  readonly checkpoint: SignedCheckpoint | undefined;
  /** Counted from 1. */
  readonly number: number;
  /** Its first line, counted from 1. */
  readonly line: number;
}

/** The file of checkpoints, read once and gone through note by note. */
export class CheckpointFile {
  readonly #bytes: Buffer;
  #position = 0;
  #line = 1;
  #number = 0;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  static async read(directory: string): Promise<CheckpointFile> {
    try {
      return new CheckpointFile(await readFile(join(directory, CHECKPOINTS)));
    } catch (error) {
      // A log that was just begun has none.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return new CheckpointFile(Buffer.alloc(0));
    }
  }

  /** How many bytes have been gone through: where a torn note begins, once {@link next} gives no more. */
  get position(): number {
    return this.#position;
  }

  /** Whether the file ends with part of a note: the writer was killed, or the file was cut. */
  get torn(): boolean {
    return this.#position < this.#bytes.length;
  }

  /** The next note; `undefined` when there is no complete one any more. */
  next(): CheckpointEntry | undefined {
    const end = this.#endOfNote();
    if (end === undefined) return undefined;
    const text = this.#bytes.toString('utf8', this.#position, end);
    const entry = {
      checkpoint: parseCheckpoint(text),
      number: ++this.#number,
      line: this.#line,
    };
    this.#line += text.split('\n').length - 1;
    this.#position = end;
    return entry;
  }

  /** A note ends with the last of its signature lines; of one that is not complete there is no end. */
  #endOfNote(): number | undefined {
    let end: number | undefined;
    for (let start = this.#position; start < this.#bytes.length; ) {
      const newline = this.#bytes.indexOf(NEWLINE, start);
      const signature = this.#bytes.subarray(start, start + SIGNATURE.length).equals(SIGNATURE);
      if (end !== undefined && !signature) return end;
      if (newline < 0) return undefined;
      if (signature) end = newline + 1;
      start = newline + 1;
    }
    return end;
  }
}
