import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type AuditLogOptions,
  allArguments,
  auditLog,
  cedarPolicy,
  createGuard,
  type GuardOptions,
  type TaskOptions,
} from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { AGENT, recordsOf, segmentsOf, TemporaryDirectory, writeLog } from '../support/audit.js';
import { staticIdentity } from '../support/static-identity.js';

const main = fileURLToPath(import.meta.resolve('#lib/cli/main.js'));
const LABELS = { confidentiality: 'internal', integrity: 'trusted' } as const;
const mail = (properties: object): object => ({ type: 'object', properties, required: ['to'] });
const TEXT = { type: 'string' };
const PERMIT = 'permit(principal, action, resource);';
const only = (to: string): string =>
  `permit(principal, action == Action::"send", resource) when { context.arguments.to == "${to}" };`;
const declassify = (level: number): string =>
  `permit(principal, action == Action::"labels/declassify", resource) when { resource.to.level >= ${level} };`;

interface Change {
  readonly index: number;
  readonly action: string;
  readonly outcome: string;
  readonly before?: { readonly decision: boolean; readonly reasons: readonly string[] };
  readonly after?: object;
  readonly needed?: readonly string[];
}

interface Outcome {
  readonly counts: Readonly<Record<string, number>>;
  readonly changes: readonly Change[];
}

