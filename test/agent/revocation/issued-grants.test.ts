import { SpiffeId } from 'agent-spiffe';
import { allArguments, DeniedError, type GrantRef, type Task } from 'agent-spiffe/agent';
import { FakeClock } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { current } from '#lib/agent/core.js';
import { uuidV7 } from '#lib/agent/grant/sign.js';
import { IssuedGrants } from '#lib/agent/revocation/issued-grants.js';
import { madeAt } from '#lib/agent/revocation/source.js';
import type { TaskCore } from '#lib/agent/task-core.js';
import { AGENT, type Bench, bench, taskOf } from '../support.js';

const NOW = new Date('2026-11-24T12:00:00Z');
const OWN = SpiffeId.parse(AGENT);
const OTHER = SpiffeId.parse('spiffe://example.org/agents/other');

const grant = (jti: string, ttlMs: number = 600_000): GrantRef => ({
  jti,
  chain: [jti],
  holder: OTHER.toString(),
  tools: ['search'],
  expiresAt: NOW.getTime() + ttlMs,
});
const open = (id: string): Parameters<IssuedGrants['add']>[0] => ({
  ref: { id, purpose: 'a test' },
  ended: () => undefined,
});
const link = (jti: string, by: SpiffeId = OWN): Parameters<IssuedGrants['status']>[0] => ({
  jti,
  by,
  issuedAt: NOW,
});

const after = (ttlMs: number): number => NOW.getTime() + ttlMs;

