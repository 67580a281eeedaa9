import { allArguments } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { refusal } from '../support/refusal.js';
import { until } from '../support/until.js';
import { bench, rejection, taskOf } from './support.js';

const READ = { effect: 'read', returns: { confidentiality: 'public' } } as const;
const MAY = taskOf({ look: allArguments() });

const refuse = (): Promise<void> => Promise.reject(new Error('it is another'));

describe('a tool that must be confirmed', () => {
  it('is confirmed before each call, once that is decided and before it is on record', async () => {
    const seen: string[] = [];
    const { guard, log } = await bench({
      policy: () => {
        seen.push('decided');
        return true;
      },
    });
    const confirm = (): Promise<void> => {
      seen.push(`confirmed, ${log.of('call.intent').length} on record`);
      return Promise.resolve();
    };
    const look = guard.tool('look', { ...READ, confirm }, () => seen.push('done'));
    await guard.task(MAY, async () => {
      await look({});
      await look({});
    });
    expect(seen).to.deep.equal([
      'decided',
      'confirmed, 0 on record',
      'done',
      'decided',
      'confirmed, 1 on record',
      'done',
    ]);
  });

  it('is not called when it is not confirmed, and costs the task nothing', async () => {
    const { guard, log } = await bench();
    let changed = true;
    const confirm = (): Promise<void> => (changed ? refuse() : Promise.resolve());
    const look = guard.tool('look', { ...READ, confirm }, () => 'seen');
    await guard.task({ ...MAY, budget: { calls: 1 } }, async () => {
      const error = await rejection(look({}));
      expect(error).to.include({ code: 'ERR_SPIFFE_DENIED', reason: 'tool-changed' });
      expect((error.cause as Error).message).to.equal('it is another');
      expect(log.kinds).to.deep.equal(['task.start', 'call.denied']);
      changed = false;
      expect(await look({})).to.equal('seen');
    });
  });

  it('is asked about for no longer than the task lives and the caller waits', async () => {
    const { guard, log, clock } = await bench();
    const asked: AbortSignal[] = [];
    const confirm = ({ signal }: { readonly signal: AbortSignal }): Promise<void> => {
      asked.push(signal);
      return new Promise(() => {});
    };
    const look = guard.tool('look', { ...READ, confirm }, () => 'seen');
    const task = await guard.startTask(MAY);
    const leaving = new AbortController();
    const left = task.run(() => look({}, { signal: leaving.signal }));
    await until(() => asked.length === 1);
    leaving.abort(new Error('gone'));
    expect(await left.catch((error: unknown) => error)).to.have.property('message', 'gone');
    const call = rejection(task.run(() => look({})));
    await until(() => asked.length === 2);
    expect(asked.map(({ aborted }) => aborted)).to.deep.equal([true, false]);
    clock.advance(60_000);
    expect(await call).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    expect(asked[1]?.aborted).to.equal(true);
    expect(log.of('call.intent')).to.deep.equal([]);
  });

  it('is called where the guard only evaluates, with a word on record', async () => {
    const { guard, log } = await bench({ evaluateOnly: true });
    const look = guard.tool('look', { ...READ, confirm: refuse }, () => 'seen');
    expect(await guard.task(MAY, () => look({}))).to.equal('seen');
    expect(log.of('call.intent')[0]?.wouldDeny?.map(({ reason }) => reason)).to.deep.equal([
      'tool-changed',
    ]);
  });

  it('says so by a function', async () => {
    const { guard } = await bench();
    const spec = { ...READ, confirm: true as never };
    refusal('ERR_SPIFFE_OPTION_INVALID', 'is no function', () => guard.tool('look', spec, () => 1));
  });
});
