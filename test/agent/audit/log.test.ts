import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { SpiffeError, X509Bundles } from 'agent-spiffe';
import {
  type AuditLogOptions,
  type AuditRecord,
  auditLog,
  readAuditLog,
  recordedRequest,
  verifyAuditLog,
} from 'agent-spiffe/agent';
import { FakeClock, TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { openableLog } from '#lib/agent/audit/file-log.js';
import {
  AGENT,
  checkpointsOf,
  events,
  intent,
  linesOf,
  outcome,
  recordsOf,
  sizesOf,
  TemporaryDirectory,
  taskEnd,
  writeLog,
} from '../../support/audit.js';
import { refusal } from '../../support/refusal.js';
import { type StaticIdentity, staticIdentity } from '../../support/static-identity.js';

async function refused(attempt: Promise<unknown>): Promise<SpiffeError> {
  const error: unknown = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).to.be.instanceOf(SpiffeError);
  return error as SpiffeError;
}

/** The states of a source reach who follows it within some promises' time. */
async function turned(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

async function readAll(directory: string): Promise<readonly AuditRecord[]> {
  const records: AuditRecord[] = [];
  for await (const record of readAuditLog(directory)) records.push(record);
  return records;
}

const codes = (directory: string): readonly string[] =>
  recordsOf(directory).map(({ metadata }) => metadata.event_code);

describe('the audit log', () => {
  let home: TemporaryDirectory;
  let directory: string;
  let ca: TestCa;
  let identity: StaticIdentity;

  beforeEach(() => {
    home = new TemporaryDirectory();
    directory = join(home.path, 'new', 'log');
    ca = TestCa.create('example.org');
    identity = staticIdentity(ca, AGENT);
  });

  afterEach(() => home[Symbol.dispose]());

  /** The first file of records. */
  function firstFile(): string {
    return join(directory, '00000000000000000000.jsonl');
  }

  async function openAndClose(): Promise<void> {
    await using log = auditLog(directory);
    await log.open(identity);
  }

  it('holds what is not ASCII as it is, wherever in a group it stands', async () => {
    const texts = ['a', 'ü', 'üa', '€', '€€a', '😀', 'aé😀', 'a'.repeat(5000), 'é'.repeat(5000)];
    const groups = texts.flatMap((one) => [[one], ...texts.map((other) => [one, 'x', other])]);
    const asked = groups.map((group) => group.map((q) => intent({ q })));
    await writeLog(directory, asked, { arguments: { '*': 'keep' } });
    expect((await verifyAuditLog(directory)).problems).to.deep.equal([]);
    const read = (await readAll(directory)).flatMap(
      ({ record }) => recordedRequest(record)?.request.context.arguments['q'] ?? [],
    );
    expect(read).to.deep.equal(groups.flat());
  });

  it('is a file of records, one a line, in the order in which they were appended', async () => {
    await using log = auditLog(directory);
    await log.open(identity);
    const written = events(50).map((event) => log.append(event));
    const indexes = (await Promise.all(written)).map(({ index }) => index);
    expect(indexes).to.deep.equal(Array.from({ length: 50 }, (_, at) => at + 1));
    const records = recordsOf(directory);
    expect(records.map(({ metadata }) => metadata.sequence)).to.deep.equal([0, ...indexes]);
    const kinds = events(50).map(({ kind }) => kind);
    expect(codes(directory)).to.deep.equal(['log.key', ...kinds]);
  });

  it('has a record in its file when it says so', async () => {
    await using log = auditLog(directory);
    await log.open(identity);
    for (const event of events(20)) {
      const { index } = await log.append(event);
      expect(linesOf(directory).length).to.equal(index + 1);
    }
  });

  it('is nobody else’s to read', async () => {
    await writeLog(directory, [events(3)]);
    expect(statSync(directory).mode & 0o777).to.equal(0o700);
    for (const name of readdirSync(directory).filter((each) => !each.startsWith('lock.'))) {
      expect(statSync(join(directory, name)).mode & 0o777, name).to.equal(0o600);
    }
  });

  it('goes on where it ended, by a new key that the SVID endorses', async () => {
    for (let run = 0; run < 3; run++) {
      await using log = auditLog(directory);
      await log.open(identity);
      await Promise.all(events(4).map((event) => log.append(event)));
    }
    const verdict = await verifyAuditLog(directory, { bundles: X509Bundles.of(ca.bundle) });
    expect(verdict.problems).to.deep.equal([]);
    expect(verdict.records).to.equal(15);
    expect(verdict.keys.map(({ index }) => index)).to.deep.equal([0, 5, 10]);
    expect(new Set(verdict.keys.map(({ key }) => key)).size).to.equal(3);
    expect(new Set(checkpointsOf(directory).map((note) => note.split('\n')[0])).size).to.equal(1);
  });

  it('is named after its identity, and otherwise than any other', async () => {
    const names = [];
    for (const name of ['one', 'two']) {
      await writeLog(join(directory, name), []);
      names.push((await verifyAuditLog(join(directory, name))).origin);
    }
    expect(names[0]).to.match(/^example\.org\/agents\/researcher\/audit\/[0-9a-f]{16}$/);
    expect(names[0]).to.not.equal(names[1]);
  });

  it('begins another file when one is full', async () => {
    await writeLog(
      directory,
      Array.from({ length: 10 }, () => events(10)),
      { segmentBytes: 1 << 16 },
    );
    const files = readdirSync(directory).filter((name) => name.endsWith('.jsonl'));
    expect(files.length).to.be.greaterThan(1);
    expect((await verifyAuditLog(directory)).records).to.equal(101);
  });

  describe('signs a checkpoint', () => {
    it('when it is opened, at the end of a task, and when it is closed', async () => {
      const log = auditLog(directory);
      await log.open(identity);
      expect(sizesOf(directory)).to.deep.equal([1]);
      await log.append(intent({}));
      await log.append(outcome());
      expect(sizesOf(directory)).to.deep.equal([1]);
      await log.append(taskEnd());
      expect(sizesOf(directory)).to.deep.equal([1, 4]);
      await log.append(intent({}));
      await log.close();
      expect(sizesOf(directory)).to.deep.equal([1, 4, 5]);
    });

    it('when asked, over all that was appended before', async () => {
      await using log = auditLog(directory);
      await log.open(identity);
      const written = events(7).map((event) => log.append(event));
      await log.checkpoint();
      expect(sizesOf(directory)).to.deep.equal([1, 8]);
      await Promise.all(written);
      await log.checkpoint();
      expect(sizesOf(directory)).to.deep.equal([1, 8]);
    });

    it('after so many records', async () => {
      const log = auditLog(directory, { checkpointRecords: 10 });
      await log.open(identity);
      for (const event of events(45)) await log.append(event);
      await log.close();
      const sizes = sizesOf(directory);
      expect(sizes.length).to.be.within(5, 7);
      expect(sizes.at(-1)).to.equal(46);
    });

    it('after so much time, when there is something to sign', async () => {
      const clock = new FakeClock();
      const log = openableLog(directory, { checkpointMs: 1000 }, clock);
      await log.open(identity);
      clock.advance(5000);
      await log.append(intent({}));
      clock.advance(999);
      expect(sizesOf(directory)).to.deep.equal([1]);
      clock.advance(1);
      // The one that is due comes before any that is asked for later.
      await log.checkpoint();
      expect(sizesOf(directory)).to.deep.equal([1, 2]);
      await log.close();
      expect(clock.pendingTimers).to.equal(0);
    });
  });

  describe('follows the identity', () => {
    it('and has each SVID endorse its key, which stays the same', async () => {
      await using log = auditLog(directory);
      await log.open(identity);
      await log.append(intent({}));
      identity.x509.set({ svids: [ca.issue(AGENT)] });
      await turned();
      await log.append(outcome());
      // The key has signed before: nothing is missing until it signs again.
      expect((await verifyAuditLog(directory)).problems).to.deep.equal([]);
      await log.checkpoint();
      expect(codes(directory)).to.deep.equal(['log.key', 'call.intent', 'log.key', 'call.outcome']);
      const bundles = X509Bundles.of(ca.bundle);
      const { problems, keys } = await verifyAuditLog(directory, { bundles });
      expect(problems).to.deep.equal([]);
      expect(keys.map(({ index }) => index)).to.deep.equal([0, 2]);
      expect(keys[0]?.key).to.equal(keys[1]?.key);
    });

    it('and says nothing when only the bundles change', async () => {
      await using log = auditLog(directory);
      await log.open(identity);
      identity.x509.set({ bundles: X509Bundles.of() });
      await turned();
      await log.append(outcome());
      expect(codes(directory)).to.deep.equal(['log.key', 'call.outcome']);
    });

    it('and refuses to write for another', async () => {
      await using log = auditLog(directory);
      await log.open(identity);
      identity.x509.set({ svids: [ca.issue('spiffe://example.org/agents/writer')] });
      await turned();
      const error = await refused(log.append(outcome()));
      expect(error.code).to.equal('ERR_SPIFFE_AUDIT_INVALID');
      expect(error.message).to.include('agents/writer').and.to.include(AGENT);
      identity.x509.set({ svids: [ca.issue(AGENT)] });
      await turned();
      await log.append(outcome());
    });

    it('no longer once it is closed', async () => {
      const log = auditLog(directory);
      await log.open(identity);
      await turned();
      expect(identity.x509.watchers).to.equal(1);
      await log.close();
      await turned();
      expect(identity.x509.watchers).to.equal(0);
    });
  });

  describe('is written by one process at a time', () => {
    it('and refuses a second, until the first is done', async () => {
      const first = auditLog(directory);
      await first.open(identity);
      const second = auditLog(directory);
      const error = await refused(second.open(identity));
      expect(error.code).to.equal('ERR_SPIFFE_AUDIT_UNAVAILABLE');
      expect(error.message).to.match(/another process.*directory of its own/);
      await first.append(intent({}));
      await first.close();
      await second.open(identity);
      await second.close();
      expect((await verifyAuditLog(directory)).records).to.equal(3);
    });

    it('and of many at once takes one', async () => {
      const logs = Array.from({ length: 20 }, () => auditLog(directory));
      const opened = await Promise.allSettled(logs.map((log) => log.open(identity)));
      expect(opened.filter(({ status }) => status === 'fulfilled').length).to.equal(1);
      await Promise.all(logs.map((log) => log.close()));
      expect((await verifyAuditLog(directory)).intact).to.equal(true);
    });

    it('in a directory whose path is longer than a socket’s may be', async () => {
      const deep = join(directory, 'a'.repeat(100), 'b'.repeat(100));
      await using log = auditLog(deep);
      await log.open(identity);
      expect((await refused(auditLog(deep).open(identity))).code).to.equal(
        'ERR_SPIFFE_AUDIT_UNAVAILABLE',
      );
    });

    it('and leaves one file behind for it', async () => {
      for (let run = 0; run < 4; run++) await openAndClose();
      expect(readdirSync(directory).filter((name) => name.startsWith('lock.'))).to.deep.equal([
        'lock.4',
      ]);
    });
  });

  describe('refuses', () => {
    it('to be opened by another identity than its own', async () => {
      await writeLog(directory, [events(2)]);
      const error = await refused(
        auditLog(directory).open(staticIdentity(ca, 'spiffe://example.org/other')),
      );
      expect(error.code).to.equal('ERR_SPIFFE_AUDIT_INVALID');
      expect(error.message).to.include(`it is that of ${AGENT}`);
      await using log = auditLog(directory);
      await log.open(identity);
    });

    it('to be opened without an identity', async () => {
      identity.x509.set({ state: 'revoked' });
      expect((await refused(auditLog(directory).open(identity))).code).to.equal(
        'ERR_SPIFFE_SVID_REVOKED',
      );
    });

    it('to serve two identities', async () => {
      await using log = auditLog(directory);
      await log.open(identity);
      await log.open(identity);
      const error = await refused(log.open(staticIdentity(ca, AGENT)));
      expect(error.code).to.equal('ERR_SPIFFE_OPTION_INVALID');
    });

    it('a record before it is open and once it is closed', async () => {
      const log = auditLog(directory);
      expect((await refused(log.append(intent({})))).message).to.include('not open');
      expect((await refused(log.checkpoint())).code).to.equal('ERR_SPIFFE_AUDIT_UNAVAILABLE');
      await log.open(identity);
      const last = log.append(intent({}));
      const closed = log.close();
      expect((await refused(log.append(intent({})))).code).to.equal('ERR_SPIFFE_AUDIT_UNAVAILABLE');
      await closed;
      await log.close();
      expect((await last).index).to.equal(1);
      expect((await refused(log.open(identity))).message).to.include('closed');
    });

    it('to go on when a record below a checkpoint was altered', async () => {
      await writeLog(directory, [events(5)]);
      const path = join(directory, '00000000000000000000.jsonl');
      const text = readFileSync(path, 'utf8');
      writeFileSync(path, text.replace('"duration_ms":3', '"duration_ms":4'));
      const error = await refused(auditLog(directory).open(identity));
      expect(error.code).to.equal('ERR_SPIFFE_AUDIT_INVALID');
      expect(error.message).to.match(/altered.*audit verify.*move it away/);
      writeFileSync(path, text);
      await using log = auditLog(directory);
      await log.open(identity);
    });

    it('to go on when records below a checkpoint are gone', async () => {
      await writeLog(directory, [events(5)]);
      const path = join(directory, '00000000000000000000.jsonl');
      writeFileSync(path, `${linesOf(directory).slice(0, -1).join('\n')}\n`);
      expect((await refused(auditLog(directory).open(identity))).code).to.equal(
        'ERR_SPIFFE_AUDIT_INVALID',
      );
      rmSync(path);
      expect((await refused(auditLog(directory).open(identity))).code).to.equal(
        'ERR_SPIFFE_AUDIT_INVALID',
      );
    });

    const BAD: readonly (readonly [string, AuditLogOptions, RegExp])[] = [
      [
        'a rule that is none',
        { arguments: { search: 'hash' as 'keep' } },
        /"hash".*keep, digest or redact/,
      ],
      [
        'a rule about an argument that is none',
        { arguments: { '*': { q: 1 as never } } },
        /argument "q"/,
      ],
      ['a checkpoint after no record', { checkpointRecords: 0 }, /checkpointRecords/],
      ['a checkpoint after part of a record', { checkpointRecords: 1.5 }, /checkpointRecords/],
      ['a checkpoint after no time', { checkpointMs: 0 }, /checkpointMs/],
      ['a file that holds no record', { segmentBytes: 1000 }, /segmentBytes/],
    ];
    for (const [what, options, says] of BAD) {
      it(what, () => {
        refusal('ERR_SPIFFE_OPTION_INVALID', says, () => auditLog(directory, options));
      });
    }

    it('a directory that is none', () => {
      refusal('ERR_SPIFFE_OPTION_INVALID', /give a path/, () => auditLog(''));
      refusal('ERR_SPIFFE_OPTION_INVALID', /give a path/, () => auditLog(7 as never));
    });

    it('a directory that is a file', async () => {
      mkdirSync(join(home.path, 'new'));
      writeFileSync(directory, '');
      const error = await refused(auditLog(directory).open(identity));
      expect(error.code).to.equal('ERR_SPIFFE_AUDIT_UNAVAILABLE');
      expect(error.message).to.include(directory);
    });
  });

  describe('takes', () => {
    it('a turn of thousands, and keeps their order', async () => {
      await using log = auditLog(directory, { checkpointRecords: 100 });
      await log.open(identity);
      const written = await Promise.all(events(3000).map((event) => log.append(event)));
      expect(written.map(({ index }) => index)).to.deep.equal(written.map((_, at) => at + 1));
      await log.checkpoint();
      expect(codes(directory).slice(1)).to.deep.equal(events(3000).map(({ kind }) => kind));
      expect(await verifyAuditLog(directory)).to.include({ intact: true, covered: 3001 });
    });

    it('no more than may wait to be written, and goes on when that was', async function () {
      this.timeout(60_000);
      using memory = new TemporaryDirectory({ inMemory: true });
      await using log = auditLog(memory.path, { arguments: { '*': 'keep' } });
      await log.open(identity);
      const large = intent({ q: 'x'.repeat(60_000) });
      const results = await Promise.allSettled(
        Array.from({ length: 1300 }, () => log.append(large)),
      );
      const taken = results.filter(({ status }) => status === 'fulfilled').length;
      // 64 MiB, at somewhat more than 60,000 bytes each.
      expect(taken).to.be.within(1050, 1110);
      expect(results.slice(0, taken).every(({ status }) => status === 'fulfilled')).to.equal(true);
      const error = (results[taken] as PromiseRejectedResult).reason as SpiffeError;
      expect(error.code).to.equal('ERR_SPIFFE_AUDIT_UNAVAILABLE');
      expect(error.message).to.include('bytes wait to be written');
      expect((await log.append(large)).index).to.equal(taken + 1);
      expect((await verifyAuditLog(memory.path)).problems).to.deep.equal([]);
    });
  });

  describe('refuses every record', () => {
    it('from when its file was deleted', async () => {
      const log = auditLog(directory);
      await log.open(identity);
      rmSync(firstFile());
      for (let attempt = 0; attempt < 3; attempt++) {
        const error = await refused(log.append(intent({})));
        expect(error.code).to.equal('ERR_SPIFFE_AUDIT_UNAVAILABLE');
      }
      expect(existsSync(firstFile())).to.equal(false);
      await log.close();
    });

    it('from when its file was cut, until it is whole again', async () => {
      await using log = auditLog(directory);
      await log.open(identity);
      await log.append(intent({}));
      const whole = readFileSync(firstFile());
      truncateSync(firstFile(), whole.length - 10);
      for (let attempt = 0; attempt < 3; attempt++)
        expect((await refused(log.append(intent({})))).message).to.include('was cut');
      writeFileSync(firstFile(), whole);
      expect((await log.append(intent({}))).index).to.equal(3);
      expect(codes(directory)).to.deep.equal([
        'log.key',
        'call.intent',
        'log.outage',
        'call.intent',
      ]);
      expect(recordsOf(directory)[2]?.unmapped['outage']).to.include({ refused: 3 });
    });

    it('that cannot be signed is written all the same, and the checkpoint refused', async () => {
      const log = auditLog(directory);
      await log.open(identity);
      rmSync(join(directory, 'checkpoints'));
      expect((await log.append(taskEnd())).index).to.equal(1);
      expect((await refused(log.checkpoint())).message).to.include('checkpoints was deleted');
      expect((await refused(log.close())).code).to.equal('ERR_SPIFFE_AUDIT_UNAVAILABLE');
      // The lock was let go of; and a log without its checkpoints is not gone on with.
      expect((await refused(openAndClose())).message).to.include('has signed no checkpoint');
    });
  });

  describe('gives a copy', () => {
    it('of each record, once it is durable, to a logger', async () => {
      const copies: { record: object; message: string; durable: number }[] = [];
      const copyTo = {
        ...SILENT,
        info: (record: object, message: string) =>
          copies.push({ record, message, durable: linesOf(directory).length }),
      };
      await using log = auditLog(directory, { copyTo });
      await log.open(identity);
      await Promise.all(events(5).map((event) => log.append(event)));
      expect(copies.map(({ record }) => record)).to.deep.equal(recordsOf(directory));
      expect(copies.map(({ durable }) => durable)).to.deep.equal([1, 6, 6, 6, 6, 6]);
      expect(copies[1]?.message).to.equal('search may run');
    });

    it('and is not stopped by a logger that throws', async () => {
      const told: string[] = [];
      const copyTo = {
        ...SILENT,
        info: () => {
          throw new Error('full');
        },
      };
      const logger = { ...SILENT, error: (_: object, message: string) => told.push(message) };
      await using log = auditLog(directory, { copyTo, logger });
      await log.open(identity);
      await log.append(intent({}));
      expect(told).to.deep.equal([
        'copy of an audit record not taken',
        'copy of an audit record not taken',
      ]);
    });
  });

  it('can be read record by record, up to one that is not complete', async () => {
    await writeLog(directory, [events(30)], { segmentBytes: 1 << 16 });
    const read = await readAll(directory);
    expect(read.map(({ record }) => record)).to.deep.equal(recordsOf(directory));
    expect(read.map(({ index }) => index)).to.deep.equal(read.map((_, at) => at));
    appendFileSync(join(directory, '00000000000000000000.jsonl'), '{"action"');
    expect((await readAll(directory)).length).to.equal(31);
    appendFileSync(join(directory, '00000000000000000000.jsonl'), ':1}\n');
    const error = await refused(readAll(directory));
    expect(error.code).to.equal('ERR_SPIFFE_AUDIT_INVALID');
    expect(error.message).to.include('record 31');
  });

  it('can be verified while it is written', async () => {
    await using log = auditLog(directory, { checkpointRecords: 7 });
    await log.open(identity);
    for (let round = 0; round < 20; round++) {
      const written = events(20).map((event) => log.append(event));
      const { problems } = await verifyAuditLog(directory);
      expect(problems).to.deep.equal([]);
      await Promise.all(written);
    }
  });

  it('cannot be verified where there is none', async () => {
    const error = await refused(verifyAuditLog(home.path));
    expect(error.code).to.equal('ERR_SPIFFE_AUDIT_UNAVAILABLE');
    expect((await refused(verifyAuditLog(join(home.path, 'nowhere')))).message).to.include(
      'cannot be read',
    );
    appendFileSync(join(home.path, 'checkpoints'), 'x');
    expect((await refused(verifyAuditLog(home.path))).message).to.include('there is none');
  });
});

const nothing = (): void => {};
const SILENT = { debug: nothing, info: nothing, warn: nothing, error: nothing };
