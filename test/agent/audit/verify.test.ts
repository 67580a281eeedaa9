import { generateKeyPairSync } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { X509Bundles } from 'agent-spiffe';
import { type AuditProblem, type AuditVerdict, auditLog, verifyAuditLog } from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { signCheckpoint } from '#lib/agent/audit/checkpoint.js';
import { endorse } from '#lib/agent/audit/endorsement.js';
import { eventLine, ownLine } from '#lib/agent/audit/line.js';
import { signNote, VerifierKey } from '#lib/agent/audit/note.js';
import { keyParts } from '#lib/agent/audit/own-parts.js';
import { bytesOf, type Hash, leafHash, MerkleTree } from '#lib/agent/audit/tree.js';
import {
  AGENT,
  checkpointsOf,
  events,
  intent,
  linesOf,
  segmentsOf,
  TemporaryDirectory,
  type WrittenLog,
  writeLog,
} from '../../support/audit.js';

/** What was found, as short as it can be told apart. */
function told({ problems }: AuditVerdict): readonly string[] {
  return problems.map(({ kind, index, end }) => {
    const range = end === undefined ? '' : `-${end}`;
    return index === undefined ? kind : `${kind} ${index}${range}`;
  });
}

const FIRST = '00000000000000000000.jsonl';

