import { createHash } from 'node:crypto';
import {
  type Approval,
  type ApprovalRequest,
  type Approver,
  allArguments,
  type DecisionRequest,
  type Obligation,
} from 'agent-spiffe/agent';
import { expect } from 'chai';
import { AGENT, type Bench, bench, deferred, rejection, taskOf } from './support.js';

const READ = {
  effect: 'read',
  returns: { confidentiality: 'public', integrity: 'trusted' },
} as const;
const MAY = taskOf({ pay: allArguments() });
const APPROVAL: Obligation = { type: 'require-approval', by: 'finance' };

function permitting(...obligations: readonly Obligation[]): () => object {
  return () => ({ decision: true, context: { reasons: ['four-eyes'], obligations } });
}

async function paying(
  approver: Approver | undefined,
  obligation: Obligation = APPROVAL,
): Promise<
  Bench & { readonly pay: (args: object) => Promise<string>; readonly paid: () => number }
> {
  const made = await bench({
    policy: permitting(obligation) as () => never,
    approvalTimeoutMs: 5_000,
    ...(approver && { approver }),
  });
  let paid = 0;
  const pay = made.guard.tool('pay', READ, () => {
    paid += 1;
    return 'paid';
  });
  return { ...made, pay, paid: () => paid };
}

const granting: Approver = {
  ask: ({ digest }) => Promise.resolve({ granted: true, approver: 'ann', digest }),
};

const asking = async (
  second: () => object,
): Promise<{
  readonly requests: DecisionRequest[];
  readonly by: string[];
  readonly paid: Promise<unknown>;
  readonly log: Bench['log'];
}> => {
  const requests: DecisionRequest[] = [];
  const by: string[] = [];
  const made = await bench({
    policy: ((request: DecisionRequest) => {
      if (request.resource.id !== 'pay') return true;
      requests.push(request);
      return requests.length === 1 ? permitting(APPROVAL)() : second();
    }) as () => never,
    approver: {
      ask: async (request, options) => {
        by.push(request.by);
        await look({});
        return await granting.ask(request, options);
      },
    },
  });
  const returns = { confidentiality: 'internal', integrity: 'untrusted' } as const;
  const look = made.guard.tool('look', { effect: 'read', returns }, () => 'seen');
  const pay = made.guard.tool('pay', READ, () => 'paid');
  const may = taskOf({ pay: allArguments(), look: allArguments() });
  const paid = made.guard.task(may, () => pay({ cents: 5 }));
  await paid.catch(() => {});
  return { requests, by, paid, log: made.log };
};

