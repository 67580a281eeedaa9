import { allArguments, type Task } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { bench, deferred, rejection, taskOf } from '../agent/support.js';

const READ = {
  effect: 'read',
  returns: { confidentiality: 'public', integrity: 'trusted' },
} as const;

describe('attack: a tool that outlives its task', () => {
  it('is aborted, and what it brings later reaches nobody', async () => {
    const { guard, log, clock } = await bench();
    const late = deferred<string>();
    const entered = deferred<AbortSignal>();
    const stubborn = guard.tool('stubborn', READ, (_args: object, { signal }) => {
      entered.resolve(signal);
      return late.promise;
    });
    const task = await guard.startTask(taskOf({ stubborn: allArguments() }));
    const call = task.run(() => stubborn({}));
    const signal = await entered.promise;
    expect(signal.aborted).to.equal(false);
    clock.advance(60_000);
    expect(signal.aborted).to.equal(true);
    expect(await rejection(call)).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    await task.end();
    late.resolve('too late');
    expect(task.state).to.equal('expired');
    expect(log.of('call.outcome')).to.have.length(1);
    expect(log.of('call.outcome')[0]).to.include({
      status: 'aborted',
      error: 'ERR_SPIFFE_TASK_ENDED',
    });
    expect(log.kinds.at(-1)).to.equal('task.end');
  });

  it('gives its result when it is done in time (twin)', async () => {
    const { guard, log, clock } = await bench();
    const soon = deferred<string>();
    const entered = deferred<void>();
    const patient = guard.tool('patient', READ, () => {
      entered.resolve();
      return soon.promise;
    });
    const task = await guard.startTask(taskOf({ patient: allArguments() }));
    const call = task.run(() => patient({}));
    await entered.promise;
    clock.advance(59_999);
    soon.resolve('in time');
    expect(await call).to.equal('in time');
    expect(log.of('call.outcome')[0]).to.include({ status: 'success', durationMs: 59_999 });
  });

  it('cannot call another tool from its leftovers', async () => {
    const { guard, log } = await bench();
    const gate = deferred<void>();
    const leftover = deferred<Promise<unknown>>();
    const inner = guard.tool('inner', READ, () => 'reached');
    const outer = guard.tool('outer', READ, () => {
      const later = gate.promise.then(() => inner({}));
      leftover.resolve(Promise.allSettled([later]));
      return 'done';
    });
    const may = taskOf({ inner: allArguments(), outer: allArguments() });
    await guard.task(may, () => outer({}));
    gate.resolve();
    const [settled] = (await leftover.promise) as [PromiseRejectedResult];
    expect(settled.reason).to.include({ code: 'ERR_SPIFFE_TASK_ENDED', reason: 'task-ended' });
    expect(log.of('call.denied').map(({ call }) => call.tool)).to.deep.equal(['inner']);
    expect(await guard.task(may, () => inner({}))).to.equal('reached');
  });

  it('cannot give a result when it has ended the task itself', async () => {
    const { guard } = await bench();
    let task: Task | undefined;
    const end = guard.tool('end', READ, () => {
      void task?.end();
      return 'a secret';
    });
    task = await guard.startTask(taskOf({ end: allArguments() }));
    let call: Promise<unknown> | undefined;
    await rejection(
      task.run(() => {
        call = end({});
        return call;
      }),
    );
    expect(await rejection(call as Promise<unknown>)).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
  });

  it('cannot be called by code that kept the task', async () => {
    const { guard } = await bench();
    const look = guard.tool('look', READ, () => 'seen');
    let kept: Task | undefined;
    const may = taskOf({ look: allArguments() });
    await guard.task(may, (task) => {
      kept = task;
    });
    const task = kept as unknown as Task;
    expect(await rejection(task.run(() => look({})))).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    expect(() => task.key.sign(new Uint8Array(1))).to.throw('ERR_SPIFFE_TASK_ENDED');
    const open = await guard.startTask(may);
    expect(await open.run(() => look({}))).to.equal('seen');
    expect(open.key.sign(new Uint8Array(1))).to.have.length(64);
  });
});
