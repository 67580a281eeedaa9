import { spawnSync } from 'node:child_process';
import { createHash, createPublicKey, verify } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { SpiffeError } from 'agent-spiffe';
import { allArguments, type Task, type TaskOptions } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { TemporaryDirectory } from '../support/audit.js';
import { AGENT, bench, deferred, rejection, renamed, rotated, taskOf } from './support.js';

const READ = {
  effect: 'read',
  returns: { confidentiality: 'public', integrity: 'trusted' },
} as const;
const MAY = taskOf({ look: allArguments() });
const KEPT_UP = {
  forget: 'no longer than that has to do',
  wait: 'until its time is over, while somebody waits for it',
  ask: 'until its time is over, and not for an answer that nobody waits for any more',
};

describe('a task', () => {
  it('runs, gives what its function gives, and is over', async () => {
    const { guard, log } = await bench();
    const look = guard.tool('look', READ, () => 'seen');
    let kept: Task | undefined;
    const result = await guard.task(MAY, async (task) => {
      kept = task;
      expect(task).to.include({ state: 'open', purpose: 'a test', clearance: 'confidential' });
      expect(task.tools).to.deep.equal(['look']);
      return await look({});
    });
    expect(result).to.equal('seen');
    expect(kept?.state).to.equal('ended');
    expect(kept?.signal.aborted).to.equal(true);
    expect(log.of('task.end')[0]).to.include({ ending: 'returned', calls: 1, denied: 0 });
  });

  it('ends when its function throws, and passes that on', async () => {
    const { guard, log } = await bench();
    guard.tool('look', READ, () => 'seen');
    const failure = new SpiffeError('ERR_SPIFFE_SOURCE_FAILED', 'a test');
    expect(await rejection(guard.task(MAY, () => Promise.reject(failure)))).to.equal(failure);
    expect(
      await rejection(
        guard.task(MAY, () => {
          throw failure;
        }),
      ),
    ).to.equal(failure);
    expect(log.of('task.end').map(({ ending }) => ending)).to.deep.equal(['threw', 'threw']);
  });

  it('is recorded with all that it may do, before anything runs in it', async () => {
    const { guard, log } = await bench();
    guard.tool('look', { ...READ, description: 'Looks.' }, () => 'seen');
    const more = {
      endUser: 'ann',
      business: { ticket: 42 },
      budget: { calls: 3, tools: { look: 2 } },
    };
    await guard.task({ ...MAY, ...more }, (task) => {
      const [start] = log.of('task.start');
      const digest = createHash('sha256')
        .update('{"description":"Looks.","name":"look"}')
        .digest('hex');
      expect(start).to.deep.equal({
        kind: 'task.start',
        time: Date.parse('2026-11-24T12:00:00Z'),
        agent: AGENT,
        task: { id: task.id, purpose: 'a test', endUser: 'ann' },
        expiresAt: Date.parse('2026-11-24T12:01:00Z'),
        clearance: 'confidential',
        tools: { look: { '*': { constraint_type: 'wildcard' } } },
        toolDigests: { look: digest },
        toolDefinitions: { [digest]: { description: 'Looks.', name: 'look' } },
        budget: { calls: 3, tools: { look: 2 }, depth: 8 },
        business: { ticket: 42 },
        keyThumbprint: task.key.thumbprint,
      });
    });
  });

  it('defines each tool of the guard on record once, and again what has changed', async () => {
    const { guard, log } = await bench();
    let description = 'Looks.';
    const inputSchema = { type: 'object' };
    guard.tool('look', { ...READ, definition: () => ({ description }) }, () => 'seen');
    guard.tool('other', { ...READ, inputSchema }, () => 'seen');
    const names = (): unknown =>
      log.of('task.start').map(({ toolDefinitions = {} }) => Object.values(toolDefinitions));
    log.before = () => {
      throw new Error('the disk is full');
    };
    await rejection(guard.task(MAY, () => {}));
    log.before = () => undefined;
    await guard.task(MAY, () => {});
    await guard.task(MAY, () => {});
    description = 'Looks away.';
    await guard.task(MAY, () => {});
    expect(names()).to.deep.equal([
      [
        { description: 'Looks.', name: 'look' },
        { inputSchema, name: 'other' },
      ],
      [],
      [{ description: 'Looks away.', name: 'look' }],
    ]);
    for (const { toolDefinitions = {} } of log.of('task.start')) {
      for (const [digest, defined] of Object.entries(toolDefinitions)) {
        const canonical = JSON.stringify(defined, ['description', 'inputSchema', 'type', 'name']);
        expect(digest).to.equal(createHash('sha256').update(canonical).digest('hex'));
      }
    }
  });

  for (const [what, told] of [
    ['forget', ['started']],
    ['wait', ['started', 'ERR_SPIFFE_TASK_ENDED']],
    ['ask', ['started', 'ERR_SPIFFE_TASK_ENDED']],
  ] as const) {
    it(`keeps a process up ${KEPT_UP[what]}`, () => {
      using home = new TemporaryDirectory();
      const program = fileURLToPath(new URL('../support/task-process.js', import.meta.url));
      const args = [program, home.path, what, what === 'forget' ? '60000' : '300'];
      const { stdout, stderr, status } = spawnSync(process.execPath, args, {
        encoding: 'utf8',
        timeout: 15_000,
      });
      expect(stderr).to.equal('');
      expect(stdout.trim().split('\n')).to.deep.equal(told);
      expect(status).to.equal(0);
    });
  }

  it('expires by its time, and says so to who comes later', async () => {
    const { guard, log, clock } = await bench();
    const look = guard.tool('look', READ, () => 'seen');
    const task = await guard.startTask(MAY);
    expect(task.expiresAt.toISOString()).to.equal('2026-11-24T12:01:00.000Z');
    clock.advance(59_999);
    expect(await task.run(() => look({}))).to.equal('seen');
    clock.advance(1);
    expect(task.state).to.equal('expired');
    const error = await rejection(task.run(() => look({})));
    expect(error.code).to.equal('ERR_SPIFFE_TASK_ENDED');
    expect(error.message).to.include('expired');
    await task.end();
    expect(log.of('task.end')[0]).to.include({ ending: 'expired' });
  });

  it('expires by the clock even when its timer is late', async () => {
    const { guard, clock } = await bench();
    const look = guard.tool('look', READ, () => 'seen');
    const task = await guard.startTask(MAY);
    // A busy process runs its timers late; the clock goes on.
    clock.now = () => Date.parse('2026-11-24T12:01:00Z');
    expect(await rejection(task.run(() => look({})))).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    expect(task.state).to.equal('expired');
  });

  it('is over for guard.task() too when it ends before its function', async () => {
    const { guard, clock } = await bench();
    guard.tool('look', READ, () => 'seen');
    const entered = deferred<Task>();
    const running = guard.task(MAY, (task) => {
      entered.resolve(task);
      return new Promise(() => {});
    });
    await entered.promise;
    clock.advance(60_000);
    expect(await rejection(running)).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
  });

  it('is ended from outside: by its owner, by revoke, by the signal of its options', async () => {
    const { guard, log } = await bench();
    guard.tool('look', READ, () => 'seen');
    const owned = await guard.startTask(MAY);
    await owned.end();
    await owned.end();
    const revoked = await guard.startTask(MAY);
    await revoked.revoke('the ticket was withdrawn');
    const controller = new AbortController();
    const signalled = await guard.startTask({ ...MAY, signal: controller.signal });
    controller.abort();
    await signalled.end();
    expect([owned, revoked, signalled].map(({ state }) => state)).to.deep.equal([
      'ended',
      'revoked',
      'ended',
    ]);
    expect(log.of('task.end').map(({ ending, reason }) => [ending, reason])).to.deep.equal([
      ['ended', undefined],
      ['revoked', 'the ticket was withdrawn'],
      ['ended', 'the signal of its options aborted'],
    ]);
    const aborted = guard.startTask({ ...MAY, signal: AbortSignal.abort(owned.signal.reason) });
    expect(await rejection(aborted)).to.equal(owned.signal.reason);
  });

  it('is not started when the signal of its options aborts while the guard is sealed', async () => {
    const prepared = deferred<void>();
    const { guard, log } = await bench({
      policy: {
        revision: 'slow',
        prepare: () => prepared.promise,
        decide: () => ({ decision: true }),
      },
    });
    guard.tool('look', READ, () => 'seen');
    const controller = new AbortController();
    const starting = guard.startTask({ ...MAY, signal: controller.signal });
    controller.abort(new SpiffeError('ERR_SPIFFE_TASK_ENDED', 'nobody wants it any more'));
    prepared.resolve();
    expect(await rejection(starting)).to.equal(controller.signal.reason);
    expect(guard.tasks).to.deep.equal([]);
    expect(log.events).to.deep.equal([]);
    expect((await guard.startTask(MAY)).state).to.equal('open');
  });

  it('can be disposed of at the end of a block', async () => {
    const { guard, log } = await bench();
    guard.tool('look', READ, () => 'seen');
    {
      await using task = await guard.startTask(MAY);
      expect(task.state).to.equal('open');
    }
    expect(log.kinds).to.deep.equal(['task.start', 'task.end']);
  });

  it('closes its record after the outcome of whatever ran', async () => {
    const { guard, log } = await bench();
    const entered = deferred<void>();
    const held = deferred<void>();
    const look = guard.tool('look', READ, () => {
      entered.resolve();
      return new Promise(() => {});
    });
    log.before = ({ kind }) => (kind === 'call.outcome' ? held.promise : undefined);
    const task = await guard.startTask(MAY);
    const call = task.run(() => look({}));
    await entered.promise;
    const ended = task.end();
    expect(await rejection(call)).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    held.resolve();
    await ended;
    expect(log.kinds).to.deep.equal(['task.start', 'call.intent', 'call.outcome', 'task.end']);
  });

  for (const state of ['revoked', 'failed', 'closed'] as const) {
    it(`is revoked when the source of the identity is ${state}, and runs nothing more`, async () => {
      const { guard, identity, log } = await bench();
      const entered = deferred<AbortSignal>();
      const look = guard.tool('look', READ, (_args: object, { signal }) => {
        entered.resolve(signal);
        return new Promise(() => {});
      });
      const task = await guard.startTask(MAY);
      const call = task.run(() => look({}));
      const signal = await entered.promise;
      const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve));
      identity.x509.set({ state });
      await aborted;
      expect(await rejection(call)).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
      expect(task.state).to.equal('revoked');
      await task.end();
      expect(log.of('task.end')[0]).to.include({ ending: 'revoked' });
    });
  }

  it('is revoked by a call that finds the identity gone, before anyone has told', async () => {
    const { guard, identity } = await bench();
    let ran = false;
    const look = guard.tool('look', READ, () => {
      ran = true;
    });
    const task = await guard.startTask(MAY);
    const gone = new SpiffeError('ERR_SPIFFE_SVID_EXPIRED', 'a test');
    identity.x509.svid = () => {
      throw gone;
    };
    const error = await rejection(task.run(() => look({})));
    expect(error).to.include({ code: 'ERR_SPIFFE_TASK_ENDED', cause: gone });
    expect({ state: task.state, ran }).to.deep.equal({ state: 'revoked', ran: false });
  });

  it('is revoked when the process becomes someone else, and lives on when its SVID is only renewed', async () => {
    const { guard, identity, log } = await bench();
    const look = guard.tool('look', READ, () => 'seen');
    const task = await guard.startTask(MAY);
    const recorded = deferred<void>();
    log.before = ({ kind }) => {
      if (kind === 'rotation') recorded.resolve();
    };
    const svid = rotated();
    identity.x509.set({ svids: [svid] });
    await recorded.promise;
    expect(await task.run(() => look({}))).to.equal('seen');
    expect(log.of('rotation')[0]).to.include({
      serialNumber: svid.serialNumber,
      notAfter: svid.notAfter.getTime(),
    });
    identity.x509.set({ svids: [renamed()] });
    expect(await rejection(task.run(() => look({})))).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    expect(task.state).to.equal('revoked');
  });

  it('has a key of its own, which signs, and never shows', async () => {
    const { guard } = await bench();
    guard.tool('look', READ, () => 'seen');
    const one = await guard.startTask(MAY);
    const two = await guard.startTask(MAY);
    expect(one.key.thumbprint).not.to.equal(two.key.thumbprint);
    const data = Buffer.from('to be signed');
    const key = createPublicKey({ key: { ...one.key.publicJwk }, format: 'jwk' });
    expect(verify(null, data, key, one.key.sign(data))).to.equal(true);
    expect(verify(null, data, key, two.key.sign(data))).to.equal(false);
    const shown = `${inspect(one, { depth: 9, showHidden: true })}${JSON.stringify(one)}`;
    expect(shown).not.to.match(/PrivateKeyObject|KeyObject|"d"/);
    await one.end();
    expect(() => one.key.sign(data)).to.throw('ERR_SPIFFE_TASK_ENDED');
  });

  it('names its key as RFC 8037 does', async () => {
    // RFC 8037 appendix A.3: the thumbprint of an Ed25519 key is over crv, kty and x.
    const { guard } = await bench();
    guard.tool('look', READ, () => 'seen');
    const { key } = await guard.startTask(MAY);
    const text = `{"crv":"Ed25519","kty":"OKP","x":"${key.publicJwk.x}"}`;
    expect(key.thumbprint).to.equal(createHash('sha256').update(text).digest('base64url'));
    expect(Buffer.from(key.publicJwk.x, 'base64url')).to.have.length(32);
  });

  it('refuses what lies above its clearance, and reads what does not', async () => {
    const { guard } = await bench();
    const read = (confidentiality: 'confidential' | 'restricted') =>
      guard.tool(confidentiality, { effect: 'read', returns: { confidentiality } }, () => 'seen');
    const [confidential, restricted] = [read('confidential'), read('restricted')];
    const tools = { confidential: allArguments(), restricted: allArguments() };
    await guard.task(taskOf(tools), async (task) => {
      expect(await rejection(restricted({}))).to.include({ reason: 'clearance' });
      expect(task.labels).to.deep.equal({ confidentiality: 'public', integrity: 'trusted' });
      expect(await confidential({})).to.equal('seen');
    });
    await guard.task(taskOf(tools, { clearance: 'internal' }), async () => {
      expect(await rejection(confidential({}))).to.include({ reason: 'clearance' });
    });
    await guard.task(taskOf(tools, { clearance: 'restricted' }), async () => {
      expect(await restricted({})).to.equal('seen');
    });
  });

  it('lives shorter when a policy says so, and never longer', async () => {
    let ttlMs = 10_000;
    const { guard, clock } = await bench({
      policy: () => ({
        decision: true,
        context: { obligations: [{ type: 'shorten-life', ttlMs }] },
      }),
    });
    const look = guard.tool('look', READ, () => 'seen');
    const task = await guard.startTask(MAY);
    await task.run(() => look({}));
    expect(task.expiresAt.toISOString()).to.equal('2026-11-24T12:00:10.000Z');
    ttlMs = 50_000;
    await task.run(() => look({}));
    expect(task.expiresAt.toISOString()).to.equal('2026-11-24T12:00:10.000Z');
    clock.advance(10_000);
    expect(task.state).to.equal('expired');
  });

  for (const [name, change] of [
    ['no purpose', { purpose: '' }],
    ['a purpose of blanks', { purpose: ' ' }],
    ['no tools', { tools: undefined }],
    ['an unknown tool', { tools: { smell: allArguments() } }],
    ['a tool without constraints', { tools: { look: {} } }],
    ['no budget', { budget: undefined }],
    ['a budget without calls', { budget: {} }],
    ['a budget below nothing', { budget: { calls: -1 } }],
    ['a broken budget', { budget: { calls: 1.5 } }],
    ['a budget without end', { budget: { calls: Number.POSITIVE_INFINITY } }],
    ['a budget for a tool it does not have', { budget: { calls: 1, tools: { smell: 1 } } }],
    ['a budget of something else', { budget: { calls: 1, bytes: 5 } }],
    ['a depth of none', { budget: { calls: 1, depth: 0 } }],
    ['no life', { ttlMs: undefined }],
    ['a life of nothing', { ttlMs: 0 }],
    ['a life too long for a timer', { ttlMs: 2 ** 31 }],
    ['an unknown clearance', { clearance: 'secret' }],
    ['unknown labels', { labels: { confidentiality: 'secret' } }],
    ['business that is no JSON', { business: { at: new Date() } }],
    ['a signal that is none', { signal: 60_000 }],
    ['an option that there is not', { evaluateOnly: true }],
  ] as const) {
    it(`is not started with ${name}`, async () => {
      const { guard } = await bench();
      guard.tool('look', READ, () => 'seen');
      const options = { ...MAY, ...change } as unknown as TaskOptions;
      expect(await rejection(guard.startTask(options))).to.include({
        code: 'ERR_SPIFFE_OPTION_INVALID',
      });
      expect((await guard.startTask(MAY)).state).to.equal('open');
    });
  }
});