describe('an obligation to ask for an approval', () => {
  it('is met by whoever agrees to exactly this call', async () => {
    let asked: ApprovalRequest | undefined;
    const approver: Approver = {
      ask: (request, options) => {
        asked = request;
        return granting.ask(request, options);
      },
    };
    const { guard, log, pay, paid } = await paying(approver);
    expect(await guard.task(MAY, () => pay({ cents: 5, to: 'bob' }))).to.equal('paid');
    expect(paid()).to.equal(1);
    expect(asked).to.deep.include({
      tool: 'pay',
      by: 'finance',
      reasons: ['four-eyes'],
      arguments: { cents: 5, to: 'bob' },
    });
    const bound = `{"arguments":{"cents":5,"to":"bob"},"id":"${asked?.id ?? ''}","tool":"pay"}`;
    expect(asked?.digest).to.equal(createHash('sha256').update(bound).digest('hex'));
    expect(asked?.expiresAt).to.equal(Date.parse('2026-11-24T12:00:05Z'));
    expect(log.of('approval')[0]).to.include({
      by: 'finance',
      outcome: 'granted',
      approver: 'ann',
      argumentsDigest: createHash('sha256').update('{"cents":5,"to":"bob"}').digest('hex'),
    });
    expect(log.of('approval')[0]?.argumentNames).to.deep.equal(['cents', 'to']);
    expect(log.kinds).to.deep.equal([
      'task.start',
      'approval',
      'call.intent',
      'call.outcome',
      'task.end',
    ]);
  });

  it('is not met by an answer that was given before, to the same or to other arguments', async () => {
    const answers: Approval[] = [];
    const approver: Approver = {
      ask: ({ digest }) => {
        answers.push({ granted: true, approver: 'ann', digest });
        return Promise.resolve(answers[0] as Approval);
      },
    };
    const { guard, log, pay, paid } = await paying(approver);
    await guard.task(MAY, async () => {
      expect(await pay({ cents: 5 })).to.equal('paid');
      expect(await rejection(pay({ cents: 5 }))).to.include({
        code: 'ERR_SPIFFE_DENIED',
        reason: 'approval',
      });
      expect(await rejection(pay({ cents: 500_000 }))).to.include({ reason: 'approval' });
    });
    expect(paid()).to.equal(1);
    expect(log.of('approval').map(({ outcome }) => outcome)).to.deep.equal([
      'granted',
      'failed',
      'failed',
    ]);
  });

  for (const [name, answer, outcome] of [
    [
      'a refusal',
      ({ digest }: ApprovalRequest) => ({ granted: false, approver: 'ann', digest }),
      'refused',
    ],
    [
      'text for true',
      ({ digest }: ApprovalRequest) => ({ granted: 'true', approver: 'ann', digest }),
      'failed',
    ],
    ['no digest', () => ({ granted: true, approver: 'ann' }), 'failed'],
    [
      'nobody',
      ({ digest }: ApprovalRequest) => ({ granted: true, approver: '', digest }),
      'failed',
    ],
    [
      'the agent itself',
      ({ digest }: ApprovalRequest) => ({ granted: true, approver: AGENT, digest }),
      'failed',
    ],
    [
      'an agreement that objects inherit',
      ({ digest }: ApprovalRequest) =>
        Object.create({ granted: true, approver: 'ann', digest }) as object,
      'failed',
    ],
    ['nothing', () => undefined, 'failed'],
    ['true alone', () => true, 'failed'],
    [
      'an error',
      () => {
        throw new Error('the queue is down');
      },
      'failed',
    ],
  ] as const) {
    it(`is not met by ${name}`, async () => {
      const approver = {
        ask: (request: ApprovalRequest) => answer(request),
      } as unknown as Approver;
      const { guard, log, pay, paid } = await paying(approver);
      await guard.task(MAY, async (task) => {
        const left = task.callsLeft;
        const error = await rejection(pay({}));
        expect(error).to.deep.include({ reason: 'approval', policies: ['four-eyes'] });
        expect(task.callsLeft).to.equal(left);
      });
      expect(paid()).to.equal(0);
      expect(log.of('approval')[0]).to.include({ outcome });
    });
  }

  describe('has the policy asked again once it is met', () => {
    it('about the task as it stands by then, with the same arguments', async () => {
      const { requests, paid, log } = await asking(permitting(APPROVAL));
      expect(await paid).to.equal('paid');
      const [before, after] = requests.map(({ context }) => context);
      expect(requests).to.have.lengthOf(2);
      expect(before?.labels).to.deep.equal({ confidentiality: 'public', integrity: 'trusted' });
      expect(before?.chain).to.deep.equal([]);
      expect(after?.labels).to.deep.equal({ confidentiality: 'internal', integrity: 'untrusted' });
      expect(after?.chain).to.deep.equal(['look']);
      expect(after?.arguments).to.deep.equal({ cents: 5 });
      const intent = log.of('call.intent').find(({ call }) => call.tool === 'pay');
      expect(intent?.request).to.equal(requests[1]);
    });

    it('and a refusal then refuses', async () => {
      const { paid, by } = await asking(() => ({
        decision: false,
        context: { reasons: ['late'] },
      }));
      const error = await rejection(paid);
      expect(error).to.include({ code: 'ERR_SPIFFE_DENIED', reason: 'policy' });
      expect(by).to.deep.equal(['finance']);
    });

    it('and whoever else it wants by then is asked as well, each once', async () => {
      const legal: Obligation = { type: 'require-approval', by: 'legal' };
      const { paid, by, requests } = await asking(permitting(APPROVAL, legal));
      expect(await paid).to.equal('paid');
      expect(by).to.deep.equal(['finance', 'legal']);
      expect(requests).to.have.lengthOf(3);
    });
  });

  it('is not met where there is no one to ask', async () => {
    const { guard, pay, paid } = await paying(undefined);
    await guard.task(MAY, async () => {
      expect(await rejection(pay({}))).to.include({ reason: 'approval' });
    });
    expect(paid()).to.equal(0);
  });

  it('is not met by an answer that comes too late, and the approver is told', async () => {
    const asked = deferred<AbortSignal>();
    const answer = deferred<Approval>();
    let digest = '';
    const approver: Approver = {
      ask: (request, { signal }) => {
        ({ digest } = request);
        asked.resolve(signal);
        return answer.promise;
      },
    };
    const { guard, clock, log, pay, paid } = await paying(approver, {
      ...APPROVAL,
      timeoutMs: 3_000,
    });
    await guard.task(MAY, async () => {
      const call = pay({});
      const signal = await asked.promise;
      clock.advance(2_999);
      expect(signal.aborted).to.equal(false);
      clock.advance(1);
      const error = await rejection(call);
      expect(error).to.include({ reason: 'approval' });
      expect(signal.aborted).to.equal(true);
      answer.resolve({ granted: true, approver: 'ann', digest });
    });
    expect(paid()).to.equal(0);
    expect(log.of('approval')[0]).to.include({ outcome: 'timed-out' });
  });

  it('does not outlive its task', async () => {
    const asked = deferred<void>();
    const approver: Approver = {
      ask: () => {
        asked.resolve();
        return new Promise(() => {});
      },
    };
    const { guard, pay, paid } = await paying(approver);
    const task = await guard.startTask(MAY);
    const call = task.run(() => pay({}));
    await asked.promise;
    await Promise.all([task.end(), rejection(call)]);
    expect(paid()).to.equal(0);
  });
});

