import { type Block, readBlocks } from './blocks.js';
import type { SignedCheckpoint } from './checkpoint.js';
import { type CheckpointEntry, CheckpointFile } from './checkpoint-file.js';
import { CHECKPOINTS, listSegments, type Segment } from './layout.js';
import { LogKeys, type ReadEndorsement } from './log-keys.js';
import { isSignedBy, type VerifierKey } from './note.js';
import { isOwnRecord, parseRecord } from './own-records.js';
import type { AuditProblem } from './problem.js';
import { type Hash, leafHashWithin, MerkleTree } from './tree.js';

const NEWLINE = 0x0a;
/** More signatures than this are not waited for at once. */
const MOST_PENDING = 1024;

/** Where the records of a log end before its files do. */
export interface TornEnd {
  readonly segment: Segment;
  /** The line that is no record, counted from 1, */
  readonly line: number;
  /** and the byte of the segment at which it begins. */
  readonly offset: number;
  /** Whether that line is the last and lacks its newline, as when its writer was killed. */
  readonly unfinished: boolean;
}

/** A checkpoint that is well formed, and what was found about it. */
export interface ReadCheckpoint {
  readonly entry: CheckpointEntry;
  readonly checkpoint: SignedCheckpoint;
  /** Whether an endorsed key signed it. */
  readonly signed: boolean;
}

/** What a log was found to be. */
export interface LogReading {
  /** Over all complete records. */
  readonly tree: MerkleTree;
  /** The last checkpoint that is signed and is right about the records below it, with their tree. */
  readonly covered: (ReadCheckpoint & { readonly tree: MerkleTree }) | undefined;
  /** The number of checkpoints. */
  readonly checkpoints: number;
  readonly endorsements: readonly ReadEndorsement[];
  readonly segments: readonly Segment[];
  /** Checkpoints that the records do not bear out. */
  readonly unmet: readonly ReadCheckpoint[];
  /** Checkpoints that the records bear out and that no endorsed key signed. */
  readonly unsigned: readonly ReadCheckpoint[];
  readonly problems: readonly AuditProblem[];
  /** What follows the last record, if anything does. Only ever after the last checkpoint. */
  readonly torn: TornEnd | undefined;
  /** Bytes of the file of checkpoints that hold whole notes, */
  readonly checkpointBytes: number;
  /** and whether it ends within another. */
  readonly tornCheckpoint: boolean;
}

/** Is shown each line: it lies in `buffer` from `start` to `end`, without its newline. */
export type LineVisitor = (
  leaf: Hash,
  index: number,
  buffer: Buffer,
  start: number,
  end: number,
) => void;

/** What is wanted besides. */
export interface ReadLogOptions {
  readonly onLine?: LineVisitor;
  /** Is given the root at each of the sizes that it has as keys. */
  readonly roots?: Map<number, Hash | undefined>;
}

/** Reads a log from its first byte to its last, and holds it against its checkpoints. */
export async function readLog(
  directory: string,
  options: ReadLogOptions = {},
): Promise<LogReading> {
  // First: when the log is being written to, its checkpoints cover no record that is not there yet.
  const checkpoints = await CheckpointFile.read(directory);
  const reader = new LogReader(checkpoints, await listSegments(directory), options);
  return reader.read();
}

/** A checkpoint that is still to be met. */
interface Due {
  readonly entry: CheckpointEntry;
  readonly checkpoint: SignedCheckpoint;
}

/** One that was met, with the records there, and the key by which it is to be judged. */
interface Met extends Due {
  readonly borneOut: boolean;
  readonly tree: MerkleTree;
  readonly key: VerifierKey | undefined;
}

class LogReader {
  readonly #file: CheckpointFile;
  readonly #segments: readonly Segment[];
  readonly #onLine: LineVisitor | undefined;
  readonly #roots: Map<number, Hash | undefined> | undefined;
  readonly #tree = new MerkleTree();
  readonly #problems: AuditProblem[] = [];
  readonly #keys = new LogKeys(this.#problems);
  readonly #unmet: ReadCheckpoint[] = [];
  readonly #unsigned: ReadCheckpoint[] = [];
  #covered: LogReading['covered'];
  #torn: TornEnd | undefined;
  /** The checkpoint that is met next, and at which size. */
  #due: Due | undefined;
  #dueSize = Number.POSITIVE_INFINITY;
  #checkpoints = 0;
  #line = 0;
  #pending: Promise<void>[] = [];

  constructor(file: CheckpointFile, segments: readonly Segment[], options: ReadLogOptions) {
    this.#file = file;
    this.#segments = segments;
    this.#onLine = options.onLine;
    this.#roots = options.roots;
    this.#takeCheckpoint(0);
  }

