import { createHash } from 'node:crypto';
import { closeSync, openSync, renameSync, writeSync } from 'node:fs';
import { type FileHandle, open, readFile, stat, truncate, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';
import { type LogEnd, syncDirectory } from './group-writer.js';
import { CHECKPOINTS, HASHES, type Segment, segmentAt } from './layout.js';
import { type LogReading, readLog, type TornEnd } from './reading.js';
import { bytesOf, type Hash, type MerkleTree } from './tree.js';

const HASHES_AT_ONCE = 4096;

/** A log as it is found, ready to be continued. */
export interface RecoveredLog {
  readonly tree: MerkleTree;
  readonly end: LogEnd;
  /** The number of records below a checkpoint. */
  readonly signed: number;
  /** Bytes of the file of checkpoints that hold whole notes. */
  readonly checkpointBytes: number;
  /** The name of the log and the SPIFFE ID it belongs to; absent while it has no records. */
  readonly owner: { readonly origin: string; readonly id: string } | undefined;
  readonly repair: Repair | undefined;
}

/** What was cut off because it was no record. It is kept. */
export interface Repair {
  readonly bytes: number;
  /** The file that has it now. */
  readonly file: string;
  readonly sha256: string;
}

/**
 * Reads a log that may have been left at any moment, cuts off what its writer had not finished, and gives what it takes
 * to go on.
 *
 * @throws SpiffeError `ERR_SPIFFE_AUDIT_INVALID` when it was altered: to go on would be to vouch for that.
 */
export async function recoverLog(directory: string): Promise<RecoveredLog> {
  const hashes = new HashFile(directory);
  let reading: LogReading;
  try {
    reading = await readLog(directory, { onLine: (leaf) => hashes.add(leaf) });
  } finally {
    hashes.close();
  }
  refuseAltered(directory, reading);
  hashes.rename();
  const repair = reading.torn && (await setAside(directory, reading.torn, reading));
  if (reading.tornCheckpoint) await truncate(join(directory, CHECKPOINTS), reading.checkpointBytes);
  const [first] = reading.endorsements;
  return {
    tree: reading.tree,
    end: await endOf(directory, reading),
    signed: reading.covered?.tree.size ?? 0,
    checkpointBytes: reading.checkpointBytes,
    owner: first && { origin: first.origin, id: first.id },
    repair,
  };
}

function refuseAltered(directory: string, { problems, unmet, unsigned }: LogReading): void {
  const wrong = [...unmet, ...unsigned][0];
  const why =
    problems[0]?.message ??
    (wrong &&
      `checkpoint ${wrong.entry.number} is not for the records that are there, or not signed by their log`);
  if (why === undefined) return;
  throw new SpiffeError(
    'ERR_SPIFFE_AUDIT_INVALID',
    `cannot continue the audit log in ${quote(directory)}, which was altered: ${why}; \`agent-spiffe audit verify\` tells more; move it away to begin another`,
  );
}

/** Moves what follows the last record, later segments included, to a file beside. Can be done again after a crash. */
async function setAside(
  directory: string,
  { segment, offset }: TornEnd,
  { segments, tree }: LogReading,
): Promise<Repair> {
  const later = segments.filter(({ first }) => first > segment.first);
  const cut = (await readFile(segment.path)).subarray(offset);
  const bytes = Buffer.concat([
    cut,
    ...(await Promise.all(later.map(({ path }) => readFile(path)))),
  ]);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const file = `torn.${tree.size}.${sha256.slice(0, 16)}`;
  await writeDurably(await open(join(directory, file), 'w', 0o600), bytes);
  syncDirectory(directory);
  for (const { path } of later.toReversed()) await unlink(path);
  await truncate(segment.path, offset);
  return { bytes: bytes.length, file, sha256 };
}

async function writeDurably(file: FileHandle, bytes: Buffer): Promise<void> {
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function endOf(directory: string, { torn, segments, tree }: LogReading): Promise<LogEnd> {
  const last: Segment | undefined = torn?.segment ?? segments.at(-1);
  if (last === undefined) return { segment: segmentAt(directory, 0), bytes: 0, records: 0 };
  return { segment: last, bytes: (await stat(last.path)).size, records: tree.size };
}

/** Makes the file of leaf hashes anew: what is said about an alteration rests on it. */
class HashFile {
  readonly #path: string;
  readonly #file: number;
  #hashes: Hash[] = [];

  constructor(directory: string) {
    this.#path = join(directory, HASHES);
    this.#file = openSync(`${this.#path}.new`, 'w', 0o600);
  }

  add(hash: Hash): void {
    if (this.#hashes.push(hash) === HASHES_AT_ONCE) this.#flush();
  }

  close(): void {
    this.#flush();
    closeSync(this.#file);
  }

  rename(): void {
    renameSync(`${this.#path}.new`, this.#path);
  }

  #flush(): void {
    const bytes = bytesOf(...this.#hashes);
    this.#hashes = [];
    for (let from = 0; from < bytes.length; ) from += writeSync(this.#file, bytes, from);
  }
}