const record = {
  name: 'ann',
  card: { number: '4111', kind: 'visa' },
  notes: ['a', { b: 1, c: 2 }],
  'a/b': 1,
  'm~n': 2,
};

function omit(name: string): object {
  return Object.fromEntries(Object.entries(record).filter(([each]) => each !== name));
}

async function giving(result: unknown, pointers: readonly string[]): Promise<unknown> {
  const { guard } = await bench({
    policy: permitting({ type: 'redact', result: pointers }) as () => never,
  });
  const give = guard.tool('give', READ, () => result);
  return await guard.task(taskOf({ give: allArguments() }), () => give({}));
}

describe('an obligation to redact', () => {
  for (const [pointer, expected] of [
    ['/card/number', { ...record, card: { kind: 'visa' } }],
    ['/card', omit('card')],
    ['/notes/0', { ...record, notes: [null, { b: 1, c: 2 }] }],
    ['/notes/1/b', { ...record, notes: ['a', { c: 2 }] }],
    ['/a~1b', omit('a/b')],
    ['/m~0n', omit('m~n')],
    ['/missing/deep', record],
    ['/name/length', record],
    ['/notes/length', record],
    ['/notes/9', record],
    ['', undefined],
  ] as const) {
    it(`keeps ${JSON.stringify(pointer)} from the caller (RFC 6901)`, async () => {
      expect(await giving(record, [pointer])).to.deep.equal(expected);
    });
  }

  it('withholds a result that cannot be looked into', async () => {
    for (const result of [new Date(), { at: new Date() }, () => 1]) {
      expect(await rejection(giving(result, ['/at']))).to.include({
        code: 'ERR_SPIFFE_DENIED',
        reason: 'policy',
      });
    }
  });

  for (const pointer of ['name', 'card/number', '/a~b', '/m~', '/m~2n']) {
    it(`refuses the call before it runs where ${JSON.stringify(pointer)} is no JSON Pointer`, async () => {
      const { guard } = await bench({
        policy: permitting({ type: 'redact', result: [pointer] }) as () => never,
      });
      let ran = 0;
      const give = guard.tool('give', READ, () => ran++);
      await guard.task(taskOf({ give: allArguments() }), async () => {
        expect(await rejection(give({}))).to.include({ reason: 'policy' });
      });
      expect(ran).to.equal(0);
    });
  }

  it('leaves the result of the function as it was', async () => {
    await giving(record, ['/card']);
    expect(record.card.number).to.equal('4111');
  });
});