  async read(): Promise<LogReading> {
    for (const segment of this.#segments) {
      if (this.#torn !== undefined) break;
      this.#line = 0;
      if (segment.first !== this.#tree.size) this.#misplaced(segment);
      for await (const block of readBlocks(segment)) {
        this.#readBlock(block);
        if (this.#torn !== undefined) break;
        if (block.rest.length > 0) this.#readRest(block);
        if (this.#pending.length > MOST_PENDING) await this.#settle();
      }
    }
    if (this.#tree.size > 0) this.#keys.requireFirst();
    while (this.#due !== undefined) this.#meet(false);
    await this.#settle();
    return {
      tree: this.#tree,
      covered: this.#covered,
      checkpoints: this.#checkpoints,
      endorsements: this.#keys.endorsements,
      segments: this.#segments,
      // Signatures are verified beside the reading, and end in any order.
      unmet: this.#unmet.toSorted(byNumber),
      unsigned: this.#unsigned.toSorted(byNumber),
      problems: this.#problems,
      torn: this.#torn,
      checkpointBytes: this.#file.position,
      tornCheckpoint: this.#file.torn,
    };
  }

  #readBlock({ buffer, start, end, offset, segment }: Block): void {
    const tree = this.#tree;
    for (let from = start; from < end; ) {
      const to = buffer.indexOf(NEWLINE, from);
      this.#line++;
      if (this.#due === undefined && !this.#isRecord(buffer, from, to)) {
        const at = offset + from - start;
        this.#torn = { segment, line: this.#line, offset: at, unfinished: false };
        return;
      }
      if (isOwnRecord(buffer, from))
        this.#keys.read(buffer.subarray(from, to), tree.size, this.#due === undefined);
      else this.#keys.requireUsed();
      const leaf = leafHashWithin(buffer, from, to);
      this.#onLine?.(leaf, tree.size, buffer, from, to);
      tree.append(leaf);
      if (this.#roots?.has(tree.size)) this.#roots.set(tree.size, tree.root());
      if (tree.size === this.#dueSize) this.#meet(tree.root() === this.#dueRoot);
      from = to + 1;
    }
  }

  /** Below the last checkpoint the tree tells; after it, each line must say that it is the one that belongs there. */
  #isRecord(buffer: Buffer, start: number, end: number): boolean {
    return parseRecord(buffer.subarray(start, end), this.#tree.size) !== undefined;
  }

  #readRest({ segment, end, start, offset, rest }: Block): void {
    const line = this.#line + 1;
    const at = { segment, line, offset: offset + end - start };
    if (segment === this.#segments.at(-1) && this.#due === undefined)
      this.#torn = { ...at, unfinished: true };
    else
      this.#problems.push({
        kind: 'line-broken',
        index: this.#tree.size,
        file: segment.name,
        line,
        message: `${segment.name} ends with ${rest.length} bytes that are no whole line`,
      });
  }

  #misplaced(segment: Segment): void {
    const { size } = this.#tree;
    this.#problems.push({
      kind: 'segment-missing',
      index: Math.min(size, segment.first),
      file: segment.name,
      message: `${segment.name} should begin with record ${segment.first}, and follows ${size} records`,
    });
  }

  get #dueRoot(): Hash {
    return (this.#due as Due).checkpoint.root;
  }

  /** The next checkpoint that can be one: well formed, and for more records than the one before it. */
  #takeCheckpoint(above: number): void {
    for (let entry = this.#file.next(); entry !== undefined; entry = this.#file.next()) {
      this.#checkpoints++;
      const { checkpoint, number, line } = entry;
      if (checkpoint !== undefined && checkpoint.size > above) {
        this.#due = { entry, checkpoint };
        this.#dueSize = checkpoint.size;
        return;
      }
      const why =
        checkpoint === undefined
          ? 'is malformed'
          : `is for ${checkpoint.size} records, and follows one for ${above}`;
      const message = `checkpoint ${number} ${why}`;
      this.#problems.push({ kind: 'checkpoint-invalid', file: CHECKPOINTS, line, message });
    }
    this.#due = undefined;
    this.#dueSize = Number.POSITIVE_INFINITY;
  }

  /** Judges the checkpoint that is due, and takes the next. */
  #meet(borneOut: boolean): void {
    const due = this.#due as {
      readonly entry: CheckpointEntry;
      readonly checkpoint: SignedCheckpoint;
    };
    const tree = this.#tree.clone();
    const key = this.#keys.signerOf(due.checkpoint);
    this.#pending.push(this.#judge({ ...due, borneOut, tree, key }));
    this.#takeCheckpoint(this.#dueSize);
  }

  async #judge({ entry, checkpoint, borneOut, tree, key }: Met): Promise<void> {
    const signed = key !== undefined && (await isSignedBy(checkpoint.note, key));
    const read = { entry, checkpoint, signed };
    if (!borneOut) this.#unmet.push(read);
    else if (!signed) this.#unsigned.push(read);
    else if (tree.size > (this.#covered?.tree.size ?? 0)) this.#covered = { ...read, tree };
  }

  async #settle(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    await Promise.all(pending);
  }
}

function byNumber(a: ReadCheckpoint, b: ReadCheckpoint): number {
  return a.entry.number - b.entry.number;
}
