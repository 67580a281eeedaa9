import { hash } from 'node:crypto';

/** The length of a hash, SHA-256. */
export const HASH_BYTES = 32;

/**
 * A hash: 32 characters, one a byte. `crypto.hash` makes such a string in half the time of a buffer, and the collector
 * has nothing to do with it beyond the heap.
 */
export type Hash = string;

const LEAF = 0x00;
const NODE = 0x01;
const EMPTY_ROOT: Hash = hash('sha256', Buffer.alloc(0), 'binary');

const node = Buffer.alloc(1 + 2 * HASH_BYTES, NODE);

/** The bytes of hashes, one after another. */
export function bytesOf(...hashes: readonly Hash[]): Buffer {
  return Buffer.from(hashes.join(''), 'latin1');
}

/** The hash that these bytes are. */
export function hashOf(bytes: Buffer): Hash {
  return bytes.toString('latin1');
}

/** RFC 6962 §2.1: the hash of an entry. */
export function leafHash(entry: Uint8Array): Hash {
  return hash('sha256', Buffer.concat([Buffer.of(LEAF), entry]), 'binary');
}

/**
 * The same for an entry that lies in a buffer at `start`, whose byte before it is free to be written for a moment: a
 * copy of each line would cost more than its hash.
 */
export function leafHashWithin(buffer: Buffer, start: number, end: number): Hash {
  const before = buffer[start - 1] as number;
  buffer[start - 1] = LEAF;
  const leaf = hash('sha256', buffer.subarray(start - 1, end), 'binary');
  buffer[start - 1] = before;
  return leaf;
}

/** RFC 6962 §2.1: the hash of two subtrees, the left one complete. */
export function nodeHash(left: Hash, right: Hash): Hash {
  node.write(left, 1, HASH_BYTES, 'latin1');
  node.write(right, 1 + HASH_BYTES, HASH_BYTES, 'latin1');
  return hash('sha256', node, 'binary');
}

/** The Merkle tree of RFC 6962 §2.1 over entries that come one after another; holds one hash for each bit of its size. */
export class MerkleTree {
  #size = 0;
  /** The complete subtrees, the largest first: one for each bit that is set in the size. */
  readonly #subtrees: Hash[] = [];

  /** The number of entries. */
  get size(): number {
    return this.#size;
  }

  append(leaf: Hash): void {
    let subtree = leaf;
    // Each subtree of this size is completed by the new one. A size beyond 2^31 loses no bit: halves are taken.
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) {
      subtree = nodeHash(this.#subtrees.pop() as Hash, subtree);
    }
    this.#subtrees.push(subtree);
    this.#size++;
  }

  /** RFC 6962 §2.1: the Merkle Tree Hash of the entries so far. */
  root(): Hash {
    return (
      this.#subtrees.reduceRight<Hash | undefined>(
        (right, left) => (right === undefined ? left : nodeHash(left, right)),
        undefined,
      ) ?? EMPTY_ROOT
    );
  }

  /** A tree of the same entries that grows by itself. */
  clone(): MerkleTree {
    const tree = new MerkleTree();
    tree.#size = this.#size;
    tree.#subtrees.push(...this.#subtrees);
    return tree;
  }
}
