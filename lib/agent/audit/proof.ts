import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';
import type { SignedCheckpoint } from './checkpoint.js';
import { CheckpointFile } from './checkpoint-file.js';
import { isSignedBy } from './note.js';
import { type LogReading, readLog } from './reading.js';
import { bytesOf, type Hash, leafHash, MerkleTree, nodeHash } from './tree.js';

/** That a record is in a log, for whoever trusts the key that signed the checkpoint. */
export interface InclusionProof {
  /** The index of the record. */
  readonly index: number;
  /** The record: a line of the log without its newline. */
  readonly record: Uint8Array;
  /** RFC 6962 §2.1.1: the audit path, from the sibling of the record's leaf up. */
  readonly hashes: readonly Uint8Array[];
  /** The signed note. */
  readonly checkpoint: string;
  /** The verifier key (C2SP signed-note) of the log. */
  readonly key: string;
}

/** Entries of which one hash of an audit path is the root. */
interface Subtree {
  readonly from: number;
  /** Not included. */
  readonly to: number;
  readonly tree: MerkleTree;
}

/**
 * Proves that a record is in an audit log, below its last checkpoint.
 *
 * @throws SpiffeError `ERR_SPIFFE_AUDIT_UNAVAILABLE` when the log cannot be read, `ERR_SPIFFE_OPTION_INVALID` when no
 * record of this index is below a checkpoint, `ERR_SPIFFE_AUDIT_INVALID` when the log was altered.
 */
export async function proveInclusion(directory: string, index: number): Promise<InclusionProof> {
  try {
    return await prove(directory, index);
  } catch (cause) {
    if (cause instanceof SpiffeError) throw cause;
    const message = `cannot read the audit log in ${quote(directory)}`;
    throw new SpiffeError('ERR_SPIFFE_AUDIT_UNAVAILABLE', message, { cause });
  }
}

async function prove(directory: string, index: number): Promise<InclusionProof> {
  const checkpoint = await lastCheckpoint(directory);
  const size = checkpoint?.size ?? 0;
  if (checkpoint === undefined || !Number.isSafeInteger(index) || index < 0 || index >= size) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot prove record ${index} of the audit log in ${quote(directory)}: the last checkpoint is for ${size} records, counted from 0`,
    );
  }
  const path = auditPath(index, size);
  let record = Buffer.alloc(0);
  const reading = await readLog(directory, {
    onLine: (leaf, at, buffer, start, end) => {
      if (at === index) record = Buffer.from(buffer.subarray(start, end));
      else path.find(({ from, to }) => from <= at && at < to)?.tree.append(leaf);
    },
  });
  const hashes = path.map(({ tree }) => bytesOf(tree.root()));
  const key = await keyOf(checkpoint, reading);
  if (key === undefined || rootOf(leafHash(record), index, path) !== checkpoint.root) {
    throw new SpiffeError(
      'ERR_SPIFFE_AUDIT_INVALID',
      `cannot prove record ${index} of the audit log in ${quote(directory)}, which was altered; \`agent-spiffe audit verify\` tells more`,
    );
  }
  return { index, record, hashes, checkpoint: checkpoint.signed, key };
}

async function lastCheckpoint(directory: string): Promise<SignedCheckpoint | undefined> {
  const file = await CheckpointFile.read(directory);
  let last: SignedCheckpoint | undefined;
  for (let entry = file.next(); entry !== undefined; entry = file.next())
    last = entry.checkpoint ?? last;
  return last;
}

async function keyOf(
  { note, origin }: SignedCheckpoint,
  { endorsements }: LogReading,
): Promise<string | undefined> {
  for (const endorsed of endorsements) {
    if (endorsed.origin === origin && (await isSignedBy(note, endorsed.key)))
      return endorsed.key.text;
  }
  return undefined;
}

/** RFC 6962 §2.1.1: the subtrees beside the way from an entry to the root, the nearest first. */
function auditPath(index: number, size: number): readonly Subtree[] {
  const path: Subtree[] = [];
  for (let from = 0, to = size; to - from > 1; ) {
    let half = 1;
    while (half * 2 < to - from) half *= 2;
    const middle = from + half;
    const tree = new MerkleTree();
    if (index < middle) {
      path.push({ from: middle, to, tree });
      to = middle;
    } else {
      path.push({ from, to: middle, tree });
      from = middle;
    }
  }
  return path.toReversed();
}

function rootOf(leaf: Hash, index: number, path: readonly Subtree[]): Hash {
  return path.reduce((hash, { from, tree }) => {
    return from > index ? nodeHash(hash, tree.root()) : nodeHash(tree.root(), hash);
  }, leaf);
}

/** The text of a proof (C2SP tlog-proof), with the record itself as its extra data. */
export function formatInclusionProof({
  index,
  record,
  hashes,
  checkpoint,
}: InclusionProof): string {
  const lines = ['c2sp.org/tlog-proof@v1', `extra ${base64(record)}`, `index ${index}`];
  return `${[...lines, ...hashes.map(base64)].join('\n')}\n\n${checkpoint}`;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
