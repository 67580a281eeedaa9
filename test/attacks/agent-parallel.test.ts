import { allArguments, type Guard, type GuardedTool } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { bench, taskOf } from '../agent/support.js';

interface Tools {
  readonly readSecret: GuardedTool<object, string>;
  readonly readNews: GuardedTool<object, string>;
  readonly send: GuardedTool<object, number>;
  /** What was in reach of the sink whenever it ran. */
  readonly seen: string[];
}

/** A secret that a read puts where the sink looks, whatever its arguments are. */
function tools(guard: Guard): Tools {
  let shelf = 'nothing';
  const seen: string[] = [];
  const read = (what: string) => async () => {
    shelf = what;
    await Promise.resolve();
    return what;
  };
  return {
    seen,
    readSecret: guard.tool(
      'read_secret',
      { effect: 'read', returns: { confidentiality: 'confidential', integrity: 'trusted' } },
      read('secret'),
    ),
    readNews: guard.tool(
      'read_news',
      { effect: 'read', returns: { confidentiality: 'public', integrity: 'trusted' } },
      read('news'),
    ),
    send: guard.tool('send', { effect: 'egress', sink: { clearance: 'public' } }, () =>
      seen.push(shelf),
    ),
  };
}

const MAY = taskOf({
  read_secret: allArguments(),
  read_news: allArguments(),
  send: allArguments(),
});

/** Answers after a number of turns that differs from call to call. */
function unevenPolicy(): () => Promise<boolean> {
  let asked = 0;
  return async () => {
    asked += 1;
    for (let turns = (asked * 7919) % 5; turns > 0; turns--) await Promise.resolve();
    return true;
  };
}

describe('attack: parallel calls', () => {
  for (const [how, policy] of [
    ['an engine that answers at once', () => () => true],
    ['an engine that answers later and later', unevenPolicy],
  ] as const) {
    it(`never sends beside a read of a secret, a thousand times, in either order, with ${how}`, async () => {
      const { guard } = await bench({ policy: policy() });
      const { readSecret, send, seen } = tools(guard);
      for (let round = 0; round < 1_000; round++) {
        const results = await guard.task(MAY, () =>
          Promise.allSettled(
            round % 2 === 0 ? [readSecret({}), send({})] : [send({}), readSecret({})],
          ),
        );
        expect(results.map(({ status }) => status).toSorted()).to.deep.equal([
          'fulfilled',
          'rejected',
        ]);
        const refused = results.find((each) => each.status === 'rejected');
        expect(refused?.reason).to.include({ code: 'ERR_SPIFFE_DENIED', reason: 'label' });
      }
      expect(seen).to.deep.equal([]);
    });

    it(`sends beside a read of news, a thousand times, in either order, with ${how}`, async () => {
      const { guard } = await bench({ policy: policy() });
      const { readNews, send, seen } = tools(guard);
      for (let round = 0; round < 1_000; round++) {
        await guard.task(MAY, () =>
          Promise.all(round % 2 === 0 ? [readNews({}), send({})] : [send({}), readNews({})]),
        );
      }
      expect(seen).to.have.length(1_000);
    });
  }

  it('never sends after a read that was begun, not even before that has ended', async () => {
    const { guard } = await bench();
    const { readSecret, send, seen } = tools(guard);
    await guard.task(MAY, async () => {
      const reading = readSecret({});
      expect(await Promise.allSettled([send({})])).to.have.nested.property(
        '[0].status',
        'rejected',
      );
      await reading;
    });
    expect(seen).to.deep.equal([]);
  });
});