describe('an audit log that was altered', () => {
  // Record 0 is the log key; checkpoints are at 1, 4, 7, 10 and 12.
  const SIZE = 12;
  const home = new TemporaryDirectory();
  const original = join(home.path, 'original');
  const copy = join(home.path, 'copy');
  let written: WrittenLog;
  let other: readonly string[];
  let lines: readonly string[];

  before(async () => {
    const all = events(SIZE - 1);
    const groups = [all.slice(0, 3), all.slice(3, 6), all.slice(6, 9), all.slice(9)];
    written = await writeLog(original, groups);
    await writeLog(join(home.path, 'other'), groups);
    lines = linesOf(original);
    other = linesOf(join(home.path, 'other'));
  });

  after(() => home[Symbol.dispose]());

  beforeEach(() => {
    rmSync(copy, { recursive: true, force: true });
    cpSync(original, copy, { recursive: true, filter: (path) => !path.includes('lock.') });
  });

  function write(altered: readonly string[]): void {
    writeFileSync(join(copy, FIRST), altered.map((line) => `${line}\n`).join(''));
  }

  async function found(altered: readonly string[]): Promise<readonly string[]> {
    write(altered);
    const verdict = await verifyAuditLog(copy);
    expect(verdict.intact).to.equal(verdict.problems.length === 0);
    return told(verdict);
  }

  function writeCheckpoints(notes: readonly string[]): void {
    writeFileSync(join(copy, 'checkpoints'), notes.join(''));
  }

  const everywhere = Array.from({ length: SIZE }, (_, at) => at);
  // Without the record that endorses the log key, nothing that key has signed counts.
  const beyondTheKey = everywhere.slice(1);

  it('is intact when it was not', async () => {
    const verdict = await verifyAuditLog(copy);
    expect(verdict.problems).to.deep.equal([]);
    expect(verdict.records).to.equal(SIZE);
    expect(verdict.covered).to.equal(SIZE);
    expect(verdict.checkpoints).to.equal(5);
    expect(verdict.id).to.equal(AGENT);
  });

  it('shows which record was edited, at every position', async () => {
    for (const at of beyondTheKey) {
      const line = lines[at] as string;
      const altered = lines.with(at, line.replace('"time":1', '"time":2'));
      expect(await found(altered), `record ${at}`).to.deep.equal([`record-changed ${at}`]);
    }
  });

  it('shows that a byte was edited, at every position of a line', async () => {
    const bytes = readFileSync(join(original, FIRST));
    const start = Buffer.byteLength(lines.slice(0, 5).join('\n')) + 1;
    for (let at = start; at < start + (lines[5] as string).length; at += 7) {
      const altered = Buffer.from(bytes);
      altered.writeUInt8(altered.readUInt8(at) ^ 1, at);
      writeFileSync(join(copy, FIRST), altered);
      expect(told(await verifyAuditLog(copy)), `byte ${at}`).to.deep.equal(['record-changed 5']);
    }
  });

  it('shows which record was deleted, at every position', async () => {
    for (const at of beyondTheKey) {
      const expected =
        at === SIZE - 1 ? `log-truncated ${at}-${SIZE}` : `record-removed ${at}-${at + 1}`;
      expect(await found(lines.toSpliced(at, 1)), `record ${at}`).to.deep.equal([expected]);
    }
  });

  it('shows where a record was inserted, at every position', async () => {
    const foreign = other[5] as string;
    for (const at of beyondTheKey) {
      const inserted = await found(lines.toSpliced(at, 0, foreign));
      expect(inserted, `before record ${at}`).to.deep.equal([`record-inserted ${at}`]);
    }
  });

  it('shows that a record was doubled, at every position', async () => {
    for (const at of beyondTheKey.slice(0, -1)) {
      const doubled = await found(lines.toSpliced(at, 0, lines[at] as string));
      expect(doubled, `record ${at}`).to.deep.equal([`record-inserted ${at + 1}`]);
    }
  });

  it('shows that records were reordered, at every position', async () => {
    for (const at of beyondTheKey.slice(0, -1)) {
      const pair = [lines[at + 1] as string, lines[at] as string];
      const swapped = await found(lines.toSpliced(at, 2, ...pair));
      expect(swapped, `record ${at}`).to.deep.equal([`record-moved ${at + 1}`]);
    }
  });

  it('shows which record was moved to the end, at every position', async () => {
    for (const at of beyondTheKey.slice(0, -2)) {
      const moved = await found([...lines.toSpliced(at, 1), lines[at] as string]);
      expect(moved, `record ${at}`).to.deep.equal([`record-moved ${at}`]);
    }
  });

  it('shows where the log was cut, at every position', async () => {
    for (const at of beyondTheKey) {
      const expected = [`log-truncated ${at}-${SIZE}`];
      expect(await found(lines.slice(0, at)), `before record ${at}`).to.deep.equal(expected);
    }
  });

  it('shows where the log was cut, at every byte of a record', async () => {
    const path = join(copy, FIRST);
    const start = Buffer.byteLength(lines.slice(0, SIZE - 1).join('\n')) + 1;
    const end = readFileSync(path).length;
    for (let at = end - 1; at > start; at -= 5) {
      truncateSync(path, at);
      const [broken, cut] = told(await verifyAuditLog(copy));
      expect([broken, cut]).to.deep.equal([
        `line-broken ${SIZE - 1}`,
        `log-truncated ${SIZE - 1}-${SIZE}`,
      ]);
    }
  });

  it('shows records spliced in from another log, at every position', async () => {
    for (const at of beyondTheKey) {
      const spliced = lines.toSpliced(at, 2, ...other.slice(at, at + 2));
      const last = Math.min(at + 2, SIZE);
      const expected = everywhere.slice(at, last).map((index) => `record-changed ${index}`);
      expect(await found(spliced), `record ${at}`).to.deep.equal(expected);
    }
  });

  it('shows the half of another log behind its own, at every position', async () => {
    for (const at of beyondTheKey) {
      const expected = everywhere.slice(at).map((index) => `record-changed ${index}`);
      const spliced = [...lines.slice(0, at), ...other.slice(at)];
      expect(await found(spliced), `record ${at}`).to.deep.equal(expected);
    }
  });

  it('shows that the record of its key was edited, deleted or exchanged', async () => {
    const [key = ''] = lines;
    const edits = [
      lines.with(0, key.replace('"time":1', '"time":2')),
      lines.with(0, key.replace('"signature":"ME', '"signature":"MF')),
      lines.with(0, other[0] as string),
      lines.slice(1),
      lines.with(0, '{}'),
    ];
    edits.push(lines.with(0, '{"activity_id":'), lines.with(0, '{"activity_id":99}'));
    for (const edited of edits) {
      write(edited);
      const { intact, problems } = await verifyAuditLog(copy);
      expect(intact).to.equal(false);
      expect(problems.length).to.be.lessThan(4);
    }
  });

  it('names the range between two checkpoints when the leaf hashes are no help', async () => {
    const sizes = [1, 4, 7, 10, 12];
    for (const hashes of ['gone', 'forged']) {
      if (hashes === 'gone') rmSync(join(copy, 'hashes'));
      else writeFileSync(join(copy, 'hashes'), Buffer.alloc(32 * SIZE, 7));
      for (const at of beyondTheKey) {
        const end = sizes.find((size) => size > at);
        const start = sizes.findLast((size) => size <= at);
        const line = lines[at] as string;
        const altered = await found(lines.with(at, line.replace('"time":1', '"time":2')));
        expect(altered, `record ${at}, hashes ${hashes}`).to.deep.equal([
          `records-altered ${start}-${end}`,
        ]);
      }
    }
  });

  it('is not told to be intact by leaf hashes that were altered with it', async () => {
    const line = (lines[5] as string).replace('"time":1', '"time":2');
    write(lines.with(5, line));
    const hashes = readFileSync(join(copy, 'hashes'));
    hashes.write(leafHash(Buffer.from(line)), 5 * 32, 'latin1');
    writeFileSync(join(copy, 'hashes'), hashes);
    expect(told(await verifyAuditLog(copy))).to.deep.equal(['records-altered 4-7']);
  });

  describe('in its checkpoints', () => {
    it('shows each line that was edited, of each checkpoint', async () => {
      const notes = checkpointsOf(original);
      for (const [number, note] of notes.entries()) {
        for (const line of [0, 1, 2, 4]) {
          const text = note.split('\n');
          const was = text[line] as string;
          // One digit, one letter of base64 that is not its last: still of the right form.
          const at = line === 4 ? was.length - 20 : line === 1 ? 0 : 5;
          const is = was.slice(0, at) + (was.charAt(at) === '9' ? '8' : '9') + was.slice(at + 1);
          writeCheckpoints(notes.with(number, text.with(line, is).join('\n')));
          const { intact, problems } = await verifyAuditLog(copy);
          expect(intact, `checkpoint ${number + 1}, line ${line + 1}`).to.equal(false);
          expect(problems.map(({ kind }) => kind)).to.include('checkpoint-invalid');
          expect(problems.some(({ file }) => file === 'checkpoints')).to.equal(true);
          expect(problems.some(({ kind }) => kind.startsWith('record'))).to.equal(false);
        }
      }
    });

    it('shows those that are none', async () => {
      const notes = checkpointsOf(original);
      for (const broken of [
        'not a note\n\n— x AAAAAAAA\n',
        (notes[2] as string).replace('\n7\n', '\n'),
      ]) {
        writeCheckpoints(notes.with(2, broken));
        const { problems } = await verifyAuditLog(copy);
        expect(problems.map(({ message, line }) => [message, line])).to.deep.equal([
          ['checkpoint 3 is malformed', 11],
        ]);
      }
    });

    it('says which it is when it is one of several', async () => {
      const notes = checkpointsOf(original);
      const signature = notes[1]?.split('\n')[4] as string;
      const last = notes[2]?.split('\n')[4] as string;
      writeCheckpoints(notes.with(2, (notes[2] as string).replace(last, signature)));
      const { problems } = await verifyAuditLog(copy);
      expect(problems.map(({ message }) => message)).to.deep.equal([
        'checkpoint 3 is signed by no key that an earlier record endorses',
      ]);
    });

    it('shows that they were reordered or doubled', async () => {
      const notes = checkpointsOf(original);
      for (const at of [0, 1, 2, 3]) {
        writeCheckpoints(notes.toSpliced(at, 2, notes[at + 1] as string, notes[at] as string));
        expect(told(await verifyAuditLog(copy))).to.deep.equal(['checkpoint-invalid']);
        writeCheckpoints(notes.toSpliced(at, 0, notes[at] as string));
        expect(told(await verifyAuditLog(copy))).to.deep.equal(['checkpoint-invalid']);
      }
    });

    it('takes those that others have signed too', async () => {
      const witness = '— witness.example/w AAAAAAAA\n';
      writeCheckpoints(checkpointsOf(original).map((note) => `${note}${witness}`));
      expect(told(await verifyAuditLog(copy))).to.deep.equal([]);
      expect((await verifyAuditLog(copy)).checkpoints).to.equal(5);
    });

    it('cannot be read when they are no file', async () => {
      rmSync(join(copy, 'checkpoints'));
      mkdirSync(join(copy, 'checkpoints'));
      const error: unknown = await verifyAuditLog(copy).catch((reason: unknown) => reason);
      expect(error).to.include({ code: 'ERR_SPIFFE_AUDIT_UNAVAILABLE' });
    });

    it('is told by those that are left when one is gone', async () => {
      const notes = checkpointsOf(original);
      for (const at of [0, 1, 2, 3]) {
        writeCheckpoints(notes.toSpliced(at, 1));
        expect((await verifyAuditLog(copy)).intact).to.equal(true);
        const altered = lines.with(2, (lines[2] as string).replace('"time":1', '"time":2'));
        expect(await found(altered)).to.deep.equal(['record-changed 2']);
        write(lines);
      }
    });

    it('cannot be vouched for by those of another log', async () => {
      copyFileSync(join(home.path, 'other', 'checkpoints'), join(copy, 'checkpoints'));
      const { problems } = await verifyAuditLog(copy);
      expect(problems.map(({ message }) => message)).to.deep.equal([
        'checkpoints 1 to 5 are signed by no key that an earlier record endorses',
      ]);
    });

    it('shows that all of them are gone, and then the log is not continued', async () => {
      rmSync(join(copy, 'checkpoints'));
      const verdict = await verifyAuditLog(copy);
      expect(told(verdict)).to.deep.equal(['checkpoint-missing 0']);
      const log = auditLog(copy);
      let error: unknown;
      await log.open(written.identity).catch((reason: unknown) => (error = reason));
      expect(error).to.include({ code: 'ERR_SPIFFE_AUDIT_INVALID' });
    });

    it('says what is below none', async () => {
      writeCheckpoints(checkpointsOf(original).slice(0, 3));
      const { intact, covered, records, remarks } = await verifyAuditLog(copy);
      expect({ intact, covered, records }).to.deep.equal({ intact: true, covered: 7, records: 12 });
      expect(remarks[0]).to.equal('the last 5 records are below no checkpoint yet');
    });

    it('takes a line that is not complete for what a killed writer has left', async () => {
      writeFileSync(join(copy, FIRST), '{"action"', { flag: 'a' });
      writeFileSync(join(copy, 'checkpoints'), 'example.org/', { flag: 'a' });
      const { problems, remarks, records } = await verifyAuditLog(copy);
      expect(problems).to.deep.equal([]);
      expect(records).to.equal(SIZE);
      expect(remarks.join()).to.include('the last line, after record 11, is not complete');
      expect(remarks.join()).to.include('the last checkpoint is not complete');
    });

    it('shows what is no record after the last', async () => {
      writeCheckpoints(checkpointsOf(original).slice(0, 3));
      expect(await found(lines.toSpliced(9, 1))).to.deep.equal(['line-broken 9']);
      expect(await found(lines.with(9, '{}'))).to.deep.equal(['line-broken 9']);
      expect(await found(lines.with(9, 'x'))).to.deep.equal(['line-broken 9']);
    });
  });
});

