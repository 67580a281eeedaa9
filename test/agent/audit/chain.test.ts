import { join } from 'node:path';
import { type AuditChainStep, auditLog, followAuditChain } from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { TemporaryDirectory } from '../../support/audit.js';
import { type ChainedLogs, writeChainedLogs } from '../../support/chained-logs.js';
import { rejection } from '../../support/rejection.js';
import { staticIdentity } from '../../support/static-identity.js';
import { MAILER, ORCHESTRATOR, RESEARCHER, STRANGER } from '../delegation/world.js';

const IDS = [ORCHESTRATOR, RESEARCHER, MAILER];
const nameOf = (id: string): string => id.split('/').at(-1) ?? '';

const told = (steps: readonly AuditChainStep[]): readonly string[] =>
  steps.map(({ directory, kind }) => `${nameOf(directory)} ${kind}`);

describe('a chain in the logs of several processes', () => {
  const home = new TemporaryDirectory();
  let logs: ChainedLogs;

  before(async () => {
    logs = await writeChainedLogs(home.path);
  });

  after(() => home[Symbol.dispose]());

  const follow = async (id: string, which: readonly number[] = [0, 1, 2]) =>
    await followAuditChain(
      id,
      which.map((at) => ({ directory: logs.directories[at] ?? '', id: IDS[at] ?? '' })),
    );

  const WHOLE = [
    'orchestrator task.start',
    'orchestrator grant.issue',
    'orchestrator grant.derive',
    'researcher grant.accept',
    'researcher task.start',
    'researcher call.intent',
    'mailer grant.accept',
    'mailer task.start',
    'mailer call.intent',
    'mailer call.outcome',
    'mailer task.end',
    'researcher call.outcome',
    'mailer grant.refuse',
    'researcher task.end',
    'orchestrator grant.revoke',
    'orchestrator grant.revoke',
    'orchestrator task.end',
  ];

  it('is told whole from the task at its root, in the order in which things were done, and no other task is', async () => {
    const steps = await follow(logs.tasks[0]);
    expect(told(steps).toSorted()).to.deep.equal(WHOLE.toSorted());
    const at = (name: string): number => told(steps).indexOf(name);
    for (const [first, then] of [
      ['orchestrator grant.derive', 'researcher grant.accept'],
      ['researcher call.intent', 'mailer grant.accept'],
      ['mailer call.intent', 'mailer call.outcome'],
      ['mailer task.end', 'orchestrator task.end'],
    ] as const)
      expect(at(first), `${first} before ${then}`).to.be.lessThan(at(then));
    expect(steps.some(({ task }) => task === logs.tasks[1])).to.equal(false);
  });

  it('is told from its root grant as from its task, whatever the order of the logs', async () => {
    expect(told(await follow(logs.ids[0] ?? '', [2, 0, 1])).toSorted()).to.deep.equal(
      WHOLE.toSorted(),
    );
  });

  it('says for each record on whose behalf it was done, up to the user at the root', async () => {
    const steps = await follow(logs.tasks[0]);
    const behalfOf = (name: string): readonly (string | undefined)[] | undefined =>
      steps.find(({ directory, kind }) => name === `${nameOf(directory)} ${kind}`)?.onBehalfOf;
    expect(behalfOf('orchestrator task.start')).to.deep.equal(['ann']);
    expect(behalfOf('researcher call.intent')).to.deep.equal([ORCHESTRATOR, 'ann']);
    expect(behalfOf('mailer call.intent')).to.deep.equal([RESEARCHER, ORCHESTRATOR, 'ann']);
    const alone = await follow(logs.ids[1] ?? '', [2]);
    expect(alone.find(({ kind }) => kind === 'call.intent')?.onBehalfOf).to.deep.equal([
      RESEARCHER,
      undefined,
    ]);
  });

  it('goes up from a task below: of those above it, their start, their end and the grants that lead to it', async () => {
    const steps = await follow(logs.theirs);
    expect(told(steps).filter((name) => name.startsWith('orchestrator'))).to.deep.equal([
      'orchestrator task.start',
      'orchestrator grant.issue',
      'orchestrator grant.derive',
      'orchestrator grant.revoke',
      'orchestrator grant.revoke',
      'orchestrator task.end',
    ]);
    expect(told(steps)).to.include('researcher call.intent');
  });

  it('holds who was refused with it, and at which step', async () => {
    const steps = await follow(logs.ids[1] ?? '');
    const refused = steps.find(({ kind }) => kind === 'grant.refuse');
    expect(refused?.record).to.include({ status_code: 'peer' });
  });

  it('is not laid to whoever says to have begun it, as long as another says so too', async () => {
    const directory = join(home.path, 'liar');
    const log = auditLog(directory);
    await log.open(staticIdentity(TestCa.create('example.org'), STRANGER));
    const [root = ''] = logs.ids;
    const grant = { jti: root, chain: [root], holder: STRANGER, tools: [], expiresAt: 0 };
    const task = { id: 'made up', purpose: 'to lie', endUser: 'mallory' };
    const base = { time: 0, agent: STRANGER, task };
    await log.append({ ...base, kind: 'grant.issue', grant, issuer: STRANGER });
    await log.close();
    const honest = logs.directories.map((each, at) => ({ directory: each, id: IDS[at] ?? '' }));
    const liar = { directory, id: STRANGER };
    for (const all of [
      [liar, ...honest],
      [...honest, liar],
    ]) {
      const steps = await followAuditChain(logs.ids.at(-1) ?? '', all);
      const calls = steps.filter(({ kind }) => kind === 'call.intent');
      expect(calls.map(({ onBehalfOf }) => onBehalfOf)).to.deep.equal([
        [ORCHESTRATOR, undefined],
        [RESEARCHER, ORCHESTRATOR, undefined],
      ]);
    }
  });

  it('cannot be followed where no record names it', async () => {
    await rejection('ERR_SPIFFE_OPTION_INVALID', follow('no-such-id'));
    await rejection('ERR_SPIFFE_OPTION_INVALID', follow(logs.theirs, [0]));
  });
});
