import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { auditLog, verifyAuditLog } from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { AGENT, events, intent, recordsOf, TemporaryDirectory } from '../../support/audit.js';
import { staticIdentity } from '../../support/static-identity.js';

const WRITER = fileURLToPath(new URL('../../support/audit-writer.js', import.meta.url));
const KILLS = Number(process.env['AUDIT_KILLS'] ?? 40);
const CRASHES = 1000;
const SEGMENT = '00000000000000000000.jsonl';

/** Numbers that are the same in every run (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Lets a process write until it has told of so many records, and kills it; gives the last index it told of. */
async function writeAndKill(directory: string, count: number, inFlight: number): Promise<number> {
  const child: ChildProcess = spawn(process.execPath, [WRITER, directory, String(inFlight)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (child.stdout === null) throw new Error('the writer has no output');
  const exit = once(child, 'exit');
  let told = -1;
  let lines = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    told = Number(line);
    if (++lines === count) child.kill('SIGKILL');
  }
  expect((await exit)[1]).to.equal('SIGKILL');
  return told;
}

describe('an audit log whose writer was killed', () => {
  const ca = TestCa.create('example.org');
  const identity = staticIdentity(ca, AGENT);
  let home: TemporaryDirectory;

  beforeEach(() => {
    home = new TemporaryDirectory({ inMemory: true });
  });

  afterEach(() => home[Symbol.dispose]());

  /** What was durable at a moment: records that were acknowledged, and what the files then held. */
  interface Moment {
    readonly acknowledged: number;
    readonly bytes: number;
    readonly checkpointBytes: number;
  }

  async function record(directory: string): Promise<readonly Moment[]> {
    const moments: Moment[] = [];
    const log = auditLog(directory, { checkpointRecords: 10 });
    await log.open(identity);
    const note = (acknowledged: number): unknown =>
      moments.push({
        acknowledged,
        bytes: statSync(join(directory, SEGMENT)).size,
        checkpointBytes: statSync(join(directory, 'checkpoints')).size,
      });
    note(1);
    for (let group = 0; group < 20; group++) {
      const written = await Promise.all(events(1 + (group % 7)).map((event) => log.append(event)));
      note((written.at(-1)?.index ?? 0) + 1);
    }
    await log.close();
    return moments;
  }

  it(`has every acknowledged record, wherever its files end: ${CRASHES} times`, async function () {
    this.timeout(120_000);
    const original = join(home.path, 'original');
    const moments = await record(original);
    const bytes = readFileSync(join(original, SEGMENT));
    const checkpoints = readFileSync(join(original, 'checkpoints'));
    const copy = join(home.path, 'copy');
    const random = numbers(13);
    for (let crash = 0; crash < CRASHES; crash++) {
      // Somewhere within the write that follows a moment, and within the checkpoint that may follow it.
      const at = random(moments.length - 1);
      const { acknowledged, bytes: from, checkpointBytes } = moments[at] as Moment;
      const next = moments[at + 1] as Moment;
      const end = from + random(next.bytes - from + 1);
      const checkpointEnd = checkpointBytes + random(next.checkpointBytes - checkpointBytes + 1);
      rmSync(copy, { recursive: true, force: true });
      mkdirSync(copy);
      writeFileSync(join(copy, SEGMENT), bytes.subarray(0, end));
      // A checkpoint is written after its records.
      const durable = end === next.bytes ? checkpointEnd : checkpointBytes;
      writeFileSync(join(copy, 'checkpoints'), checkpoints.subarray(0, durable));
      await check(copy, acknowledged, bytes.subarray(0, end));
    }
  });

  /** Opens the log again: whatever was acknowledged is in it, and whatever else was in its file is kept and told. */
  async function check(directory: string, acknowledged: number, before: Buffer): Promise<void> {
    await using log = auditLog(directory);
    await log.open(identity);
    const whole = before.lastIndexOf('\n') + 1;
    const records = before.subarray(0, whole).toString().split('\n').length - 1;
    expect(records).to.be.at.least(acknowledged);
    const after = recordsOf(directory);
    const said = after.slice(records).map(({ metadata }) => metadata.event_code);
    const torn = before.subarray(whole);
    expect(said).to.deep.equal(torn.length === 0 ? ['log.key'] : ['log.key', 'log.repair']);
    expect(after.map(({ metadata }) => metadata.sequence)).to.deep.equal(after.map((_, at) => at));
    if (torn.length > 0) {
      const sha256 = createHash('sha256').update(torn).digest('hex');
      const file = `torn.${records}.${sha256.slice(0, 16)}`;
      expect(after.at(-1)?.unmapped['repair']).to.deep.equal({ bytes: torn.length, file, sha256 });
      expect(readFileSync(join(directory, file)).equals(torn)).to.equal(true);
    }
    const { problems, covered } = await verifyAuditLog(directory);
    expect(problems).to.deep.equal([]);
    expect(covered).to.equal(after.length);
  }

  it(`has every acknowledged record after kill -9: ${KILLS} times, on one log`, async function () {
    this.timeout(KILLS * 5000);
    using disk = new TemporaryDirectory();
    const directory = join(disk.path, 'log');
    const random = numbers(42);
    let acknowledged = -1;
    for (let kill = 0; kill < KILLS; kill++) {
      acknowledged = await writeAndKill(directory, 1 + random(120), [1, 8, 64][kill % 3] as number);
      const records = recordsOf(directory);
      expect(records.length, `after ${kill} kills`).to.be.greaterThan(acknowledged);
    }
    await using log = auditLog(directory);
    await log.open(identity);
    const records = recordsOf(directory);
    expect(records.map(({ metadata }) => metadata.sequence)).to.deep.equal(
      records.map((_, at) => at),
    );
    const keys = records.filter(({ metadata }) => metadata.event_code === 'log.key');
    expect(keys.length).to.equal(KILLS + 1);
    const { problems, covered } = await verifyAuditLog(directory);
    expect(problems).to.deep.equal([]);
    expect(covered).to.equal(records.length);
  });

  it('is repaired as often as it takes when that is interrupted', async () => {
    const directory = join(home.path, 'log');
    await record(directory);
    const path = join(directory, SEGMENT);
    const whole = readFileSync(path);
    const torn = Buffer.from('{"action":"Allo');
    writeFileSync(path, Buffer.concat([whole, torn]));
    // As if it had been killed when the torn line was kept and not yet cut off.
    const sha256 = createHash('sha256').update(torn).digest('hex');
    const records = recordsOf(directory).length;
    writeFileSync(join(directory, `torn.${records}.${sha256.slice(0, 16)}`), '');
    await check(directory, records, Buffer.concat([whole, torn]));
  });

  it('keeps what is no record after its last checkpoint, later files included', async () => {
    const directory = join(home.path, 'log');
    await using first = auditLog(directory, { segmentBytes: 1 << 16 });
    await first.open(identity);
    for (const event of events(60))
      await first.append(intent({ q: `${event.kind}${'x'.repeat(500)}` }, { time: 1 }));
    await first.close();
    const names = readdirSync(directory).filter((name) => name.endsWith('.jsonl'));
    expect(names.length).to.equal(2);
    // Only the checkpoint at the very beginning is left, so that all else may be what a crash has left.
    const notes = readFileSync(join(directory, 'checkpoints'), 'utf8').split('\n').slice(0, 5);
    writeFileSync(join(directory, 'checkpoints'), `${notes.join('\n')}\n`);
    const lines = readFileSync(join(directory, SEGMENT), 'utf8').split('\n');
    const cut = [...lines.slice(0, 10), '{}', ...lines.slice(10)].join('\n');
    writeFileSync(join(directory, SEGMENT), cut);
    const second = readFileSync(join(directory, names[1] as string));
    const expected = Buffer.concat([
      Buffer.from(cut.slice(lines.slice(0, 10).join('\n').length + 1)),
      second,
    ]);
    await using log = auditLog(directory);
    await log.open(identity);
    const records = recordsOf(directory);
    expect(records.length).to.equal(12);
    expect(records.at(-1)?.unmapped['repair']).to.include({ bytes: expected.length });
    const [file = ''] = readdirSync(directory).filter((name) => name.startsWith('torn.'));
    expect(readFileSync(join(directory, file)).equals(expected)).to.equal(true);
    expect((await verifyAuditLog(directory)).intact).to.equal(true);
  });
});