describe('agent-spiffe policy replay', function () {
  this.timeout(30_000);
  let home: TemporaryDirectory;
  let log: string;
  let policies: string;

  beforeEach(() => {
    home = new TemporaryDirectory();
    log = join(home.path, 'log');
    policies = join(home.path, 'policies');
    mkdirSync(policies);
  });

  afterEach(() => home[Symbol.dispose]());

  /** A run of an agent under policies: each call it makes, allowed or not. */
  async function record(
    text: string,
    calls: readonly { readonly to: string; readonly [name: string]: unknown }[],
    rules: AuditLogOptions['arguments'] = { send: 'keep' },
    more: Partial<GuardOptions> &
      Pick<TaskOptions, 'business'> & { readonly properties?: object } = {},
  ): Promise<void> {
    const { properties = { to: TEXT, body: TEXT }, business = {}, ...options } = more;
    const guard = await createGuard({
      identity: staticIdentity(TestCa.create('example.org'), AGENT),
      policy: cedarPolicy({ policies: { 'old.cedar': text } }),
      audit: auditLog(log, { arguments: rules ?? {} }),
      ...options,
    });
    const inputSchema = mail(properties) as never;
    const sink = { clearance: 'restricted', outside: false } as const;
    const spec = { effect: 'write', sink, inputSchema } as const;
    const send = guard.tool('send', spec, ({ to }: { to: string }) => to);
    guard.tool('look', { effect: 'read', returns: LABELS }, () => 'seen');
    const task = { purpose: 'a test', ttlMs: 60_000, budget: { calls: 100 }, business };
    await guard.task({ ...task, tools: { send: allArguments() } }, async () => {
      for (const call of calls) await send(call).catch(() => {});
    });
    await guard.close();
  }

  function run(...more: string[]): { status: number | null; stdout: string; stderr: string } {
    const args = [main, 'policy', 'replay', log, '--policies', policies, ...more];
    return spawnSync(process.execPath, args, { encoding: 'utf8' });
  }

  function replay(text: string, ...more: string[]): Outcome & { readonly status: number | null } {
    writeFileSync(join(policies, 'new.cedar'), text);
    const { status, stdout, stderr } = run('--json', ...more);
    expect(stderr).to.equal('');
    return { status, ...(JSON.parse(stdout) as Outcome) };
  }

  function refused(why: RegExp, ...more: string[]): void {
    const { status, stdout, stderr } = run(...more);
    expect(stderr).to.match(why);
    expect(stdout).to.equal('');
    expect(status).to.equal(2);
  }

  it('finds nothing to change under the same policies, and exits with 0', async () => {
    await record(only('a'), [{ to: 'a' }, { to: 'b' }]);
    expect(replay(only('a'))).to.deep.include({
      status: 0,
      counts: { same: 2, allowed: 0, denied: 0, obligations: 0, undecided: 0 },
      changes: [],
    });
    expect(run().stdout).to.match(/^note: .*\n2 the same, 0 denied, would be allowed/s);
  });

  it('lists what would be denied, what would be allowed, and by which policies, and exits with 1', async () => {
    await record(only('a'), [{ to: 'a' }, { to: 'b' }, { to: 'c' }]);
    const { status, counts, changes } = replay(`@id("b-only") ${only('b')}`);
    expect(status).to.equal(1);
    expect(counts).to.include({ same: 1, allowed: 1, denied: 1 });
    expect(
      changes.map(({ action, outcome, before, after }) => [action, outcome, before, after]),
    ).to.deep.equal([
      [
        'send',
        'denied',
        { decision: true, reasons: ['old.cedar#1'], obligations: [] },
        { decision: false, reasons: [], obligations: [] },
      ],
      [
        'send',
        'allowed',
        { decision: false, reasons: [], obligations: [] },
        { decision: true, reasons: ['b-only'], obligations: [] },
      ],
    ]);
    for (const { index } of changes)
      expect(recordsOf(log)[index]?.metadata.event_code).to.match(/^call\.(?:intent|denied)$/);
    expect(run().stdout).to.match(
      /record \d+, send in task \S+: allowed, would be denied: by old\.cedar#1; now by no policy\n/,
    );
  });

  it('lists what would be allowed under other obligations', async () => {
    await record(`@shorten_life_ms("60000") ${only('a')}`, [{ to: 'a' }]);
    expect(replay(`@shorten_life_ms("60000") ${only('a')}`).status).to.equal(0);
    const { status, changes } = replay(`@redact_result("/x") ${only('a')}`);
    expect(status).to.equal(1);
    expect(changes).to.have.length(1);
    expect(changes[0]).to.deep.include({ outcome: 'obligations' });
    expect(changes[0]?.after).to.deep.include({
      obligations: [{ type: 'redact', result: ['/x'] }],
    });
  });

  it('takes a call that only the guard refused for one that the policies allowed', async () => {
    await record(`@require_approval("boss") ${only('a')}`, [{ to: 'a' }]);
    expect(recordsOf(log).map(({ metadata }) => metadata.event_code)).to.include('call.denied');
    expect(replay(`@require_approval("boss") ${only('a')}`).counts).to.include({ same: 1 });
    expect(replay(only('a')).counts).to.include({ same: 0, obligations: 1 });
  });

  it('takes what passed a guard that only evaluates for what the policies said', async () => {
    await record(only('a'), [{ to: 'a' }, { to: 'b' }], undefined, { evaluateOnly: true });
    expect(replay(only('a')).counts).to.include({ same: 2 });
    expect(replay(PERMIT).counts).to.include({ same: 1, allowed: 1 });
  });

  it('decides changes of labels again', async () => {
    const look = 'permit(principal, action == Action::"look", resource);';
    const guard = await createGuard({
      identity: staticIdentity(TestCa.create('example.org'), AGENT),
      policy: cedarPolicy({ policies: { 'old.cedar': `${look} ${declassify(1)}` } }),
      audit: auditLog(log),
    });
    const returns = { confidentiality: 'restricted', integrity: 'trusted' } as const;
    const look0 = guard.tool('look', { effect: 'read', returns }, () => 'seen');
    const may = {
      purpose: 'a test',
      ttlMs: 60_000,
      budget: { calls: 9 },
      clearance: 'restricted',
    } as const;
    await guard.task({ ...may, tools: { look: allArguments() } }, async (task) => {
      await look0({});
      const justification = 'a test';
      await task.declassify({ to: 'confidential', justification });
      await task.declassify({ to: 'public', justification }).catch(() => {});
    });
    await guard.close();
    expect(replay(`${look} ${declassify(1)}`).counts).to.include({ same: 3 });
    const { counts, changes } = replay(`${look} ${declassify(3)}`);
    expect(counts).to.include({ same: 2, denied: 1 });
    expect(changes.map(({ action, outcome }) => [action, outcome])).to.deep.equal([
      ['labels/declassify', 'denied'],
    ]);
    expect(replay(`${look} ${declassify(0)}`).counts).to.include({ same: 2, allowed: 1 });
  });

  it('says which records cannot be decided again, where the policies read what was not kept', async () => {
    const calls = [{ to: 'a', body: 'b' }, { to: 'b' }];
    await record(only('a'), calls, { send: { to: 'keep', body: 'redact' } });
    expect(replay(only('a')).counts).to.include({ same: 2, undecided: 0 });
    const body = 'context.arguments has body && context.arguments.body == "b"';
    const { status, counts, changes } = replay(
      `${PERMIT} forbid(principal, action == Action::"send", resource) when { ${body} };`,
    );
    expect(status).to.equal(1);
    expect(counts).to.include({ allowed: 1, undecided: 1 });
    expect(changes.map(({ needed }) => needed)).to.deep.equal([
      ['context.arguments.body'],
      undefined,
    ]);
    expect(run().stdout).to.match(
      /cannot be decided again: the record does not hold context\.arguments\.body\n/,
    );
  });

  it('decides again what policies can without the arguments that were digested', async () => {
    await record(PERMIT, [{ to: 'a' }], {});
    expect(replay(PERMIT).counts).to.include({ same: 1, undecided: 0 });
    expect(replay(only('a')).counts).to.include({ same: 0, undecided: 1 });
  });

  it('holds policies against the tools as the log defines them, or as it is told', async () => {
    await record(only('a'), [{ to: 'a' }]);
    const about = `${PERMIT} forbid(principal, action == Action::"call", resource);`;
    writeFileSync(join(policies, 'new.cedar'), about);
    expect(run()).to.include({ status: 2 });
    const file = join(home.path, 'tools.json');
    const send = { name: 'send', inputSchema: mail({ to: TEXT }) };
    writeFileSync(file, JSON.stringify({ tools: [send, { name: 'call' }] }));
    expect(replay(about, '--tools', file).counts).to.include({ same: 1 });
  });

  it('decides each task by the tools as they were when it started', async () => {
    for (const [type, count] of [
      ['integer', 1],
      ['boolean', true],
    ] as const) {
      const properties = { to: TEXT, count: { type } };
      await record(only('a'), [{ to: 'a', count }], undefined, { properties });
    }
    expect(replay(only('a')).counts).to.include({ same: 2 });
  });

  it('reads the business of a task where its schema is given', async () => {
    await record(only('a'), [{ to: 'a' }], undefined, { business: { ticket: 'T1' } });
    const text = `${PERMIT} forbid(principal, action, resource) when { context.business.ticket == "T1" };`;
    writeFileSync(join(policies, 'new.cedar'), text);
    expect(run()).to.include({ status: 2 });
    const file = join(home.path, 'business.json');
    const business = { type: 'object', properties: { ticket: TEXT }, required: ['ticket'] };
    writeFileSync(file, JSON.stringify({ business }));
    expect(replay(text, '--tools', file).counts).to.include({ denied: 1 });
  });

  describe('exits with 2 and says why', () => {
    beforeEach(async () => {
      await record(only('a'), [{ to: 'a' }]);
      writeFileSync(join(policies, 'new.cedar'), only('a'));
      expect(run().status).to.equal(0);
    });

    it('for a log that is not what was written', () => {
      const [path = ''] = segmentsOf(log);
      const text = readFileSync(path, 'utf8');
      writeFileSync(path, text.replace('"value":"a"', '"value":"b"'));
      refused(/this log is not what was written: .*record/s);
      writeFileSync(path, text);
      expect(run().status).to.equal(0);
      appendFileSync(path, '{"no":"record"}\n');
      refused(/this log is not what was written/);
    });

    it('for a log that is not there', () => {
      log = join(home.path, 'nowhere');
      refused(/cannot verify the audit log/);
    });

    it('for policies that cannot be used', () => {
      writeFileSync(join(policies, 'new.cedar'), 'permit(');
      refused(/"new\.cedar"/);
    });

    it('for tools that are none', () => {
      const file = join(home.path, 'tools.json');
      refused(/tools\.json.*no such file/, '--tools', file);
      for (const content of ['[', '{"tools":{}}', '{"tools":[{}]}', '{"business":7}']) {
        writeFileSync(file, content);
        refused(/cannot use .*tools\.json/, '--tools', file);
      }
    });
  });

  it('needs the tools where the log defines none', async () => {
    await writeLog(log, [[]]);
    writeFileSync(join(policies, 'new.cedar'), PERMIT);
    const { status, stderr } = run();
    expect(stderr).to.match(/defines no tool/);
    expect(status).to.equal(2);
    const file = join(home.path, 'tools.json');
    writeFileSync(file, '{"tools":[{"name":"send"}]}');
    expect(run('--tools', file)).to.include({ status: 0 });
  });
});