describe('an audit log of several processes', () => {
  const home = new TemporaryDirectory();
  const original = join(home.path, 'original');
  const copy = join(home.path, 'copy');

  // Keys at 0 and 4; checkpoints at 1, 4, 5 and 8.
  before(async () => {
    const { identity } = await writeLog(original, [events(3)]);
    await using log = auditLog(original);
    await log.open(identity);
    for (const event of events(3)) await log.append(event);
  });

  after(() => home[Symbol.dispose]());

  beforeEach(() => {
    rmSync(copy, { recursive: true, force: true });
    cpSync(original, copy, { recursive: true, filter: (path) => !path.includes('lock.') });
  });

  function keep(
    count: number,
    checkpoints: number,
    alter: (line: string) => string = String,
  ): void {
    const lines = linesOf(original).slice(0, count);
    const altered = [...lines.slice(0, -1), alter(lines.at(-1) as string)];
    writeFileSync(join(copy, FIRST), altered.map((line) => `${line}\n`).join(''));
    const notes = checkpointsOf(original).slice(0, checkpoints);
    writeFileSync(join(copy, 'checkpoints'), notes.join(''));
  }

  it('is intact when one was killed before its key has signed anything', async () => {
    keep(5, 2);
    expect(told(await verifyAuditLog(copy))).to.deep.equal([]);
  });

  it('shows that the checkpoints of one are gone', async () => {
    keep(8, 2);
    expect(told(await verifyAuditLog(copy))).to.deep.equal(['checkpoint-missing 4']);
  });

  const UNENDORSED: readonly (readonly [string, (line: string) => string])[] = [
    ['at another time that is none', (line) => line.replace(/"time":[0-9]+/, '"time":"now"')],
    ['at a time in words', (line) => line.replace(/"time":[0-9]+/, '"time":"2026"')],
    ['at a time beyond all', (line) => line.replace(/"time":[0-9]+/, '"time":1e300')],
    ['with nothing in it', (line) => line.replace(/"endorsement":\{[^}]*\}/, '"endorsement":{}')],
    ['without it', (line) => line.replace('"endorsement"', '"endorsements"')],
    ['for another log', (line) => line.replace(/"origin":"[^"]*"/, '"origin":"example.org/x"')],
    ['by another signature', (line) => line.replace('"signature":"ME', '"signature":"MF')],
    ['that is not base64', (line) => line.replace('"signature":"ME', '"signature":"M*')],
    ['by another algorithm', (line) => line.replace('P256-SHA256', 'P384-SHA384')],
    ['by no certificate', (line) => line.replace(/"svid":\[[^\]]*\]/, '"svid":[]')],
    [
      'by a certificate that is none',
      (line) => line.replace(/"svid":\[[^\]]*\]/, '"svid":["AAAA"]'),
    ],
  ];
  for (const [what, alter] of UNENDORSED) {
    it(`shows an endorsement ${what}`, async () => {
      keep(5, 2, alter);
      expect(told(await verifyAuditLog(copy))).to.deep.equal(['endorsement-invalid 4']);
    });
  }

  it('shows an endorsement that is for another place', async () => {
    keep(4, 2);
    const moved = (linesOf(original)[0] as string).replace('"sequence":0', '"sequence":4');
    writeFileSync(join(copy, FIRST), `${readFileSync(join(copy, FIRST), 'utf8')}${moved}\n`);
    expect(told(await verifyAuditLog(copy))).to.deep.equal(['endorsement-invalid 4']);
  });

  it('shows an endorsement by another identity', async () => {
    const { origin = '' } = await verifyAuditLog(original);
    await expectRefused(origin, 'spiffe://example.org/agents/writer');
  });

  it('shows an endorsement for another log of the same identity', () =>
    expectRefused('example.org/agents/researcher/audit/0', AGENT));

  it('takes one for this log of this identity', async () => {
    const { origin = '' } = await verifyAuditLog(original);
    await endorseAgain(origin, AGENT);
    expect(told(await verifyAuditLog(copy))).to.deep.equal([]);
  });

  async function expectRefused(origin: string, id: string): Promise<void> {
    await endorseAgain(origin, id);
    expect(told(await verifyAuditLog(copy))).to.deep.equal(['endorsement-invalid 4']);
  }

  /** Puts an endorsement behind the first four records. */
  async function endorseAgain(origin: string, id: string): Promise<void> {
    keep(4, 2);
    const svid = TestCa.create('example.org').issue(id);
    const { publicKey } = generateKeyPairSync('ed25519');
    const key = VerifierKey.of(origin, publicKey.export({ format: 'der', type: 'spki' }));
    const endorsement = endorse(svid, { origin, index: 4, key });
    const parts = keyParts(endorsement, { agent: AGENT, time: Date.now() });
    const line = ownLine(parts, 4, { origin, version: '1' });
    writeFileSync(join(copy, FIRST), line, { flag: 'a' });
  }

  it('shows that the first record endorses no key', async () => {
    const line = eventLine(intent({}), 0, { origin: 'example.org/x', version: '1' }, () => 'keep');
    writeFileSync(join(copy, FIRST), line);
    rmSync(join(copy, 'checkpoints'));
    expect(told(await verifyAuditLog(copy))).to.deep.equal(['endorsement-invalid 0']);
  });
});

