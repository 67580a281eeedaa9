import { SpiffeError } from 'agent-spiffe';
import { allArguments, type PolicyEngine } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { bench, deferred, rejection, taskOf } from '../agent/support.js';
import { refusal } from '../support/refusal.js';

const WRITE = { effect: 'write', sink: { clearance: 'restricted' } } as const;
const MAY = taskOf({ act: allArguments() });

function engine(decide: PolicyEngine['decide']): PolicyEngine {
  return { revision: 'test', prepare: () => Promise.resolve(), decide };
}

const permit = { decision: true } as const;

describe('attack: the policy engine', () => {
  const answers: readonly (readonly [string, unknown])[] = [
    ['nothing', undefined],
    ['null', null],
    ['true alone', true],
    ['text', 'allow'],
    ['one for true', { decision: 1 }],
    ['text for true', { decision: 'true' }],
    ['a boxed true', { decision: Object(true) as unknown }],
    ['a list', [permit]],
    ['no decision', { context: {} }],
    [
      'a permit beside an error',
      { decision: true, context: { error: 'a forbid could not be evaluated' } },
    ],
    ['an unknown obligation', { decision: true, context: { obligations: [{ type: 'pray' }] } }],
    [
      'an obligation that objects inherit',
      { decision: true, context: { obligations: [{ type: 'constructor' }] } },
    ],
    ['a permit that objects inherit', Object.create({ decision: true }) as object],
    ['an obligation without a type', { decision: true, context: { obligations: [{}] } }],
    ['an obligation that is text', { decision: true, context: { obligations: ['redact'] } }],
    [
      'obligations that are no list',
      { decision: true, context: { obligations: { type: 'redact' } } },
    ],
    [
      'an obligation with a member nobody knows',
      { decision: true, context: { obligations: [{ type: 'redact', headers: ['a'] }] } },
    ],
    [
      'an obligation with __proto__',
      { decision: true, context: { obligations: [JSON.parse('{"type":"redact","__proto__":1}')] } },
    ],
    [
      'a life that is no number',
      { decision: true, context: { obligations: [{ type: 'shorten-life', ttlMs: '5' }] } },
    ],
    ['a life of nothing', { decision: true, context: { obligations: [{ type: 'shorten-life' }] } }],
    [
      'an approval by nobody',
      { decision: true, context: { obligations: [{ type: 'require-approval', by: '' }] } },
    ],
    [
      'a thenable that is no promise',
      // oxlint-disable-next-line unicorn/no-thenable -- what must not be believed
      { then: (resolve: (value: unknown) => void) => resolve(permit) },
    ],
    ['a denial', { decision: false, context: { reasons: ['no-writes'] } }],
  ];
  for (const [name, answer] of answers) {
    for (const late of [false, true]) {
      // A promise takes a thenable for what it resolves to.
      if (late && name.startsWith('a thenable')) continue;
      it(`is not believed when it answers ${name}${late ? ', later' : ''}`, async () => {
        const given = (late ? Promise.resolve(answer) : answer) as ReturnType<
          PolicyEngine['decide']
        >;
        const { guard, log } = await bench({ policy: engine(() => given) });
        let ran = false;
        const act = guard.tool('act', WRITE, () => {
          ran = true;
        });
        const error = await guard.task(MAY, () => rejection(act({})));
        expect(error).to.include({ code: 'ERR_SPIFFE_DENIED', reason: 'policy' });
        expect(ran).to.equal(false);
        expect(log.kinds).to.deep.equal(['task.start', 'call.denied', 'task.end']);
      });
    }
  }

  for (const [name, decide] of [
    [
      'throws',
      () => {
        throw new Error('down');
      },
    ],
    ['rejects', () => Promise.reject(new Error('down'))],
    [
      'throws what is no error',
      () => {
        throw Object(1) as Error;
      },
    ],
  ] as const) {
    it(`is a denial when it ${name}, and the cause is kept`, async () => {
      const { guard } = await bench({ policy: engine(decide) });
      const act = guard.tool('act', WRITE, () => 'acted');
      const error = await guard.task(MAY, () => rejection(act({})));
      expect(error).to.include({ reason: 'policy' });
      expect(error.message).to.include('gave no answer');
      expect(error.cause).not.to.equal(undefined);
    });
  }

  for (const decision of [false, true]) {
    it(`is a denial when it answers ${decision} and an error, which the caller gets and no record does`, async () => {
      const context = { error: 'sum overflows at 4711' };
      const { guard, log } = await bench({ policy: engine(() => ({ decision, context })) });
      const act = guard.tool('act', WRITE, () => 'acted');
      const error = await guard.task(MAY, () => rejection(act({})));
      expect(error).to.include({ reason: 'policy' });
      expect(error.message).to.include('could not');
      expect(error.cause).to.be.an('error').with.property('message', context.error);
      expect(JSON.stringify(log.events)).not.to.include('4711');
    });
  }

  it('is a denial when it takes longer than it may, and its late permit changes nothing', async () => {
    const answer = deferred<typeof permit>();
    const asked = deferred<AbortSignal>();
    const { guard, clock } = await bench({
      policyTimeoutMs: 250,
      policy: engine((_request, { signal }) => {
        asked.resolve(signal);
        return answer.promise;
      }),
    });
    let ran = false;
    const act = guard.tool('act', WRITE, () => {
      ran = true;
    });
    await guard.task(MAY, async () => {
      const call = act({});
      const signal = await asked.promise;
      clock.advance(249);
      expect(signal.aborted).to.equal(false);
      clock.advance(1);
      expect(await rejection(call)).to.include({ reason: 'policy' });
      expect(signal.aborted).to.equal(true);
      answer.resolve(permit);
    });
    expect(ran).to.equal(false);
  });

  it('is believed when it permits, at once or in time (twin)', async () => {
    for (const given of [
      permit,
      Promise.resolve(permit),
      { decision: true, context: { reasons: ['ok'], obligations: [] } },
    ]) {
      const { guard, log } = await bench({ policy: engine(() => given) });
      const act = guard.tool('act', WRITE, () => 'acted');
      expect(await guard.task(MAY, () => act({}))).to.equal('acted');
      expect(log.of('call.intent')[0]?.decision.revision).to.equal('test');
    }
  });

  it('is a denial when the task ends while it thinks', async () => {
    const answer = deferred<typeof permit>();
    const asked = deferred<void>();
    const { guard } = await bench({
      policy: engine(() => {
        asked.resolve();
        return answer.promise;
      }),
    });
    let ran = false;
    const act = guard.tool('act', WRITE, () => {
      ran = true;
    });
    const task = await guard.startTask(MAY);
    const call = task.run(() => act({}));
    await asked.promise;
    const ended = task.end();
    expect(await rejection(call)).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    answer.resolve(permit);
    await ended;
    expect(ran).to.equal(false);
  });

  it('cannot change what goes on record, nor what the function gets', async () => {
    const { guard, log } = await bench({
      policy: engine((request) => {
        const loose = request as unknown as {
          context: {
            arguments: Record<string, unknown>;
            labels: Record<string, unknown>;
            chain: string[];
          };
          resource: Record<string, unknown>;
        };
        for (const change of [
          () => {
            loose.context.arguments['to'] = 'mallory';
          },
          () => {
            loose.context.labels['confidentiality'] = 'public';
          },
          () => {
            loose.context.chain.push('lie');
          },
          () => {
            loose.resource['id'] = 'other';
          },
        ])
          expect(change).to.throw(TypeError);
        return permit;
      }),
    });
    const act = guard.tool('act', WRITE, ({ to }: { to: string }) => to);
    expect(await guard.task(MAY, () => act({ to: 'ann' }))).to.equal('ann');
    expect(log.of('call.intent')[0]?.request.context.arguments).to.deep.equal({ to: 'ann' });
  });

  it('starts no task when it cannot use its policies', async () => {
    const cause = new Error('a policy names a tool that there is not');
    const invalid = new SpiffeError('ERR_SPIFFE_POLICY_INVALID', 'a test');
    for (const failure of [cause, invalid]) {
      const broken = { ...engine(() => permit), prepare: () => Promise.reject(failure) };
      const { guard } = await bench({ policy: broken });
      guard.tool('act', WRITE, () => 'acted');
      for (let i = 0; i < 2; i++) {
        const error = await rejection(guard.startTask(MAY));
        expect(error.code).to.equal('ERR_SPIFFE_POLICY_INVALID');
        expect(failure === invalid ? error : error.cause).to.equal(failure);
      }
    }
  });

  it('starts tasks as soon as it can use its policies, with the tools that it was sealed with (twin)', async () => {
    let usable = false;
    let prepared = 0;
    const prepare = (): Promise<void> => {
      prepared += 1;
      return usable ? Promise.resolve() : Promise.reject(new Error('they are not there yet'));
    };
    const { guard } = await bench({ policy: { ...engine(() => permit), prepare } });
    const act = guard.tool('act', WRITE, () => 'acted');
    const early = [guard.startTask(MAY), guard.startTask(MAY)].map(rejection);
    for (const error of await Promise.all(early))
      expect(error.code).to.equal('ERR_SPIFFE_POLICY_INVALID');
    expect(prepared).to.equal(1);
    usable = true;
    refusal('ERR_SPIFFE_GUARD_SEALED', '"late"', () => guard.tool('late', WRITE, () => 'acted'));
    for (let i = 0; i < 2; i++) expect(await guard.task(MAY, () => act({}))).to.equal('acted');
    expect(prepared).to.equal(2);
  });
});
