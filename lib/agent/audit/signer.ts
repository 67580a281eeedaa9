import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { signCheckpoint } from './checkpoint.js';
import { CHECKPOINTS, HASHES } from './layout.js';
import { VerifierKey } from './note.js';
import { bytesOf, HASH_BYTES, type Hash, leafHashWithin, type MerkleTree } from './tree.js';

const NEWLINE = 0x0a;

/** Where a log's tree and its checkpoints stand. */
export interface SignerStart {
  readonly directory: string;
  readonly origin: string;
  /** Over all records so far. */
  readonly tree: MerkleTree;
  /** How many of them are below a checkpoint. */
  readonly signed: number;
  /** Bytes of the file of checkpoints that hold whole notes. */
  readonly checkpointBytes: number;
}

/**
 * Keeps the tree of a log and signs it, by an Ed25519 key that never leaves the process: whoever gets hold of the files
 * later cannot sign for it.
 */
export class Signer {
  readonly key: VerifierKey;
  readonly #privateKey: KeyObject;
  readonly #origin: string;
  readonly #tree: MerkleTree;
  readonly #checkpoints: FileHandle;
  readonly #hashes: FileHandle;
  /** Written lines whose hashes are not in the tree yet. */
  #lines: Buffer[] = [];
  /** Leaf hashes of records below no checkpoint. */
  #leaves: Hash[] = [];
  #signed: number;
  #checkpointBytes: number;

  private constructor(start: SignerStart, checkpoints: FileHandle, hashes: FileHandle) {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519', {
      publicKeyEncoding: { format: 'der', type: 'spki' },
      privateKeyEncoding: { format: 'der', type: 'pkcs8' },
    });
    this.#privateKey = createPrivateKey({ key: privateKey, format: 'der', type: 'pkcs8' });
    this.key = VerifierKey.of(start.origin, publicKey);
    this.#origin = start.origin;
    this.#tree = start.tree;
    this.#signed = start.signed;
    this.#checkpointBytes = start.checkpointBytes;
    this.#checkpoints = checkpoints;
    this.#hashes = hashes;
  }

  static async open(start: SignerStart): Promise<Signer> {
    const checkpoints = await openForWriting(join(start.directory, CHECKPOINTS));
    try {
      return new Signer(start, checkpoints, await openForWriting(join(start.directory, HASHES)));
    } catch (error) {
      await checkpoints.close();
      throw error;
    }
  }

  /** The number of records below the last checkpoint. */
  get signed(): number {
    return this.#signed;
  }

  /** Takes lines that were written, each with its newline, after one byte that is nobody's; hashes them when told to. */
  take(lines: Buffer): void {
    this.#lines.push(lines);
  }

  /** Brings the tree up to what was taken. */
  hash(): void {
    for (const lines of this.#lines.splice(0)) {
      for (let start = 1; start < lines.length; ) {
        const end = lines.indexOf(NEWLINE, start);
        const leaf = leafHashWithin(lines, start, end);
        this.#tree.append(leaf);
        this.#leaves.push(leaf);
        start = end + 1;
      }
    }
  }

  /** Signs what was taken so far; durable when it resolves. One at a time. */
  async sign(): Promise<void> {
    if ((await this.#checkpoints.stat()).nlink === 0) throw new Error(`${CHECKPOINTS} was deleted`);
    // From here to the first write the tree stands still.
    this.hash();
    const { size } = this.#tree;
    if (size === this.#signed) return;
    const checkpoint = { origin: this.#origin, size, root: this.#tree.root() };
    const note = Buffer.from(signCheckpoint(checkpoint, this.key, this.#privateKey));
    const leaves = this.#leaves.slice();
    // One that was cut off by an error is overwritten by the next, which is no shorter.
    await writeAll(this.#checkpoints, note, this.#checkpointBytes);
    await this.#checkpoints.datasync();
    this.#checkpointBytes += note.length;
    this.#leaves = this.#leaves.slice(leaves.length);
    this.#signed = size;
    await this.#keepHashes(leaves, size);
  }

  async close(): Promise<void> {
    await Promise.all([this.#checkpoints.close(), this.#hashes.close()]);
  }

  async #keepHashes(leaves: readonly Hash[], size: number): Promise<void> {
    try {
      const position = (size - leaves.length) * HASH_BYTES;
      await writeAll(this.#hashes, bytesOf(...leaves), position);
    } catch {
      // They only help to say where a log was altered; it shows without them, and they are made anew when it is opened.
    }
  }
}

function openForWriting(path: string): Promise<FileHandle> {
  return open(path, constants.O_WRONLY | constants.O_CREAT, 0o600);
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let from = 0; from < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, from, bytes.length - from, position + from);
    from += bytesWritten;
  }
}
