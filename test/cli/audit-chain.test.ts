import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { MAILER, ORCHESTRATOR, RESEARCHER } from '../agent/delegation/world.js';
import { TemporaryDirectory } from '../support/audit.js';
import { type ChainedLogs, writeChainedLogs } from '../support/chained-logs.js';

const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

function run(...args: readonly string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'audit', 'chain', ...args], {
    encoding: 'utf8',
    timeout: 9000,
  });
  return { code: status, stdout, stderr };
}

interface Told {
  readonly intact: boolean;
  readonly logs: readonly { readonly verdict: { readonly trusted: boolean } }[];
  readonly steps: readonly {
    readonly agent: string;
    readonly kind: string;
    readonly onBehalfOf: readonly string[];
  }[];
}

describe('agent-spiffe audit chain', () => {
  const home = new TemporaryDirectory();
  const bundle = join(home.path, 'bundle.pem');
  let logs: ChainedLogs;

  before(async () => {
    logs = await writeChainedLogs(home.path);
    writeFileSync(bundle, logs.bundle);
  });

  after(() => home[Symbol.dispose]());

  it('tells who did what on whose behalf, in order, having verified each log', () => {
    const { code, stdout, stderr } = run(
      logs.tasks[0],
      ...logs.directories,
      '--bundle',
      `example.org=${bundle}`,
      '--id',
      'spiffe://example.org/agents/*',
    );
    expect(stderr).to.equal('');
    expect(code).to.equal(0);
    const [told = '', chain = ''] = stdout.split('\n\n');
    for (const [at, id] of [ORCHESTRATOR, RESEARCHER, MAILER].entries())
      expect(told).to.match(
        new RegExp(`${logs.directories[at]}: intact, \\d+ records, written by ${id}, verified`),
      );
    const order = [
      `${ORCHESTRATOR} for ann\n    task.start: task started: answer ann\n`,
      `${ORCHESTRATOR} for ann\n    grant.issue ${logs.ids[0]}: `,
      `${ORCHESTRATOR} for ann\n    grant.derive ${logs.ids[1]}: `,
      `${RESEARCHER} for ${ORCHESTRATOR} for ann\n    grant.accept ${logs.ids[1]}: `,
      `${MAILER} for ${RESEARCHER} for ${ORCHESTRATOR} for ann\n    grant.accept ${logs.ids[1]}: `,
      `${MAILER} for ${RESEARCHER} for ${ORCHESTRATOR} for ann\n    call.intent: send may run\n`,
      `${ORCHESTRATOR} for ann\n    task.end: task ended: ended\n`,
    ];
    const places = order.map((line) => chain.indexOf(line));
    expect(places).to.not.include(-1);
    expect(places).to.deep.equal(places.toSorted((a, b) => a - b));
    expect(chain).to.not.contain(logs.tasks[1]);
    expect(chain).to.match(/task [0-9a-f-]{36}, record \d+ in /);
  });

  it('tells a purpose in one line, whatever it holds', () => {
    const { stdout } = run(logs.tasks[1], ...logs.directories);
    expect(stdout).to.include(
      'task.start: task started: something else\\u{a}    grant.revoke: \\u{1b}[2Jforged\n',
    );
    expect(stdout).to.not.match(/^ *grant\.revoke/m);
  });

  it('tells the same to a program', () => {
    const { code, stdout } = run(logs.ids[0] ?? '', ...logs.directories, '--json');
    const { intact, logs: verified, steps } = JSON.parse(stdout) as Told;
    expect(code).to.equal(0);
    expect(intact).to.equal(true);
    expect(verified.map(({ verdict }) => verdict.trusted)).to.deep.equal([false, false, false]);
    const call = steps.find(({ agent, kind }) => agent === MAILER && kind === 'call.intent');
    expect(call?.onBehalfOf).to.deep.equal([RESEARCHER, ORCHESTRATOR, 'ann']);
  });

  it('ends with 1 when a log is not what was written, and says which and where', () => {
    const altered = join(home.path, 'altered');
    cpSync(logs.directories[2], altered, {
      recursive: true,
      filter: (name) => !basename(name).startsWith('lock.'),
    });
    const path = join(altered, '00000000000000000000.jsonl');
    writeFileSync(path, readFileSync(path, 'utf8').replace('send may run', 'send may not'));
    const [orchestrator, researcher] = logs.directories;
    const { code, stdout } = run(logs.tasks[0], orchestrator, researcher, altered);
    expect(code).to.equal(1);
    expect(stdout).to.contain(`${altered}: NOT INTACT`);
    expect(stdout).to.match(/ {2}.*00000000000000000000\.jsonl line \d+/);
    expect(stdout).to.contain(`${orchestrator}: intact`);
  });

  it('ends with 1 when a log is by another identity than was expected', () => {
    const { code, stdout } = run(logs.tasks[0], ...logs.directories, '--id', ORCHESTRATOR);
    expect(code).to.equal(1);
    expect(stdout).to.contain(`${logs.directories[2]}: NOT INTACT`);
    expect(stdout).to.contain(`is that of ${MAILER}`);
  });

  it('ends with 2 when no record names the id, a log cannot be read, or no log is given', () => {
    const unknown = run('no-such-id', ...logs.directories);
    expect(unknown.code).to.equal(2);
    expect(unknown.stderr).to.contain('no record of these logs names a task or a grant');
    expect(run(logs.tasks[0], join(home.path, 'nowhere')).code).to.equal(2);
    expect(run(logs.tasks[0]).code).to.equal(2);
  });
});
