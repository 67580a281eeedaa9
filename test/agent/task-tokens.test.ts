import type { JwtFetchOptions, JwtSource, JwtSvid } from 'agent-spiffe';
import { allArguments } from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { staticIdentity } from '../support/static-identity.js';
import { AGENT, bench, deferred, rejection, taskOf } from './support.js';

const READ = { effect: 'read', returns: { confidentiality: 'public' } } as const;

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