describe('an audit log whose own key signs what is not so', () => {
  const ca = TestCa.create('example.org');
  const origin = 'example.org/agents/researcher/audit/0';
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = VerifierKey.of(origin, publicKey.export({ format: 'der', type: 'spki' }));
  const endorsement = endorse(ca.issue(AGENT), { origin, index: 0, key });
  const setting = { origin, version: '1' };
  const lines = [
    ownLine(keyParts(endorsement, { agent: AGENT, time: Date.now() }), 0, setting),
    ...[1, 2, 3].map((at) => eventLine(intent({}), at, setting, () => 'keep')),
  ];
  let home: TemporaryDirectory;

  beforeEach(() => {
    home = new TemporaryDirectory();
    writeFileSync(join(home.path, FIRST), lines.join(''));
  });

  afterEach(() => home[Symbol.dispose]());

  function sign(checkpoints: readonly (readonly [number, Hash])[]): void {
    const notes = checkpoints.map(([size, root]) =>
      signCheckpoint({ origin, size, root }, key, privateKey),
    );
    writeFileSync(join(home.path, 'checkpoints'), notes.join(''));
  }

  /** The root of the first records. */
  function rootAt(size: number): Hash {
    const tree = new MerkleTree();
    for (const line of lines.slice(0, size)) tree.append(leafHash(Buffer.from(line.trimEnd())));
    return tree.root();
  }

  it('is intact when it is so', async () => {
    sign([
      [1, rootAt(1)],
      [2, rootAt(2)],
      [4, rootAt(4)],
    ]);
    expect(told(await verifyAuditLog(home.path))).to.deep.equal([]);
  });

  it('shows a checkpoint that is for another tree than the ones after it', async () => {
    sign([
      [1, rootAt(1)],
      [2, rootAt(3)],
      [4, rootAt(4)],
    ]);
    const { problems } = await verifyAuditLog(home.path);
    expect(problems.map(({ message }) => message)).to.deep.equal([
      'checkpoint 2 is for another tree than the signed ones after it',
    ]);
  });

  it('shows by a checkpoint that was kept that what is below it is not what it was', async () => {
    const other = new MerkleTree();
    for (const line of ['a', 'b']) other.append(leafHash(Buffer.from(line)));
    const kept = signCheckpoint({ origin, size: 2, root: other.root() }, key, privateKey);
    const same = signCheckpoint({ origin, size: 2, root: rootAt(2) }, key, privateKey);
    sign([
      [1, rootAt(1)],
      [4, rootAt(4)],
    ]);
    const verdict = await verifyAuditLog(home.path, { checkpoints: [same, kept] });
    expect(told(verdict)).to.deep.equal(['checkpoint-unknown 2']);
    expect(verdict.problems[0]?.message).to.include('the records below it are others');
    expect(told(await verifyAuditLog(home.path, { checkpoints: [same] }))).to.deep.equal([]);
  });

  it('shows a checkpoint of another log', async () => {
    sign([[1, rootAt(1)]]);
    const other = VerifierKey.of(
      'example.org/other',
      publicKey.export({ format: 'der', type: 'spki' }),
    );
    const note = signCheckpoint(
      { origin: 'example.org/other', size: 4, root: rootAt(4) },
      other,
      privateKey,
    );
    writeFileSync(join(home.path, 'checkpoints'), note, { flag: 'a' });
    expect(told(await verifyAuditLog(home.path))).to.deep.equal(['checkpoint-invalid']);
  });

  it('shows a checkpoint whose origin is not the name of its key', async () => {
    const note = signNote(
      `example.org/other\n4\n${bytesOf(rootAt(4)).toString('base64')}\n`,
      key,
      privateKey,
    );
    sign([[1, rootAt(1)]]);
    writeFileSync(join(home.path, 'checkpoints'), note, { flag: 'a' });
    expect(told(await verifyAuditLog(home.path))).to.deep.equal(['checkpoint-invalid']);
  });
});

