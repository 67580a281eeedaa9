import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  write,
} from 'node:fs';
import { type Segment, segmentAt } from './layout.js';

/** Every write is on the disk when it ends: for one write a group, a little better than a write and fdatasync. */
const DURABLE = constants.O_WRONLY | (constants.O_DSYNC ?? constants.O_SYNC);
/** A larger group is written in parts, so that whoever is first does not wait for all. */
const GROUP_BYTES = 4 << 20;
/** So much need not wait for the end of its turn, if that takes long. */
const EARLY_BYTES = 64 << 10;

/** Where the records end. */
export interface LogEnd {
  readonly segment: Segment;
  /** Bytes of the segment. */
  readonly bytes: number;
  /** Records of the log. */
  readonly records: number;
}

/** What a writer tells of itself. */
export interface GroupWriterEvents {
  /** Records became durable; `lines` holds them, each with its newline, after one byte that is nobody's. */
  readonly onDurable: (lines: Buffer, records: number) => void;
  /** A write is under way: the time to do what need not be done before it. */
  readonly onWriting: () => void;
  /** Records were not written, and none of them is in the log; gives the error to tell whoever appended them. */
  readonly onRefused: (cause: unknown, records: number) => Error;
}

interface Waiting {
  readonly line: string;
  readonly index: number;
  readonly resolve: (written: Written) => void;
  readonly reject: (error: Error) => void;
}

/** Where a line was written. */
export interface Written {
  readonly index: number;
}

/**
 * Writes lines to the segments of a log, in order. Those that are appended in one turn of the event loop, or while a
 * write is under way, are one group: one write, durable when it ends. A turn that makes many records for longer than a
 * write takes has its first ones written meanwhile. When a write fails, its group and all that wait
 * behind it are refused, and the next group is written where the last good one ended: there is never a gap.
 */
export class GroupWriter {
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #events: GroupWriterEvents;
  #segment: Segment;
  #fd: number | undefined;
  /** Bytes of the segment, and records of the log, that are durable. */
  #bytes: number;
  #records: number;
  #queue: Waiting[] = [];
  #group: readonly Waiting[] = [];
  #waitingBytes = 0;
  #scheduled = false;
  /** When the last write ended, and how long it took. */
  #ended = 0;
  #tookMs = 0;
  #idle: (() => void)[] = [];

  constructor(
    directory: string,
    segmentBytes: number,
    { segment, bytes, records }: LogEnd,
    events: GroupWriterEvents,
  ) {
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
    this.#segment = segment;
    this.#bytes = bytes;
    this.#records = records;
    this.#events = events;
  }

  /** The index of the record that is appended next. */
  get next(): number {
    return this.#records + this.#group.length + this.#queue.length;
  }

  /** The number of records that are durable. */
  get records(): number {
    return this.#records;
  }