describe('the grants that a guard has issued', () => {
  let clock: FakeClock;
  let grants: IssuedGrants;

  beforeEach(() => {
    clock = new FakeClock(NOW);
    grants = new IssuedGrants(clock, AGENT, 3);
  });

  const statuses = (...ids: readonly string[]): readonly string[] =>
    ids.map((id) => grants.taskStatus(SpiffeId.parse(id)));

  it('are revoked with the task that issued them, and no others are', () => {
    grants.add(open('one'), grant('a'));
    grants.add(open('one'), grant('b'));
    grants.add(open('two'), grant('c'));
    expect(grants.endTask('one').map(({ jti }) => jti)).to.deep.equal(['a', 'b']);
    const found = ['a', 'b', 'c'].map((jti) => grants.status(link(jti)));
    expect(found).to.deep.equal(['revoked', 'revoked', 'active']);
    expect(grants.revoked().ids).to.deep.equal(['a', 'b']);
    expect(grants.endTask('one')).to.deep.equal([]);
  });

  it('answer for nothing that an earlier process, or another agent, has signed', () => {
    grants.add(open('one'), grant('a'));
    expect(grants.status(link('of-before'))).to.equal('unknown');
    expect(grants.status(link('a', OTHER))).to.equal('unknown');
    expect(grants.status(link('a', SpiffeId.parse(`${AGENT}/task/one`)))).to.equal('active');
  });

  it('tell those who watch when something is revoked, each once, until they stop', () => {
    const told: string[] = [];
    const stop = grants.watch(() => told.push('first'));
    grants.watch(() => told.push(grants.status(link('a'))));
    grants.add(open('one'), grant('a'));
    grants.endTask('two');
    expect(told).to.deep.equal([]);
    grants.endTask('one');
    expect(told).to.deep.equal(['first', 'revoked']);
    stop();
    grants.add(open('three'), grant('b'));
    grants.endTask('three');
    expect(told).to.deep.equal(['first', 'revoked', 'revoked']);
  });

  it('are revoked whatever one who watches throws, and the others are told', async () => {
    const failure = new Error('of one who watches');
    const thrown = new Promise<unknown>((resolve) => {
      const listeners = process.rawListeners(
        'uncaughtException',
      ) as NodeJS.UncaughtExceptionListener[];
      process.removeAllListeners('uncaughtException');
      process.once('uncaughtException', (error) => {
        for (const listener of listeners) process.on('uncaughtException', listener);
        resolve(error);
      });
    });
    let told = 0;
    grants.watch(() => {
      throw failure;
    });
    grants.watch(() => {
      told += 1;
    });
    grants.add(open('one'), grant('a'));
    expect(grants.endTask('one')).to.have.lengthOf(1);
    expect(told).to.equal(1);
    expect(await thrown).to.equal(failure);
  });

  it('cannot be added for a task that has ended', () => {
    const ended = new DeniedError({ reason: 'task-ended', message: 'it is over', policies: [] });
    const task = { ...open('one'), ended: () => ended };
    expect(() => grants.add(task, grant('a'))).to.throw(ended.message);
    expect(grants.size).to.equal(0);
    grants.add(open('one'), grant('a'));
    expect(grants.size).to.equal(1);
  });

  it('leave a minute after they have expired, revoked or not, and not before', () => {
    grants.add(open('one'), grant('short', 1_000));
    grants.add(open('one'), grant('long', 120_000));
    grants.add(open('two'), grant('kept', 1_000));
    grants.endTask('one');
    const { sequence, ids } = grants.revoked();
    expect(ids).to.deep.equal(['short', 'long']);
    clock.advance(60_999);
    expect(grants.revoked()).to.deep.equal({ sequence, ids, ended: [] });
    clock.advance(1);
    expect(grants.revoked()).to.deep.equal({ sequence: sequence + 1, ids: ['long'], ended: [] });
    expect(grants.size).to.equal(1);
  });

  it('are no more than there is room for: the next is refused, and no revocation is forgotten for it', () => {
    for (const jti of ['a', 'b', 'c']) grants.add(open('one'), grant(jti, 1_000));
    grants.endTask('one');
    expect(() => grants.add(open('two'), grant('d')))
      .to.throw(/3 that have not expired/)
      .with.property('code', 'ERR_SPIFFE_OPTION_INVALID');
    expect(grants.revoked().ids).to.deep.equal(['a', 'b', 'c']);
    clock.advance(61_000);
    grants.add(open('two'), grant('d'));
    expect(grants.status(link('d'))).to.equal('active');
  });

  describe('and the tasks that have had an SVID', () => {
    it('are known by their SPIFFE ID, ended or not, and no others are', () => {
      grants.certify(open('one'), after(1_000));
      grants.certify(open('two'), after(1_000));
      grants.endTask('one');
      grants.endTask('without-svid');
      const ours = ['one', 'two', 'other', 'without-svid'].map((id) => `${AGENT}/task/${id}`);
      expect(statuses(...ours)).to.deep.equal(['revoked', 'active', 'unknown', 'unknown']);
      const others = [AGENT, `${AGENT}/one`, `${OTHER}/task/two`, `${AGENT}/task/x/task/two`];
      expect(statuses(...others)).to.deep.equal(['unknown', 'unknown', 'unknown', 'unknown']);
      expect(grants.revoked().ended).to.deep.equal(['one']);
    });

    it('leave a minute after the last of their SVIDs has expired, and not before', () => {
      grants.certify(open('one'), after(1_000));
      grants.certify(open('one'), after(5_000));
      grants.certify(open('one'), after(2_000));
      grants.endTask('one');
      const { sequence } = grants.revoked();
      clock.advance(64_999);
      expect(grants.revoked()).to.deep.equal({ sequence, ids: [], ended: ['one'] });
      clock.advance(1);
      expect(grants.revoked()).to.deep.equal({ sequence: sequence + 1, ids: [], ended: [] });
      expect(grants.size).to.equal(0);
    });

    it('are listed at once when their SVID comes after their end', () => {
      const error = new DeniedError({ reason: 'task-ended', message: 'it is over', policies: [] });
      let told = 0;
      grants.watch(() => {
        told += 1;
      });
      const { sequence } = grants.revoked();
      grants.certify({ ...open('one'), ended: () => error }, after(1_000));
      expect(grants.revoked()).to.deep.equal({ sequence: sequence + 1, ids: [], ended: ['one'] });
      expect(told).to.equal(1);
    });

    it('share the room of the grants: what cannot be listed is refused, and none forgotten for it', () => {
      grants.certify(open('one'), after(1_000));
      grants.certify(open('two'), after(1_000));
      grants.add(open('one'), grant('a', 1_000));
      grants.endTask('one');
      const full = /3 that have not expired/;
      expect(() => grants.certify(open('three'), after(1_000))).to.throw(full);
      expect(() => grants.add(open('two'), grant('b'))).to.throw(full);
      grants.certify(open('two'), after(2_000));
      expect(grants.revoked()).to.deep.include({ ids: ['a'], ended: ['one'] });
      clock.advance(61_000);
      grants.certify(open('three'), after(120_000));
      expect(statuses(`${AGENT}/task/three`)).to.deep.equal(['active']);
    });
  });

  for (const [how, end] of [
    ['by its owner', ({ task }) => void task.end()],
    ['by its time', ({ clock: time }) => time.advance(60_000)],
    ['by the loss of the identity', ({ identity }) => identity.x509.set({ state: 'revoked' })],
    ['by the end of the guard', ({ guard }) => void guard.close()],
  ] as const satisfies readonly (readonly [string, (world: World) => void])[]) {
    it(`are revoked when a task ends ${how}, and that is on record`, async () => {
      const world = await startedTask();
      const { core, log } = world;
      core.guard.grants.add(core, grant('a'));
      expect(core.guard.grants.status(link('a'))).to.equal('active');
      end(world);
      // Looking is what makes a task notice that its identity is gone.
      core.ended();
      expect(core.guard.grants.status(link('a'))).to.equal('revoked');
      await core.end('ended');
      expect(log.of('grant.revoke').map((event) => event.grant.jti)).to.deep.equal(['a']);
      expect(log.kinds.at(-1)).to.equal('task.end');
    });
  }
});

interface World extends Bench {
  readonly task: Task;
  readonly core: TaskCore;
}

async function startedTask(): Promise<World> {
  const made = await bench();
  made.guard.tool(
    'search',
    { effect: 'read', returns: { confidentiality: 'public' } },
    () => 'found',
  );
  const task = await made.guard.startTask(taskOf({ search: allArguments() }));
  const core = await task.run(() => current.getStore()?.task);
  return { ...made, task, core: core as TaskCore };
}

describe('the time at which a token was made', () => {
  const at = Date.UTC(2026, 10, 24, 12, 0, 7, 345);
  const second = new Date(Date.UTC(2026, 10, 24, 12, 0, 7));

  it('is told to the millisecond by an id of UUID version 7', () => {
    expect(madeAt({ jti: uuidV7(at), by: OWN, issuedAt: second })).to.equal(at);
  });

  it('is its iat when the id is another, or names a later second', () => {
    expect(madeAt({ jti: 'a-name', by: OWN, issuedAt: second })).to.equal(second.getTime());
    const jti = uuidV7(at + 60_000);
    expect(madeAt({ jti, by: OWN, issuedAt: second })).to.equal(second.getTime());
  });

  it('is that of the id when its iat is the later one of its parent', () => {
    const issuedAt = new Date(second.getTime() + 5_000);
    expect(madeAt({ jti: uuidV7(at), by: OWN, issuedAt })).to.equal(at);
  });
});
