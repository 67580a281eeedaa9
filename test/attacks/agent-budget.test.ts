import { allArguments, type TaskOptions } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { bench, deferred, rejection, taskOf } from '../agent/support.js';

const WRITE = { effect: 'write', sink: { clearance: 'restricted' } } as const;

/** How many of `calls` parallel calls pass, and why the others do not. */
async function race(
  budget: TaskOptions['budget'],
  calls: number,
  policy: () => boolean | Promise<boolean> = () => true,
): Promise<{ passed: number; ran: number; reasons: ReadonlySet<unknown> }> {
  const { guard } = await bench({ policy });
  let ran = 0;
  const act = guard.tool('act', WRITE, async () => {
    ran += 1;
    await Promise.resolve();
  });
  const results = await guard.task(taskOf({ act: allArguments() }, { budget }), () =>
    Promise.allSettled(Array.from({ length: calls }, () => act({}))),
  );
  const refused = results.filter((each) => each.status === 'rejected');
  return {
    ran,
    passed: results.length - refused.length,
    reasons: new Set(refused.map(({ reason }) => (reason as { reason?: string }).reason)),
  };
}

describe('attack: races for a budget', () => {
  it('lets exactly 100 of 10,000 parallel calls pass on a budget of 100', async () => {
    const { passed, ran, reasons } = await race({ calls: 100 }, 10_000);
    expect({ passed, ran }).to.deep.equal({ passed: 100, ran: 100 });
    expect([...reasons]).to.deep.equal(['budget']);
  });

  it('lets exactly 100 pass when the engine answers late', async () => {
    const { passed, ran } = await race({ calls: 100 }, 10_000, () => Promise.resolve(true));
    expect({ passed, ran }).to.deep.equal({ passed: 100, ran: 100 });
  });

  it('lets all pass on a budget that is large enough (twin)', async () => {
    const { passed, ran } = await race({ calls: 10_000 }, 10_000);
    expect({ passed, ran }).to.deep.equal({ passed: 10_000, ran: 10_000 });
  });

  it('counts the calls of one tool too', async () => {
    const { passed, reasons } = await race({ calls: 1_000, tools: { act: 3 } }, 1_000);
    expect(passed).to.equal(3);
    expect([...reasons]).to.deep.equal(['budget']);
  });

  it('lets nothing pass on a budget of none', async () => {
    expect(await race({ calls: 0 }, 10)).to.include({ passed: 0, ran: 0 });
  });

  it('takes nothing for calls that are refused, so that an honest one still passes', async () => {
    let asked = 0;
    const { passed, ran } = await race({ calls: 1 }, 1, () => {
      asked += 1;
      return true;
    });
    expect({ passed, ran, asked }).to.deep.equal({ passed: 1, ran: 1, asked: 1 });
    const { guard } = await bench({ policy: ({ context }) => context.arguments['n'] === 9 });
    const act = guard.tool('act', WRITE, () => 'acted');
    await guard.task(taskOf({ act: allArguments() }, { budget: { calls: 1 } }), async (task) => {
      for (let n = 0; n < 9; n++)
        expect(await rejection(act({ n }))).to.include({ reason: 'policy' });
      expect(task.callsLeft).to.equal(1);
      expect(await act({ n: 9 })).to.equal('acted');
      expect(task.callsLeft).to.equal(0);
      expect(await rejection(act({ n: 9 }))).to.include({ reason: 'budget' });
    });
  });

  it('counts the bytes that go outside, whatever runs beside', async () => {
    const { guard, log } = await bench();
    const post = guard.tool(
      'post',
      {
        effect: 'egress',
        sink: { clearance: 'restricted' },
        returns: { confidentiality: 'public' },
      },
      () => 'ok',
    );
    const file = guard.tool('file', WRITE, () => 'ok');
    const tools = { post: allArguments(), file: allArguments() };
    // {"b":"…"} is 8 bytes more than what it holds, and é is two.
    await guard.task(taskOf(tools, { budget: { calls: 9, bytesOut: 100 } }), async () => {
      await file({ b: 'x'.repeat(1_000) });
      const results = await Promise.allSettled([
        post({ b: 'x'.repeat(41) }),
        post({ b: `${'é'.repeat(22)}x` }),
        post({ b: '' }),
      ]);
      expect(results.map(({ status }) => status)).to.deep.equal([
        'fulfilled',
        'rejected',
        'fulfilled',
      ]);
      await post({ b: 'x'.repeat(35) });
      expect(await rejection(post({}))).to.include({ reason: 'budget' });
    });
    expect(log.of('task.end')[0]).to.include({ bytesOut: 100, calls: 4, denied: 2 });
  });

  it('bounds how deep calls lie within each other', async () => {
    const { guard } = await bench();
    const dig: (args: { left: number }) => Promise<number> = guard.tool(
      'dig',
      WRITE,
      async ({ left }: { left: number }) => (left === 0 ? 0 : 1 + (await dig({ left: left - 1 }))),
    );
    const may = taskOf({ dig: allArguments() }, { budget: { calls: 100, depth: 3 } });
    await guard.task(may, async () => {
      expect(await dig({ left: 2 })).to.equal(2);
      expect(await rejection(dig({ left: 3 }))).to.include({ reason: 'budget' });
    });
  });

  it('ends the task when its wall time is spent, and counts it once however many calls run', async () => {
    const { guard, clock, log } = await bench();
    let waiting = [deferred<void>(), deferred<void>()];
    let entered = deferred<void>();
    let running = 0;
    const work = guard.tool('work', WRITE, async (_args: object, { signal }) => {
      const mine = waiting[running++ % 2];
      if (running % 2 === 0) entered.resolve();
      signal.addEventListener('abort', () => mine?.resolve());
      await mine?.promise;
    });
    const task = await guard.startTask(
      taskOf({ work: allArguments() }, { budget: { calls: 9, wallTimeMs: 1_000 } }),
    );
    const first = task.run(() => Promise.all([work({}), work({})]));
    await entered.promise;
    clock.advance(600);
    for (const each of waiting) each.resolve();
    await first;
    // Time in which nothing runs is not counted.
    clock.advance(5_000);
    waiting = [deferred<void>(), deferred<void>()];
    entered = deferred<void>();
    const second = task.run(() => Promise.all([work({}), work({})]));
    await entered.promise;
    clock.advance(399);
    expect(task.state).to.equal('open');
    clock.advance(1);
    expect(await rejection(second)).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    expect(task.state).to.equal('ended');
    await task.end();
    expect(log.of('task.end')[0]).to.include({
      ending: 'budget',
      reason: 'its wall time is spent',
    });
  });
});
