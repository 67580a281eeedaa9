import { type FileHandle, open } from 'node:fs/promises';
import { LONGEST_RECORD, type Segment } from './layout.js';

const NEWLINE = 0x0a;
const READ_BYTES = 1 << 20;
/** Room for the beginning of a line that the last read cut, and for one byte before it. */
const ROOM = 1 + LONGEST_RECORD;

/** Complete lines of one segment, as they lie in a buffer. */
export interface Block {
  readonly segment: Segment;
  /** Each line ends with its newline. The byte before `start` is no line's. */
  readonly buffer: Buffer;
  readonly start: number;
  /** Where the last line's newline ends; `start` when there is none. */
  readonly end: number;
  /** Where `start` lies in the file. */
  readonly offset: number;
  /** What follows the last newline of the segment, or a line too long for a record, with which reading ends; else empty. */
  readonly rest: Buffer;
}

/**
 * Reads a segment as blocks of complete lines, a megabyte at a time, the next one while the last is looked at: a block
 * is good until another is asked for. There is one at least.
 */
export async function* readBlocks(segment: Segment): AsyncGenerator<Block> {
  const file = await open(segment.path, 'r');
  try {
    yield* blocksOf(segment, file);
  } finally {
    await file.close();
  }
}

async function* blocksOf(segment: Segment, file: FileHandle): AsyncGenerator<Block> {
  // A short file is read by one read, and one that finds its end.
  const most = Math.min((await file.stat()).size + 1, READ_BYTES);
  let [buffer, other] = [Buffer.allocUnsafe(ROOM + most), Buffer.allocUnsafe(ROOM + most)];
  let rest = buffer.subarray(0, 0);
  let position = 0;
  let reading = file.read(buffer, ROOM, most, position);
  for (;;) {
    const { bytesRead } = await reading;
    const start = ROOM - rest.length;
    rest.copy(buffer, start);
    const read = buffer.subarray(start, ROOM + bytesRead);
    const offset = position - rest.length;
    position += bytesRead;
    const end = start + read.lastIndexOf(NEWLINE) + 1;
    rest = buffer.subarray(end, ROOM + bytesRead);
    const last = bytesRead === 0 || rest.length > LONGEST_RECORD;
    if (!last) {
      reading = file.read(other, ROOM, most, position);
      // Whoever stops early does not wait for it.
      reading.catch(() => {});
    }
    yield { segment, buffer, start, end, offset, rest: last ? rest : rest.subarray(0, 0) };
    if (last) return;
    [buffer, other] = [other, buffer];
  }
}
