import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

const SEGMENT = /^([0-9]{20})\.jsonl$/;
const DIGITS = 20;

/** The checkpoints, one note after another, each of five lines. */
export const CHECKPOINTS = 'checkpoints';
/** The leaf hashes of the records below the last checkpoint, 32 bytes each: tells which record was changed. */
export const HASHES = 'hashes';

/** C2SP tlog-tiles: an entry is this long at most. */
export const LONGEST_RECORD = 65_535;

/** A file of records, named by the index of its first. */
export interface Segment {
  readonly name: string;
  readonly path: string;
  readonly first: number;
}

/** The segment whose first record has this index. */
export function segmentAt(directory: string, first: number): Segment {
  const name = `${String(first).padStart(DIGITS, '0')}.jsonl`;
  return { name, path: join(directory, name), first };
}

/** The segments of a log, in order. */
export async function listSegments(directory: string): Promise<readonly Segment[]> {
  const firsts = (await readdir(directory)).flatMap((name) => {
    const [, digits] = SEGMENT.exec(name) ?? [];
    return digits === undefined ? [] : [Number(digits)];
  });
  return firsts.toSorted((a, b) => a - b).map((first) => segmentAt(directory, first));
}
