import { type JwtFetchOptions, type JwtSource, type JwtSvid, Workload } from 'agent-spiffe';
import { allArguments } from 'agent-spiffe/agent';
import { TestCa, WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { staticIdentity } from '../support/static-identity.js';
import { AGENT, bench, deferred, rejection, taskOf } from './support.js';

const READ = { effect: 'read', returns: { confidentiality: 'public' } } as const;

describe('a token of the Workload API for a task', () => {
  it('is that of the task alone, and gone with it; others keep theirs', async () => {
    const server = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [AGENT],
    });
    const identity = await Workload.open({ address: server.address });
    const calls = (): number => server.callCount('FetchJWTSVID');
    const { guard } = await bench({ identity });
    guard.tool('look', READ, () => 'seen');
    const db = { audience: 'db' };
    const everyones = await identity.jwt.fetch(db);
    const task = await guard.startTask(taskOf({ look: allArguments() }));
    const own = await task.fetchJwtSvid(db);
    expect(own).not.to.equal(everyones);
    expect(await task.fetchJwtSvid(db)).to.equal(own);
    const other = await guard.startTask(taskOf({ look: allArguments() }));
    const theirs = await other.fetchJwtSvid(db);
    expect(theirs).not.to.equal(own);
    expect(calls()).to.equal(3);
    await task.end();
    expect(await other.fetchJwtSvid(db)).to.equal(theirs);
    expect(await identity.jwt.fetch(db)).to.equal(everyones);
    expect(calls()).to.equal(3);
    const next = await guard.startTask(taskOf({ look: allArguments() }));
    expect(await next.fetchJwtSvid(db)).not.to.equal(own);
    expect(calls()).to.equal(4);
    await guard.close();
    await identity.close();
    await server.close();
  });
});

describe('a token for a task', () => {
  const ca = TestCa.create('example.org');

  async function open(fetch: (options: JwtFetchOptions) => Promise<JwtSvid>) {
    const jwt = { fetch } as JwtSource;
    const identity = { ...staticIdentity(ca, AGENT), jwt };
    const made = await bench({ identity });
    made.guard.tool('look', READ, () => 'seen');
    return made;
  }

  it('is fetched for its audience, on record, and dropped with the task', async () => {
    const { guard, log } = await open(({ audience }) => ca.issueJwt(AGENT, { audience }));
    await guard.task(taskOf({ look: allArguments() }), async (task) => {
      const svid = await task.fetchJwtSvid({ audience: 'db' });
      expect(svid.audience).to.deep.equal(['db']);
      expect(log.kinds).to.deep.equal(['task.start', 'credential']);
    });
    expect(
      log
        .of('credential')
        .map(({ operation, credential, reference }) => [operation, credential, reference]),
    ).to.deep.equal([
      ['issued', 'jwt-svid', 'db'],
      ['dropped', 'jwt-svid', 'db'],
    ]);
    expect(log.kinds.at(-1)).to.equal('task.end');
    expect(JSON.stringify(log.events)).not.to.include('eyJ');
  });

  it('is asked for while the task lives, with a signal of its own for the wait', async () => {
    const asked: JwtFetchOptions[] = [];
    const { guard } = await open((options) => {
      asked.push(options);
      return ca.issueJwt(AGENT, options);
    });
    const task = await guard.startTask(taskOf({ look: allArguments() }));
    const { signal } = new AbortController();
    await task.fetchJwtSvid({ audience: 'db', signal, during: signal });
    expect(asked).to.deep.equal([{ audience: 'db', signal, during: task.signal }]);
    expect(asked[0]?.during?.aborted).to.equal(false);
    await task.end();
    expect(asked[0]?.during?.aborted).to.equal(true);
  });

  it('is not handed out once the task has ended, nor when that happens meanwhile', async () => {
    const asked = deferred<void>();
    const answer = deferred<JwtSvid>();
    const { guard, log } = await open(() => {
      asked.resolve();
      return answer.promise;
    });
    const task = await guard.startTask(taskOf({ look: allArguments() }));
    const waiting = task.fetchJwtSvid({ audience: 'db' });
    await asked.promise;
    const ended = task.end();
    expect(await rejection(waiting)).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    answer.resolve(await ca.issueJwt(AGENT, { audience: 'db' }));
    await ended;
    expect(await rejection(task.fetchJwtSvid({ audience: 'db' }))).to.include({
      code: 'ERR_SPIFFE_TASK_ENDED',
    });
    expect(log.of('credential')).to.deep.equal([]);
  });

  it('is not handed out when that cannot be put on record', async () => {
    const { guard, log } = await open(({ audience }) => ca.issueJwt(AGENT, { audience }));
    const task = await guard.startTask(taskOf({ look: allArguments() }));
    log.before = ({ kind }) => {
      if (kind === 'credential') throw new Error('the disk is full');
    };
    expect(await rejection(task.fetchJwtSvid({ audience: 'db' }))).to.include({
      code: 'ERR_SPIFFE_AUDIT_UNAVAILABLE',
    });
  });

  it('is a mistake of the caller where the identity has none', async () => {
    const { guard } = await bench();
    guard.tool('look', READ, () => 'seen');
    const task = await guard.startTask(taskOf({ look: allArguments() }));
    expect(await rejection(task.fetchJwtSvid({ audience: 'db' }))).to.include({
      code: 'ERR_SPIFFE_OPTION_INVALID',
    });
  });
});