describe('an audit log in several files', () => {
  const home = new TemporaryDirectory();
  const original = join(home.path, 'original');
  const copy = join(home.path, 'copy');
  let names: readonly string[];

  before(async () => {
    const big = events(300);
    const groups = Array.from({ length: 30 }, (_, at) => big.slice(at * 10, at * 10 + 10));
    await writeLog(original, groups, { segmentBytes: 1 << 16 });
    names = segmentsOf(original).map((path) => path.slice(-FIRST.length));
    expect(names.length).to.be.greaterThan(3);
  });

  after(() => home[Symbol.dispose]());

  beforeEach(() => {
    rmSync(copy, { recursive: true, force: true });
    cpSync(original, copy, { recursive: true, filter: (path) => !path.includes('lock.') });
  });

  it('is verified over all of them', async () => {
    const { intact, records, covered } = await verifyAuditLog(copy);
    expect({ intact, records, covered }).to.deep.equal({
      intact: true,
      records: 301,
      covered: 301,
    });
  });

  it('names each file after its first record', async () => {
    let count = 0;
    for (const path of segmentsOf(copy)) {
      expect(path.endsWith(`${String(count).padStart(20, '0')}.jsonl`)).to.equal(true);
      count += readFileSync(path, 'utf8').split('\n').length - 1;
    }
    expect(count).to.equal(301);
  });

  it('shows that one is gone, whichever', async () => {
    for (const name of names.slice(1)) {
      renameSync(join(copy, name), join(home.path, 'away'));
      const { problems } = await verifyAuditLog(copy);
      const first = Number(name.slice(0, 20));
      expect(
        problems.some(({ index }) => index === first),
        name,
      ).to.equal(true);
      renameSync(join(home.path, 'away'), join(copy, name));
    }
    expect((await verifyAuditLog(copy)).intact).to.equal(true);
  });

  it('shows that one is named after another record, where no checkpoint tells', async () => {
    writeFileSync(join(copy, 'checkpoints'), checkpointsOf(original)[0] as string);
    expect(told(await verifyAuditLog(copy))).to.deep.equal([]);
    const last = names.at(-1) as string;
    renameSync(join(copy, last), join(copy, '00000000000000000999.jsonl'));
    expect(told(await verifyAuditLog(copy))).to.deep.equal([
      `segment-missing ${Number(last.slice(0, 20))}`,
    ]);
  });

  it('shows that one that is not the last does not end with a line', async () => {
    const [name = ''] = names;
    writeFileSync(join(copy, name), '{"action"', { flag: 'a' });
    const { problems } = await verifyAuditLog(copy);
    expect(problems.map(({ kind, file }) => [kind, file])).to.deep.equal([['line-broken', name]]);
  });

  it('shows that two were exchanged', async () => {
    const [, second = '', third = ''] = names;
    renameSync(join(copy, second), join(home.path, 'away'));
    renameSync(join(copy, third), join(copy, second));
    renameSync(join(home.path, 'away'), join(copy, third));
    const { intact, problems } = await verifyAuditLog(copy);
    expect(intact).to.equal(false);
    expect(problems.some(({ kind }) => kind === 'record-moved')).to.equal(true);
  });

  it('shows where an edit is, by file and line', async () => {
    const name = names[2] as string;
    const text = readFileSync(join(copy, name), 'utf8').split('\n');
    const line = 4;
    writeFileSync(
      join(copy, name),
      text.with(line, (text[line] as string).replace('"time":1', '"time":2')).join('\n'),
    );
    const { problems } = await verifyAuditLog(copy);
    const expected: AuditProblem[] = [
      {
        kind: 'record-changed',
        index: Number(name.slice(0, 20)) + line,
        file: name,
        line: line + 1,
        message: `record ${Number(name.slice(0, 20)) + line} was changed: ${name} line ${line + 1}`,
      },
    ];
    expect(problems).to.deep.equal(expected);
  });
});

