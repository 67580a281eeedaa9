import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readBlocks } from './blocks.js';
import { HASHES, type Segment } from './layout.js';
import type { AuditProblem } from './problem.js';
import type { LogReading, ReadCheckpoint } from './reading.js';
import { HASH_BYTES, type Hash, hashOf, leafHashWithin, MerkleTree } from './tree.js';

const NEWLINE = 0x0a;
/** More are not told; whoever altered that much altered it all. */
const MOST_PROBLEMS = 100;

/** A line as it stands in the log. */
interface Line {
  readonly hash: Hash;
  readonly file: string;
  readonly line: number;
}

/**
 * Says what was done to the records that `unmet` checkpoints were signed for: by the file of leaf hashes as far as a
 * signed checkpoint bears that out, and else by the range between two checkpoints.
 *
 * @param unmet - signed, in order, at least one.
 */
export async function locate(
  directory: string,
  { covered, segments, tree }: LogReading,
  unmet: readonly ReadCheckpoint[],
): Promise<readonly AuditProblem[]> {
  const from = covered?.tree.size ?? 0;
  const signed = await signedHashes(directory, covered?.tree ?? new MerkleTree(), unmet);
  const problems = signed.length > 0 ? compare(signed, await readLines(segments, from), from) : [];
  if (problems.length > 0) return problems;
  const start = from + signed.length;
  const end = (unmet.find(({ checkpoint }) => checkpoint.size > start) ?? unmet[0])?.checkpoint
    .size as number;
  return [tree.size < end ? truncated(tree.size, end) : altered(start, end)];
}

/** The leaf hashes after those of `tree`, as far as the last checkpoint that they lead to. */
async function signedHashes(
  directory: string,
  tree: MerkleTree,
  unmet: readonly ReadCheckpoint[],
): Promise<readonly Hash[]> {
  const bytes = await readFile(join(directory, HASHES)).catch(() => Buffer.alloc(0));
  const grown = tree.clone();
  const hashes: Hash[] = [];
  let borneOut = 0;
  for (const { checkpoint } of unmet) {
    while (grown.size < checkpoint.size) {
      const hash = hashOf(bytes.subarray(grown.size * HASH_BYTES, (grown.size + 1) * HASH_BYTES));
      if (hash.length < HASH_BYTES) return hashes.slice(0, borneOut);
      hashes.push(hash);
      grown.append(hash);
    }
    if (grown.root() === checkpoint.root) borneOut = hashes.length;
  }
  return hashes.slice(0, borneOut);
}

/** All lines from record `from` on. */
async function readLines(segments: readonly Segment[], from: number): Promise<readonly Line[]> {
  const lines: Line[] = [];
  let index = 0;
  for (const segment of segments) {
    let line = 0;
    for await (const { buffer, start, end } of readBlocks(segment)) {
      for (let at = start; at < end; ) {
        const to = buffer.indexOf(NEWLINE, at);
        line++;
        if (index++ >= from) {
          const hash = leafHashWithin(buffer, at, to);
          lines.push({ hash, file: segment.name, line });
        }
        at = to + 1;
      }
    }
  }
  return lines;
}

/** What turns the records that were signed, of which the first has index `from`, into these lines. */
function compare(
  signed: readonly Hash[],
  lines: readonly Line[],
  from: number,
): readonly AuditProblem[] {
  const problems: AuditProblem[] = [];
  const places = new Map(signed.map((hash, place) => [hash, place]));
  const missing = new Set<number>();
  const early = new Set<number>();
  let next = 0;
  for (const [at, { hash, file, line }] of lines.entries()) {
    while (early.has(next)) next++;
    if (next >= signed.length && missing.size === 0) break;
    const place = places.get(hash);
    if (place === next) {
      next++;
      continue;
    }
    const following = lines[at + 1]?.hash;
    const isExtra = next < signed.length && following === signed[next];
    const where = { file, line };
    if (place === undefined) {
      if (isExtra || next >= signed.length) problems.push(inserted(from + next, where));
      else problems.push(changed(from + next++, where));
    } else if (missing.delete(place) || (place > next && isExtra)) {
      if (place > next) early.add(place);
      problems.push(moved(from + place, where));
    } else if (place > next) {
      while (next < place) missing.add(next++);
      next++;
    } else {
      problems.push(inserted(from + next, where));
    }
    if (problems.length >= MOST_PROBLEMS) return problems;
  }
  while (early.has(next)) next++;
  if (next < signed.length) problems.push(truncated(from + next, from + signed.length));
  return [...problems, ...removed([...missing], from)].slice(0, MOST_PROBLEMS);
}

/** Neighbours among the missing are told as one. */
function removed(missing: readonly number[], from: number): readonly AuditProblem[] {
  const ranges: { index: number; end: number }[] = [];
  for (const place of missing.toSorted((a, b) => a - b)) {
    const index = from + place;
    const last = ranges.at(-1);
    if (last?.end === index) last.end++;
    else ranges.push({ index, end: index + 1 });
  }
  return ranges.map((range) => ({
    kind: 'record-removed',
    ...range,
    message: `${nameRange(range.index, range.end)} removed`,
  }));
}

interface Where {
  readonly file: string;
  readonly line: number;
}

function changed(index: number, { file, line }: Where): AuditProblem {
  const message = `record ${index} was changed: ${file} line ${line}`;
  return { kind: 'record-changed', index, file, line, message };
}

function inserted(index: number, { file, line }: Where): AuditProblem {
  const message = `a record was inserted before record ${index}: ${file} line ${line}`;
  return { kind: 'record-inserted', index, file, line, message };
}

function moved(index: number, { file, line }: Where): AuditProblem {
  const message = `record ${index} was moved: it is now at ${file} line ${line}`;
  return { kind: 'record-moved', index, file, line, message };
}

function truncated(index: number, end: number): AuditProblem {
  const message = `the log was cut: it ends before record ${index}, and ${end} were signed`;
  return { kind: 'log-truncated', index, end, message };
}

function altered(index: number, end: number): AuditProblem {
  const message = `${nameRange(index, end)} altered, at least one of them`;
  return { kind: 'records-altered', index, end, message };
}

function nameRange(index: number, end: number): string {
  return end - index === 1 ? `record ${index} was` : `records ${index} to ${end - 1} were`;
}
