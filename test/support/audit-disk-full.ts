/**
 * A process that writes to an audit log on a small disk until that is full, makes room, and goes on; prints what
 * happened as JSON.
 */
import { appendFileSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SpiffeError } from 'agent-spiffe';
import { type AuditEvent, auditLog, verifyAuditLog } from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { AGENT, intent, recordsOf } from './audit.js';
import { staticIdentity } from './static-identity.js';

/** What is told of it. */
export interface DiskFullStory {
  /** How many records were durable before the first was refused. */
  readonly written: number;
  /** How many of the group that hit the end of the disk, and of the tries after it, were refused; and as what. */
  readonly refused: number;
  readonly codes: readonly string[];
  readonly causes: readonly string[];
  /** What a verifier found while the disk was full. */
  readonly whileFull: readonly string[];
  /** The indexes that the first records after it got. */
  readonly resumed: readonly number[];
  /** The codes and sequence numbers of the records around it. */
  readonly around: readonly (readonly [string, number])[];
  readonly outage: unknown;
  readonly logged: readonly string[];
  readonly problems: readonly string[];
  readonly records: number;
  /** Whether every record follows the one before it. */
  readonly gapless: boolean;
}

const [, , disk = ''] = process.argv;
const directory = join(disk, 'log');
const ballast = join(disk, 'ballast');
const nothing = (): void => {};
const logged: string[] = [];

const { bsize, bavail } = statfsSync(disk);
writeFileSync(ballast, Buffer.alloc(Math.floor((bsize * bavail) / 2)));
/** Records that need more room than the last page of a file may have left. */
const large = (count: number): readonly AuditEvent[] =>
  Array.from({ length: count }, () => intent({ q: 'x'.repeat(10_000) }));
const log = auditLog(directory, {
  arguments: { search: 'keep' },
  logger: {
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: (_, message) => logged.push(message),
  },
});
await log.open(staticIdentity(TestCa.create('example.org'), AGENT));

const errors: unknown[] = [];
let written = 0;
while (errors.length === 0) {
  const group = await Promise.allSettled(large(7).map((event) => log.append(event)));
  for (const each of group) {
    if (each.status === 'fulfilled') written++;
    else errors.push(each.reason);
  }
}
fill(join(disk, 'filler'));
for (const event of large(3)) {
  await log.append(event).catch((error: unknown) => errors.push(error));
}
const { problems: whileFull } = await verifyAuditLog(directory);
const before = recordsOf(directory).length;

rmSync(ballast);
const resumed = await Promise.all(large(3).map((event) => log.append(event)));
await log.close();

const records = recordsOf(directory);
const { problems } = await verifyAuditLog(directory);
const story: DiskFullStory = {
  written,
  refused: errors.length,
  codes: unique(errors.map((error) => (error instanceof SpiffeError ? error.code : 'none'))),
  causes: unique(errors.map((error) => codeOf((error as Error).cause))),
  whileFull: whileFull.map(({ message }) => message),
  resumed: resumed.map(({ index }) => index),
  around: records
    .slice(before - 1, before + 3)
    .map(({ metadata }) => [metadata.event_code, metadata.sequence]),
  outage: records[before]?.unmapped['outage'],
  logged: unique(logged),
  problems: problems.map(({ message }) => message),
  records: records.length,
  gapless: records.every(({ metadata }, at) => metadata.sequence === at),
};
process.stdout.write(JSON.stringify(story));
// The file that took the last bytes is whole, whatever was tried behind it.
if (!readFileSync(join(directory, '00000000000000000000.jsonl')).toString().endsWith('\n'))
  process.exitCode = 1;

/** Writes a file until the disk takes no more. */
function fill(path: string): void {
  for (;;) {
    try {
      appendFileSync(path, Buffer.alloc(4096));
    } catch {
      return;
    }
  }
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : 'none';
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}
