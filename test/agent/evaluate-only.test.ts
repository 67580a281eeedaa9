import { allArguments, exact, type PolicyFunction } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { z } from 'zod';
import { bench, deferred, rejection, taskOf } from './support.js';

const READ = { effect: 'read', returns: { confidentiality: 'restricted' } } as const;
const SEND = { effect: 'egress', sink: { clearance: 'public' } } as const;

const NEVER: PolicyFunction = () => ({ decision: false, context: { reasons: ['never'] } });

describe('a guard that only evaluates', () => {
  it('lets pass what it would have refused, and says so in every record', async () => {
    const { guard, log } = await bench({ evaluateOnly: true, policy: NEVER });
    const read = guard.tool('read', READ, () => 'secret');
    const send = guard.tool(
      'send',
      { ...SEND, schema: z.object({ to: z.email() }) },
      ({ to }) => to,
    );
    const other = guard.tool('other', READ, () => 'other');
    const may = taskOf(
      { read: allArguments(), send: { to: exact('ann@acme.example') } },
      { budget: { calls: 1 } },
    );
    await guard.task(may, async () => {
      expect(await read({})).to.equal('secret');
      expect(await send({ to: 'eve' })).to.equal('eve');
      expect(await other({})).to.equal('other');
    });
    const would = log
      .of('call.intent')
      .map(({ wouldDeny = [] }) => wouldDeny.map(({ reason }) => reason));
    expect(would).to.deep.equal([
      ['clearance', 'policy'],
      ['argument', 'argument', 'label', 'budget', 'policy'],
      ['tool-not-in-task', 'clearance', 'budget', 'policy'],
    ]);
    expect(log.of('call.intent')[0]?.wouldDeny?.[1]?.policies).to.deep.equal(['never']);
    expect(log.of('call.denied')).to.deep.equal([]);
    expect(log.events.every(({ evaluateOnly }) => evaluateOnly)).to.equal(true);
  });

  it('says in the outcome what it saw after the intent', async () => {
    const { guard, log } = await bench({ evaluateOnly: true });
    const read = guard.tool('read', READ, () => 'secret');
    const send = guard.tool('send', SEND, () => 'sent');
    const may = taskOf({ read: allArguments(), send: allArguments() }, { clearance: 'restricted' });
    await guard.task(may, () => Promise.all([send({}), read({})]));
    const [intent] = log.of('call.intent');
    expect(intent?.call.tool).to.equal('send');
    expect(intent).not.to.have.property('wouldDeny');
    const outcome = log.of('call.outcome').find(({ call }) => call.id === intent?.call.id);
    expect(outcome?.wouldDeny?.map(({ reason }) => reason)).to.deep.equal(['label']);
  });

  it('lets labels be lowered that a policy would not have lowered', async () => {
    const { guard, log } = await bench({ evaluateOnly: true, policy: () => false });
    const read = guard.tool('read', READ, () => 'secret');
    await guard.task(taskOf({ read: allArguments() }), async (task) => {
      await read({});
      await task.declassify({ to: 'public', justification: 'a try' });
      expect(task.labels.confidentiality).to.equal('public');
    });
    expect(log.of('label.declassify')[0]?.wouldDeny?.[0]).to.include({ reason: 'policy' });
  });

  it('asks nobody for an approval, and notes that it would have', async () => {
    const { guard, log } = await bench({
      evaluateOnly: true,
      approver: { ask: () => Promise.reject(new Error('must not be asked')) },
      policy: () => ({
        decision: true,
        context: { obligations: [{ type: 'require-approval', by: 'finance' }] },
      }),
    });
    const read = guard.tool('read', READ, () => 'secret');
    await guard.task(taskOf({ read: allArguments() }, { clearance: 'restricted' }), () => read({}));
    expect(log.of('call.intent')[0]?.wouldDeny?.map(({ reason }) => reason)).to.deep.equal([
      'approval',
    ]);
  });

  it('meets no obligation that would be felt: it shortens no life and redacts no result', async () => {
    const obligations = [
      { type: 'shorten-life', ttlMs: 1 },
      { type: 'redact', result: ['/key'] },
    ] as const;
    const policy: PolicyFunction = () => ({ decision: true, context: { obligations } });
    for (const [evaluateOnly, key, state] of [
      [true, 'hunter2', 'open'],
      [false, undefined, 'expired'],
    ] as const) {
      const { guard, clock, log } = await bench({ evaluateOnly, policy });
      const read = guard.tool('read', READ, () => ({ key: 'hunter2' }));
      const may = taskOf({ read: allArguments() }, { clearance: 'restricted' });
      const task = await guard.startTask(may);
      expect((await task.run(() => read({}))).key).to.equal(key);
      clock.advance(2);
      expect(task.state).to.equal(state);
      expect(log.of('call.intent')[0]?.decision.obligations).to.deep.equal(obligations);
    }
  });

  it('says nothing of the kind where nothing would have been refused', async () => {
    const { guard, log } = await bench({ evaluateOnly: true });
    const read = guard.tool('read', READ, () => 'secret');
    await guard.task(taskOf({ read: allArguments() }, { clearance: 'restricted' }), () => read({}));
    expect(log.of('call.intent')[0]).not.to.have.property('wouldDeny');
  });

  it('refuses all the same what no record can hold, what no task carries, and what comes too late', async () => {
    const { guard, log } = await bench({ evaluateOnly: true });
    const read = guard.tool('read', READ, () => 'secret');
    const may = taskOf({ read: allArguments() });
    expect(await rejection(read({}))).to.include({ code: 'ERR_SPIFFE_NO_TASK' });
    const leftover = deferred<Promise<unknown>[]>();
    const gate = deferred<void>();
    await guard.task(may, async () => {
      expect(await rejection(read({ at: new Date() }))).to.include({ reason: 'argument' });
      expect(await rejection(guard.startTask(may))).to.include({ code: 'ERR_SPIFFE_TASK_NESTED' });
      leftover.resolve([gate.promise.then(() => rejection(read({})))]);
    });
    const later = await leftover.promise;
    gate.resolve();
    expect(await later[0]).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    log.before = ({ kind }) => {
      if (kind === 'call.intent') throw new Error('the disk is full');
    };
    const error = await rejection(guard.task(may, () => read({})));
    expect(error).to.include({ code: 'ERR_SPIFFE_AUDIT_UNAVAILABLE' });
  });

  it('cannot be made of a task', async () => {
    const { guard } = await bench({ policy: () => false });
    guard.tool('read', READ, () => 'secret');
    const options = { ...taskOf({ read: allArguments() }), evaluateOnly: true };
    expect(await rejection(guard.startTask(options))).to.include({
      code: 'ERR_SPIFFE_OPTION_INVALID',
    });
  });
});
