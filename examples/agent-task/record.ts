import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Identity } from 'agent-spiffe';
import { readAuditLog, verifyAuditLog } from 'agent-spiffe/agent';
import { tell } from '../quickstart/tell.js';

/** How often each kind of record must be there. */
const EXPECTED = {
  'task.start': 2,
  'call.intent': 6,
  'call.outcome': 6,
  'call.denied policy': 1,
  'call.denied argument': 2,
  'call.denied label': 1,
  'call.denied no-task': 1,
  credential: 2, // the token, issued and dropped
  'task.end': 2,
};

/** Verifies the log, and shows that copies of it that were touched do not verify. */
export async function tellRecord(directory: string, { x509 }: Identity): Promise<void> {
  // Every record is the one that was signed, by a key that an SVID of this agent vouches for.
  const against = { bundles: x509.bundles, id: x509.svid().id.toString() };
  const { problems, trusted, records, covered } = await verifyAuditLog(directory, against);
  assert.deepEqual(
    { problems, trusted, covered },
    { problems: [], trusted: true, covered: records },
  );
  const told = await kinds(directory);
  const count = (kind: string): number => told.filter((each) => each === kind).length;
  for (const [kind, times] of Object.entries(EXPECTED)) assert.equal(count(kind), times, kind);
  tell.fact(`${records} records, none altered`, told.join(', '));

  const found = await verifyCopy(directory, (lines) => lines.map(whitewash));
  tell.fact('a copy in which nobody wrote to mallory', found);
  tell.fact('a copy without its end', await verifyCopy(directory, (lines) => lines.slice(0, -3)));
}

async function kinds(directory: string): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { record } of readAuditLog(directory)) {
    const { event_code: kind } = record['metadata'] as { readonly event_code: string };
    found.push(kind === 'call.denied' ? `${kind} ${record['status_code'] as string}` : kind);
  }
  return found;
}

/** The same record, but for the address of a letter. */
function whitewash(line: string): string {
  return line.replaceAll('mallory@evil.example', 'ann@acme.example');
}

/** The socket of the writer, which is not for copies. */
function isNoLock(path: string): boolean {
  return !basename(path).startsWith('lock');
}

/** What a verifier finds in a copy of the log that somebody has touched. */
async function verifyCopy(
  directory: string,
  touch: (lines: readonly string[]) => readonly string[],
): Promise<string> {
  const copy = `${directory}-copy`;
  cpSync(directory, copy, { recursive: true, force: true, filter: isNoLock });
  const file = join(copy, readdirSync(copy).find((name) => name.endsWith('.jsonl')) ?? '');
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  const touched = touch(lines);
  assert.notDeepEqual(touched, lines);
  writeFileSync(file, `${touched.join('\n')}\n`);
  const { problems } = await verifyAuditLog(copy);
  assert.notEqual(problems.length, 0, 'it was not found');
  return problems.map(({ message }) => message).join('; ');
}
