import { hash } from 'node:crypto';

/** The length of a hash, SHA-256. */
export const HASH_BYTES = 32;

const LEAF = 0x00;
const NODE = 0x01;
const EMPTY_ROOT: Buffer = hash('sha256', Buffer.alloc(0), 'buffer');

const node = Buffer.alloc(1 + 2 * HASH_BYTES, NODE);

/** RFC 6962 §2.1: the hash of an entry. */
export function leafHash(entry: Uint8Array): Buffer {
  const input = Buffer.allocUnsafe(1 + entry.length);
  input[0] = LEAF;
  input.set(entry, 1);
  return hash('sha256', input, 'buffer');
}

/**
 * The same for an entry that lies in a buffer at `start`, whose byte before it is free to be written for a moment: a
 * copy of each line would cost more than its hash.
 */
export function leafHashWithin(buffer: Buffer, start: number, end: number): Buffer {
  const before = buffer[start - 1] as number;
  buffer[start - 1] = LEAF;
  const leaf = hash('sha256', buffer.subarray(start - 1, end), 'buffer');
  buffer[start - 1] = before;
  return leaf;
}

/** RFC 6962 §2.1: the hash of two subtrees, the left one complete. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  node.set(left, 1);
  node.set(right, 1 + HASH_BYTES);
  return hash('sha256', node, 'buffer');
}

/** The Merkle tree of RFC 6962 §2.1 over entries that come one after another; holds one hash for each bit of its size. */
export class MerkleTree {
  #size = 0;
  /** The complete subtrees, the largest first: one for each bit that is set in the size. */
  readonly #subtrees: Buffer[] = [];

  /** The number of entries. */
  get size(): number {
    return this.#size;
  }

  append(leaf: Buffer): void {
    let subtree = leaf;
    // Each subtree of this size is completed by the new one. A size beyond 2^31 loses no bit: halves are taken.
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) {
      subtree = nodeHash(this.#subtrees.pop() as Buffer, subtree);
    }
    this.#subtrees.push(subtree);
    this.#size++;
  }

  /** RFC 6962 §2.1: the Merkle Tree Hash of the entries so far. */
  root(): Buffer {
    return (
      this.#subtrees.reduceRight<Buffer | undefined>(
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