describe('an obligation of a permit to lower labels', () => {
  const SECRET = { effect: 'read', returns: { confidentiality: 'confidential' } } as const;
  const WHY = { justification: 'the names are out' } as const;

  /** A guard whose calls are permitted, and whose changes of labels are so with an obligation. */
  async function lowering(
    obligation: Obligation,
    options: { readonly approver?: Approver; readonly evaluateOnly?: boolean } = {},
  ): Promise<Bench & { readonly read: (args: object) => Promise<string> }> {
    const made = await bench({
      policy: ({ action }) =>
        action.name === 'tools/call' ? true : (permitting(obligation)() as never),
      approvalTimeoutMs: 5_000,
      ...options,
    });
    return { ...made, read: made.guard.tool('read', SECRET, () => 'hunter2') };
  }

  const MAY_READ = taskOf({ read: allArguments() });

  it('to ask someone is met by whoever agrees to exactly this change', async () => {
    let asked: ApprovalRequest | undefined;
    const approver: Approver = {
      ask: (request, options) => {
        asked = request;
        return granting.ask(request, options);
      },
    };
    const { guard, log, read } = await lowering(APPROVAL, { approver });
    await guard.task(MAY_READ, async (task) => {
      await read({});
      await task.declassify({ to: 'public', ...WHY });
      expect(task.labels).to.deep.equal({ confidentiality: 'public', integrity: 'untrusted' });
      await task.endorse(WHY);
      expect(task.labels.integrity).to.equal('trusted');
    });
    const change = {
      from: { confidentiality: 'public', integrity: 'untrusted' },
      justification: WHY.justification,
      to: { confidentiality: 'public', integrity: 'trusted' },
    };
    expect(asked).to.deep.include({
      tool: 'labels/endorse',
      arguments: change,
      by: 'finance',
      reasons: ['four-eyes'],
    });
    const [first, second] = log.of('approval');
    expect(first).to.include({ change: 'labels/declassify', outcome: 'granted', approver: 'ann' });
    expect(second).to.include({
      change: 'labels/endorse',
      argumentsDigest: createHash('sha256').update(JSON.stringify(change)).digest('hex'),
    });
    expect(second).not.to.have.property('call');
    expect(log.kinds.slice(-3)).to.deep.equal(['approval', 'label.endorse', 'task.end']);
  });

  it('to ask someone is not met by a refusal, nor where there is no one to ask', async () => {
    const refusing: Approver = {
      ask: ({ digest }) => Promise.resolve({ granted: false, approver: 'ann', digest }),
    };
    for (const options of [{ approver: refusing }, {}]) {
      const { guard, log, read } = await lowering(APPROVAL, options);
      await guard.task(MAY_READ, async (task) => {
        await read({});
        for (const change of [task.declassify({ to: 'public', ...WHY }), task.endorse(WHY)])
          expect(await rejection(change)).to.deep.include({
            code: 'ERR_SPIFFE_DENIED',
            reason: 'approval',
            policies: ['four-eyes'],
          });
        expect(task.labels).to.deep.equal({
          confidentiality: 'confidential',
          integrity: 'untrusted',
        });
      });
      const [changed] = log.of('label.endorse');
      expect(changed?.after).to.deep.equal(changed?.before);
      expect(changed?.denial).to.include({ reason: 'approval' });
    }
  });

  it('to ask someone does not lower what is read while they think', async () => {
    const answer = deferred<undefined>();
    const asked = deferred<undefined>();
    const approver: Approver = {
      ask: async (request, options) => {
        asked.resolve(undefined);
        await answer.promise;
        return await granting.ask(request, options);
      },
    };
    const { guard, read } = await lowering(APPROVAL, { approver });
    await guard.task(MAY_READ, async (task) => {
      await read({});
      const change = task.declassify({ to: 'public', ...WHY });
      await asked.promise;
      await read({});
      answer.resolve(undefined);
      await change;
      expect(task.labels.confidentiality).to.equal('confidential');
    });
  });

  it('to ask someone is on record, and no more, where the guard only evaluates', async () => {
    const { guard, log, read } = await lowering(APPROVAL, {
      approver: granting,
      evaluateOnly: true,
    });
    await guard.task(MAY_READ, async (task) => {
      await read({});
      await task.endorse(WHY);
      expect(task.labels.integrity).to.equal('trusted');
    });
    expect(log.of('approval')).to.have.length(0);
    expect(log.of('label.endorse')[0]?.wouldDeny?.[0]).to.include({ reason: 'approval' });
  });

  it('to end sooner brings the end of the task nearer', async () => {
    const { guard, read } = await lowering({ type: 'shorten-life', ttlMs: 1_000 });
    await guard.task(MAY_READ, async (task) => {
      await read({});
      await task.endorse(WHY);
      expect(task.expiresAt).to.deep.equal(new Date('2026-11-24T12:00:01Z'));
    });
  });
});