  /** How much waits to be written, about. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Appends one line, its newline included, which is record {@link next}. Resolves when it is durable. */
  append(line: string): Promise<Written> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ line, index: this.next, resolve, reject });
      this.#waitingBytes += line.length;
      if (this.#waitingBytes >= EARLY_BYTES && this.#isWorthIt()) this.#writeGroup();
      else this.#schedule();
    });
  }

  /** Resolves once nothing is waiting to be written, written or refused. */
  idle(): Promise<void> {
    if (this.#queue.length === 0 && this.#group.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** To be called when idle. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #schedule(): void {
    if (this.#scheduled || this.#group.length > 0) return;
    this.#scheduled = true;
    // After every promise of this turn, so that what they append is of this group.
    process.nextTick(() => {
      this.#scheduled = false;
      if (this.#group.length === 0 && this.#queue.length > 0) this.#writeGroup();
    });
  }

  /** Whether a write could have been done in the time since the last: then the disk waits for this turn to end. */
  #isWorthIt(): boolean {
    return this.#group.length === 0 && performance.now() - this.#ended > this.#tookMs;
  }

  #writeGroup(): void {
    this.#group = this.#takeGroup();
    let fd: number;
    let lines: Buffer;
    try {
      fd = this.#file();
      lines = bytesOf(this.#group);
    } catch (cause) {
      this.#refuse(cause);
      return;
    }
    this.#write(fd, lines, 1, performance.now());
    this.#events.onWriting();
  }

  #takeGroup(): readonly Waiting[] {
    if (this.#waitingBytes <= GROUP_BYTES) return this.#queue.splice(0);
    let bytes = 0;
    const end = this.#queue.findIndex(({ line }) => (bytes += line.length) > GROUP_BYTES);
    return this.#queue.splice(0, end < 0 ? this.#queue.length : Math.max(1, end));
  }

  #write(fd: number, lines: Buffer, from: number, began: number): void {
    const length = lines.length - from;
    write(fd, lines, from, length, this.#bytes + from - 1, (error, written) => {
      this.#ended = performance.now();
      this.#tookMs = this.#ended - began;
      if (error !== null) this.#refuse(error);
      else if (written < length) this.#write(fd, lines, from + written, began);
      else this.#written(lines);
    });
  }

  #written(lines: Buffer): void {
    const group = this.#group;
    this.#group = [];
    this.#bytes += lines.length - 1;
    this.#records += group.length;
    for (const { line } of group) this.#waitingBytes -= line.length;
    this.#events.onDurable(lines, group.length);
    for (const { index, resolve } of group) resolve({ index });
    this.#next();
  }

  #refuse(cause: unknown): void {
    const refused = [...this.#group, ...this.#queue];
    this.#group = [];
    this.#queue = [];
    this.#waitingBytes = 0;
    this.#cut();
    const error = this.#events.onRefused(cause, refused.length);
    for (const { reject } of refused) reject(error);
    this.#next();
  }

  /** Takes away what a failed write has left. Whether that works or not, the file is opened and looked at anew. */
  #cut(): void {
    try {
      if (this.#fd !== undefined) shorten(this.#fd, this.#bytes);
    } catch {
      // The next group is not written before it has worked.
    }
    this.close();
  }

  #next(): void {
    if (this.#queue.length > 0) this.#schedule();
    else for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** The open file of the segment that the next group belongs to, as the last group has left it. */
  #file(): number {
    if (this.#fd !== undefined && this.#bytes >= this.#segmentBytes) {
      this.close();
      this.#segment = segmentAt(this.#directory, this.#records);
      this.#bytes = 0;
    }
    this.#fd ??= this.#open();
    const { nlink, size } = fstatSync(this.#fd);
    if (nlink === 0) throw new Error(`${this.#segment.name} was deleted`);
    if (size !== this.#bytes) throw new Error(`${this.#segment.name} was cut or written to`);
    return this.#fd;
  }

  #open(): number {
    const create = this.#bytes === 0 ? constants.O_CREAT : 0;
    const fd = openSync(this.#segment.path, DURABLE | create, 0o600);
    try {
      if (shorten(fd, this.#bytes) < this.#bytes) throw new Error(`${this.#segment.name} was cut`);
      if (create !== 0) syncDirectory(this.#directory);
      return fd;
    } catch (cause) {
      closeSync(fd);
      throw cause;
    }
  }
}

/** A longer character than this is not in UTF-8. */
const LONGEST_CHARACTER = 4;

/**
 * The lines of a group, after one byte that is nobody's. Written one by one into their place, they cost a tenth of what it
 * takes to join them first. Where not all is ASCII, nobody knows beforehand how long they are.
 */
function bytesOf(group: readonly Waiting[]): Buffer {
  const length = group.reduce((sum, { line }) => sum + line.length, 1);
  const bytes = Buffer.allocUnsafe(length + LONGEST_CHARACTER);
  let at = bytes.write('\n');
  for (const { line } of group) {
    // With room for one more character, what is not ASCII never comes out as long as it is.
    if (bytes.write(line, at) !== line.length)
      return Buffer.from(`\n${group.map((each) => each.line).join('')}`);
    at += line.length;
  }
  return bytes.subarray(0, at);
}

/** Cuts a file to a size, and makes none longer; gives what size it had. */
function shorten(fd: number, bytes: number): number {
  const { size } = fstatSync(fd);
  if (size > bytes) ftruncateSync(fd, bytes);
  return size;
}

/** Makes the names in a directory durable. */
export function syncDirectory(directory: string): void {
  const fd = openSync(directory, constants.O_RDONLY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