describe('who wrote an audit log', () => {
  const home = new TemporaryDirectory();
  let log: WrittenLog;
  const directory = join(home.path, 'log');

  before(async () => {
    log = await writeLog(directory, [events(4), events(4)]);
  });

  after(() => home[Symbol.dispose]());

  it('is verified against bundles', async () => {
    const bundles = X509Bundles.of(log.ca.bundle);
    const { intact, trusted, id, remarks } = await verifyAuditLog(directory, {
      bundles,
      id: AGENT,
    });
    expect({ intact, trusted, id }).to.deep.equal({ intact: true, trusted: true, id: AGENT });
    expect(remarks).to.deep.equal([]);
  });

  it('is said not to be verified without them', async () => {
    const { intact, trusted, remarks } = await verifyAuditLog(directory);
    expect({ intact, trusted }).to.deep.equal({ intact: true, trusted: false });
    expect(remarks.join()).to.include('who wrote it is not verified');
  });

  it('is not believed of another authority', async () => {
    const bundles = X509Bundles.of(TestCa.create('example.org').bundle);
    const verdict = await verifyAuditLog(directory, { bundles });
    expect(told(verdict)).to.deep.equal(['identity-untrusted 0']);
    expect(verdict.trusted).to.equal(false);
  });

  it('is not believed of another trust domain', async () => {
    const bundles = X509Bundles.of(TestCa.create('acme.test').bundle);
    expect(told(await verifyAuditLog(directory, { bundles }))).to.deep.equal([
      'identity-untrusted 0',
    ]);
  });

  it('must be who was expected', async () => {
    const verdict = await verifyAuditLog(directory, { id: 'spiffe://example.org/agents/writer' });
    expect(told(verdict)).to.deep.equal(['identity-untrusted 0']);
    expect(
      (await verifyAuditLog(directory, { id: 'spiffe://example.org/agents/*' })).intact,
    ).to.equal(true);
  });

  it('shows by a checkpoint that was kept when the log was written anew', async () => {
    const kept = (await verifyAuditLog(directory)).checkpoint as string;
    const anew = join(home.path, 'anew');
    await writeLog(anew, [events(4), events(4)]);
    expect((await verifyAuditLog(anew)).intact).to.equal(true);
    expect(told(await verifyAuditLog(anew, { checkpoints: [kept] }))).to.deep.equal([
      'checkpoint-unknown 9',
    ]);
    expect((await verifyAuditLog(directory, { checkpoints: [kept] })).intact).to.equal(true);
  });

  it('shows by a checkpoint that was kept when the log and its checkpoints were cut', async () => {
    const kept = (await verifyAuditLog(directory)).checkpoint as string;
    const cut = join(home.path, 'cut');
    cpSync(directory, cut, { recursive: true, filter: (path) => !path.includes('lock.') });
    writeFileSync(
      join(cut, FIRST),
      linesOf(directory)
        .slice(0, 5)
        .map((line) => `${line}\n`)
        .join(''),
    );
    writeFileSync(join(cut, 'checkpoints'), checkpointsOf(directory).slice(0, 2).join(''));
    expect((await verifyAuditLog(cut)).intact).to.equal(true);
    expect(told(await verifyAuditLog(cut, { checkpoints: [kept] }))).to.deep.equal([
      'checkpoint-unknown 5',
    ]);
    const earlier = checkpointsOf(directory).slice(0, 2);
    expect((await verifyAuditLog(cut, { checkpoints: earlier })).intact).to.equal(true);
  });
});
