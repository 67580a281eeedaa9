import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const main = fileURLToPath(import.meta.resolve('#lib/cli/main.js'));

describe('agent-spiffe policy test', () => {
  let directory: string;
  const run = (...more: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [main, 'policy', 'test', directory, ...more], { encoding: 'utf8' });
  const labels = { confidentiality: 'public', integrity: 'trusted' };
  const time = '2026-11-24T12:00:00.000Z';
  const write = (to: unknown, decision: boolean): void => {
    const request = {
      subject: { type: 'workload', id: 'spiffe://example.org/agent' },
      action: { name: 'tools/call' },
      resource: { type: 'tool', id: 'send', properties: { effect: 'egress', returns: labels } },
      context: {
        task: { id: 't', purpose: 'p', startedAt: time, expiresAt: time, clearance: 'public' },
        arguments: { to },
        chain: [],
        labels,
        budget: { callsLeft: 1 },
        time,
        business: {},
      },
    };
    const inputSchema = { type: 'object', properties: { to: { type: 'string' } } };
    const tests = [{ name: 'mail', request, expect: { decision } }];
    const text = JSON.stringify({ tools: [{ name: 'send', inputSchema }], tests });
    writeFileSync(join(directory, 'a.test.json'), text);
  };

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'policy-'));
    writeFileSync(
      join(directory, 'a.cedar'),
      'permit(principal, action == Action::"send", resource) when { context.arguments has to && context.arguments.to == "a" };',
    );
  });

  afterEach(() => rmSync(directory, { recursive: true }));

  it('exits with 0 when each decision is as expected, and with 1 when one is not', () => {
    write('a', true);
    expect(run()).to.include({ status: 0, stdout: '1 passed, 0 failed\n' });
    write('b', true);
    expect(run()).to.include({ status: 1 });
    expect(JSON.parse(run('--json').stdout)).to.deep.equal([
      { file: 'a.test.json', test: 'mail', passed: false, decision: false, reasons: [] },
    ]);
    write('b', false);
    expect(run()).to.include({ status: 0 });
  });

  it('notes a policy that can never apply, once', () => {
    write('a', true);
    expect(run()).to.include({ status: 0, stderr: '' });
    writeFileSync(join(directory, 'b.test.json'), readFileSync(join(directory, 'a.test.json')));
    writeFileSync(
      join(directory, 'b.cedar'),
      'forbid(principal, action, resource) when { context.arguments has ot };',
    );
    const { status, stderr } = run();
    expect(stderr).to.match(/^agent-spiffe: note: .*`b\.cedar#1`.*impossible.*\n$/);
    expect(status).to.equal(0);
  });

  it('takes a denial for an error for no decision', () => {
    write(1, false);
    expect(run()).to.include({ status: 1 });
  });

  it('exits with 2 when a file of tests cannot be read, or is not as it should be, and names it', () => {
    const file = join(directory, 'a.test.json');
    mkdirSync(file);
    const refused = (): void => {
      const { status, stderr, stdout } = run();
      expect(stderr).to.match(/^agent-spiffe: cannot use ".*a\.test\.json": /);
      expect({ status, stdout }).to.deep.equal({ status: 2, stdout: '' });
    };
    refused();
    rmdirSync(file);
    write('a', true);
    const good = JSON.parse(readFileSync(file, 'utf8')) as object;
    for (const business of [null, 'text', 7, [], false]) {
      writeFileSync(file, JSON.stringify({ ...good, business }));
      refused();
    }
    writeFileSync(file, JSON.stringify({ ...good, business: { type: 'object' } }));
    expect(run()).to.include({ status: 0 });
    writeFileSync(file, '{');
    refused();
  });

  it('exits with 2 when there are no tests, or a policy is invalid', () => {
    expect(run()).to.include({ status: 2 });
    write('a', true);
    writeFileSync(join(directory, 'b.cedar'), 'permit(');
    expect(run()).to.include({ status: 2 });
  });
});
