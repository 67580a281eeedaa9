import { SpiffeError } from 'agent-spiffe';
import {
  allArguments,
  createGuard,
  DeniedError,
  functionPolicy,
  type GuardOptions,
  oneOf,
  type PolicyEngine,
  type ToolSpec,
  wildcard,
} from 'agent-spiffe/agent';
import { expect } from 'chai';
import { refusal } from '../support/refusal.js';
import { AGENT, bench, deferred, MemoryLog, rejection, taskOf } from './support.js';

const READ = {
  effect: 'read',
  returns: { confidentiality: 'public', integrity: 'trusted' },
} as const;

describe('a guard', () => {
  it('tells the story of the first fifteen lines', async () => {
    const { guard, log } = await bench();
    const sent: unknown[] = [];
    const search = guard.tool(
      'search',
      { effect: 'read', returns: { confidentiality: 'confidential' } },
      ({ q }: { q: string }) => `all about ${q}`,
    );
    const send = guard.tool(
      'send_email',
      { effect: 'egress', sink: { clearance: 'public' } },
      (mail: { to: string; body: string }) => sent.push(mail),
    );
    let denied: unknown;
    await guard.task(
      {
        purpose: 'answer ticket 42',
        ttlMs: 300_000,
        budget: { calls: 20 },
        tools: {
          search: { q: wildcard() },
          send_email: { to: oneOf('ann@acme.example'), body: wildcard() },
        },
      },
      async () => {
        await send({ to: 'ann@acme.example', body: 'hello' });
        const facts = await search({ q: 'acme' });
        denied = await rejection(send({ to: 'ann@acme.example', body: facts }));
      },
    );
    expect(denied).to.be.instanceOf(DeniedError).and.instanceOf(SpiffeError);
    expect(denied).to.include({ code: 'ERR_SPIFFE_DENIED', reason: 'label' });
    expect(String(denied)).to.include(
      'the task holds confidential data, and the sink takes public',
    );
    expect(sent).to.deep.equal([{ to: 'ann@acme.example', body: 'hello' }]);
    expect(log.kinds).to.deep.equal([
      'task.start',
      'call.intent',
      'call.outcome',
      'call.intent',
      'call.outcome',
      'call.denied',
      'task.end',
    ]);
    expect(log.checkpoints).to.equal(1);
  });

  it('asks the engine in the shape of AuthZEN, with all that is known', async () => {
    let asked: unknown;
    const { guard } = await bench({
      policy: (request) => {
        asked = request;
        return true;
      },
    });
    const look = guard.tool('look', READ, () => 'seen');
    const send = guard.tool(
      'send',
      { effect: 'egress', sink: { clearance: 'internal' }, resource: 'mail', destination: 'to' },
      () => 'sent',
    );
    let id = '';
    await guard.task(
      taskOf(
        { look: allArguments(), send: allArguments() },
        {
          budget: { calls: 9, tools: { send: 4 }, bytesOut: 1_000 },
          endUser: 'ann',
          business: { ticket: 42 },
        },
      ),
      async (task) => {
        id = task.id;
        await look({});
        await look({});
        await send({ to: 'bob', mail: 7, cc: ['x'] });
      },
    );
    expect(asked).to.deep.equal({
      subject: { type: 'workload', id: AGENT },
      action: { name: 'tools/call' },
      resource: {
        type: 'tool',
        id: 'send',
        properties: {
          effect: 'egress',
          destination: 'bob',
          returns: { confidentiality: 'public', integrity: 'untrusted' },
          sink: { clearance: 'internal', outside: true },
        },
      },
      context: {
        task: {
          id,
          purpose: 'a test',
          startedAt: '2026-11-24T12:00:00.000Z',
          expiresAt: '2026-11-24T12:01:00.000Z',
          endUser: 'ann',
          clearance: 'confidential',
        },
        arguments: { to: 'bob', mail: 7, cc: ['x'] },
        chain: ['look', 'look'],
        labels: { confidentiality: 'public', integrity: 'trusted' },
        budget: { callsLeft: 6, toolCallsLeft: 3, bytesOutLeft: 968 },
        time: '2026-11-24T12:00:00.000Z',
        business: { ticket: 42 },
      },
    });
  });

  it('tells the engine of the newest 100 calls, and of none that was refused', async () => {
    let chain: readonly string[] = [];
    const { guard } = await bench({
      policy: ({ context, resource }) => {
        chain = context.chain;
        return resource.id !== 'no';
      },
    });
    const names = ['a', 'b', 'no', 'c'] as const;
    const [a, b, no, c] = names.map((name) => guard.tool(name, READ, () => name));
    const may = taskOf(Object.fromEntries(names.map((name) => [name, allArguments()])));
    await guard.task(may, async () => {
      await a?.({});
      await Promise.allSettled([no?.({}), b?.({})]);
      await c?.({});
      expect(chain).to.deep.equal(['a', 'b']);
      for (let i = 0; i < 100; i++) await b?.({});
      await a?.({});
      expect(chain).to.have.length(100);
      expect(new Set(chain)).to.deep.equal(new Set(['b']));
    });
  });

  it('is sealed by its first task: its tools are prepared, and no other is added', async () => {
    const prepared: string[][] = [];
    const engine: PolicyEngine = {
      ...functionPolicy(() => true),
      prepare: (tools) => {
        prepared.push(tools.map(({ name }) => name));
        return Promise.resolve();
      },
    };
    const { guard } = await bench({ policy: engine });
    guard.tool('one', READ, () => 1);
    guard.tool('two', READ, () => 2);
    const starting = guard.task(taskOf({ one: allArguments() }), () => 'ran');
    refusal('ERR_SPIFFE_GUARD_SEALED', '"three"', () => guard.tool('three', READ, () => 3));
    expect(await starting).to.equal('ran');
    await guard.task(taskOf({ two: allArguments() }), () => 'ran');
    expect(prepared).to.deep.equal([['one', 'two']]);
    expect(guard.tools.map(({ name }) => name)).to.deep.equal(['one', 'two']);
  });

  it('refuses a tool outside any task, and puts that on record', async () => {
    const { guard, log } = await bench();
    const look = guard.tool('look', READ, () => 'seen');
    const error = await rejection(look({}));
    expect(error).to.include({ code: 'ERR_SPIFFE_NO_TASK', reason: 'no-task' });
    expect(log.events).to.have.length(1);
    expect(log.events[0])
      .to.include({ kind: 'call.denied', agent: AGENT })
      .and.not.have.property('task');
    expect(await guard.task(taskOf({ look: allArguments() }), () => look({}))).to.equal('seen');
  });

  it('refuses the tool of another guard in its task', async () => {
    const one = await bench();
    const other = await bench();
    const look = other.guard.tool('look', READ, () => 'seen');
    one.guard.tool('look', READ, () => 'mine');
    const error = await one.guard.task(taskOf({ look: allArguments() }), () => rejection(look({})));
    expect(error).to.include({ code: 'ERR_SPIFFE_NO_TASK' });
  });

  it('refuses a task within a task, wherever it is begun', async () => {
    const { guard } = await bench();
    const other = await bench();
    const may = taskOf({ look: allArguments() });
    const look = guard.tool('look', READ, () => guard.startTask(may));
    const outer = await guard.startTask(may);
    await guard.task(may, async (task) => {
      for (const begin of [
        () => guard.task(may, () => 1),
        () => guard.startTask(may),
        () => other.guard.startTask(may),
        () => outer.run(() => 1),
        () => task.run(() => 1),
        () => look({}),
      ])
        expect(await rejection(begin())).to.include({ code: 'ERR_SPIFFE_TASK_NESTED' });
    });
    expect(await outer.run(() => 1)).to.equal(1);
  });

  it('refuses a tool that the task does not have, and one that the guard does not have', async () => {
    const { guard, log } = await bench();
    const look = guard.tool('look', READ, () => 'seen');
    const touch = guard.tool('touch', READ, () => 'felt');
    await guard.task(taskOf({ look: allArguments() }), async () => {
      expect(await rejection(touch({}))).to.include({ reason: 'tool-not-in-task' });
      expect(await look({})).to.equal('seen');
    });
    expect(log.of('call.denied')[0]?.denial).to.deep.include({
      reason: 'tool-not-in-task',
      policies: [],
    });
    expect(await rejection(guard.startTask(taskOf({ smell: allArguments() })))).to.include({
      code: 'ERR_SPIFFE_OPTION_INVALID',
    });
  });

  it('does nothing that is not on record: a start, an intent, an outcome, an end', async () => {
    for (const kind of ['task.start', 'call.intent', 'call.outcome', 'task.end'] as const) {
      const { guard, log } = await bench();
      let ran = 0;
      const act = guard.tool('act', READ, () => {
        ran += 1;
      });
      log.before = (event) => {
        if (event.kind === kind) throw new Error('the disk is full');
      };
      const error = await rejection(guard.task(taskOf({ act: allArguments() }), () => act({})));
      expect(error, kind).to.include({ code: 'ERR_SPIFFE_AUDIT_UNAVAILABLE' });
      expect(ran, kind).to.equal(kind === 'task.start' || kind === 'call.intent' ? 0 : 1);
    }
  });

  it('waits for the intent to be durable before the function runs, and for the outcome before it answers', async () => {
    const { guard, log } = await bench();
    const order: string[] = [];
    const act = guard.tool('act', READ, () => order.push('function'));
    log.before = async ({ kind }) => {
      await Promise.resolve();
      order.push(kind);
    };
    await guard.task(taskOf({ act: allArguments() }), async () => {
      await act({});
      order.push('answer');
    });
    expect(order).to.deep.equal([
      'task.start',
      'call.intent',
      'function',
      'call.outcome',
      'answer',
      'task.end',
    ]);
  });

  it('refuses all the same when the refusal cannot be put on record, and tells its logger', async () => {
    const told: string[] = [];
    const say = (_fields: object, message: string): void => {
      told.push(message);
    };
    const logger = { debug: say, info: say, warn: say, error: say };
    const { guard, log } = await bench({ logger, policy: () => false });
    const act = guard.tool('act', READ, () => 'acted');
    log.before = ({ kind }) => {
      if (kind === 'call.denied') throw new Error('the disk is full');
    };
    await guard.task(taskOf({ act: allArguments() }), async () => {
      expect(await rejection(act({}))).to.include({ reason: 'policy' });
    });
    expect(told).to.deep.equal(['a refusal was not put on record']);
  });

  it('passes on what a function throws, and records its kind and not its text', async () => {
    const { guard, log } = await bench();
    const failure = Object.assign(new Error('password hunter2 is wrong'), { code: 'E_LOGIN' });
    const act = guard.tool('act', READ, () => Promise.reject(failure));
    let thrown: unknown;
    await guard.task(taskOf({ act: allArguments() }), () =>
      act({}).catch((error: unknown) => {
        thrown = error;
      }),
    );
    expect(thrown).to.equal(failure);
    expect(log.of('call.outcome')[0]).to.include({ status: 'failure', error: 'E_LOGIN' });
    expect(JSON.stringify(log.events)).not.to.include('hunter2');
  });

  it('records how much a result is, and which, and not what', async () => {
    const { guard, log } = await bench();
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    const results: unknown[] = [
      'text é',
      { a: 1 },
      Buffer.from('bytes'),
      undefined,
      new Date(0),
      () => 1,
      cycle,
      { big: 1n },
    ];
    const give = guard.tool('give', READ, ({ i }: { i: number }) => results[i]);
    await guard.task(taskOf({ give: allArguments() }), async () => {
      for (let i = 0; i < results.length; i++) expect(await give({ i })).to.equal(results[i]);
    });
    expect(log.of('call.outcome').map(({ resultBytes }) => resultBytes)).to.deep.equal([
      7,
      7,
      5,
      ...Array.from({ length: 5 }, () => undefined),
    ]);
    // printf 'bytes' | openssl sha256
    expect(log.of('call.outcome')[2]?.resultDigest).to.equal(
      '277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9',
    );
  });

  it('gives up a call whose caller gives it up', async () => {
    const { guard, log } = await bench();
    const controller = new AbortController();
    const reason = new Error('no longer needed');
    const act = guard.tool('act', READ, (_args: object, { signal }) => {
      controller.abort(reason);
      expect(signal.aborted).to.equal(true);
      return new Promise(() => {});
    });
    await guard.task(taskOf({ act: allArguments() }), async () => {
      let thrown: unknown;
      await act({}, { signal: controller.signal }).catch((error: unknown) => {
        thrown = error;
      });
      expect(thrown).to.equal(reason);
      await act({}, { signal: controller.signal }).catch((error: unknown) => {
        expect(error).to.equal(reason);
      });
    });
    expect(log.of('call.outcome')).to.have.length(1);
    expect(log.of('call.outcome')[0]).to.include({ status: 'aborted' });
  });

  it('records an intent that was given up before its function ran', async () => {
    const { guard, log } = await bench();
    const controller = new AbortController();
    let ran = false;
    const act = guard.tool('act', READ, () => {
      ran = true;
    });
    log.before = ({ kind }) => {
      if (kind === 'call.intent') controller.abort(new Error('changed my mind'));
    };
    await guard.task(taskOf({ act: allArguments() }), async (task) => {
      const left = task.callsLeft;
      await act({}, { signal: controller.signal }).catch(() => {});
      expect(task.callsLeft).to.equal(left);
    });
    expect(ran).to.equal(false);
    expect(log.kinds).to.deep.equal(['task.start', 'call.intent', 'call.outcome', 'task.end']);
  });

  it('names the call that a call was made in', async () => {
    const { guard, log } = await bench();
    const inner = guard.tool('inner', READ, () => 'in');
    const outer = guard.tool('outer', READ, () => inner({}));
    await guard.task(taskOf({ inner: allArguments(), outer: allArguments() }), () => outer({}));
    const [first, second] = log.of('call.intent');
    expect(first?.call).to.include({ tool: 'outer' }).and.not.have.property('parent');
    expect(second?.call).to.include({ tool: 'inner', parent: first?.call.id });
  });

  it('ends every task when it is closed, closes engine and log, and starts no other', async () => {
    let engineClosed = 0;
    const engine: PolicyEngine = {
      ...functionPolicy(() => true),
      close: () => {
        engineClosed += 1;
        return Promise.resolve();
      },
    };
    const { guard, log, identity } = await bench({ policy: engine });
    guard.tool('act', READ, () => 1);
    const may = taskOf({ act: allArguments() });
    const tasks = [await guard.startTask(may), await guard.startTask(may)];
    expect(guard.tasks).to.deep.equal(tasks);
    await guard.close();
    await guard[Symbol.asyncDispose]();
    expect(tasks.map(({ state }) => state)).to.deep.equal(['ended', 'ended']);
    expect(guard.tasks).to.deep.equal([]);
    expect({ engineClosed, log: log.closed, watchers: identity.x509.watchers }).to.deep.equal({
      engineClosed: 1,
      log: 1,
      watchers: 0,
    });
    expect(await rejection(guard.startTask(may))).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
  });

  it('starts no task that was asked for before it was closed, while it was sealed', async () => {
    const prepared = deferred<void>();
    const policy = { ...functionPolicy(() => true), prepare: () => prepared.promise };
    const { guard, log } = await bench({ policy });
    guard.tool('act', READ, () => 1);
    const starting = rejection(guard.startTask(taskOf({ act: allArguments() })));
    await guard.close();
    prepared.resolve();
    expect(await starting).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    expect(log.events).to.deep.equal([]);
    expect(guard.tasks).to.deep.equal([]);
  });

  it('closes its log when a task cannot be closed in it, and says so', async () => {
    const { guard, log } = await bench();
    guard.tool('act', READ, () => 1);
    await guard.startTask(taskOf({ act: allArguments() }));
    log.before = () => {
      throw new Error('the disk is full');
    };
    expect(await rejection(guard.close())).to.include({ code: 'ERR_SPIFFE_AUDIT_UNAVAILABLE' });
    expect(log.closed).to.equal(1);
  });

  for (const [name, change] of [
    ['without an identity', { identity: undefined }],
    ['without a policy engine', { policy: undefined }],
    ['without an audit log', { audit: undefined }],
    ['an identity that is yet to come', { identity: Promise.resolve() }],
    ['a policy engine that is yet to come', { policy: Promise.resolve() }],
    ['a function for a policy engine', { policy: () => true }],
    ['an approver that cannot be asked', { approver: () => true }],
    ['a URL for credentials', { credentials: 'https://authority.internal' }],
    ['nothing for revocations', { revocation: null }],
    ['a directory for an audit log', { audit: './audit' }],
    ['nothing for an audit log', { audit: null }],
    ['an option that there is not', { evaluteOnly: true }],
    ['evaluateOnly that is text', { evaluateOnly: 'yes' }],
    ['a wait of nothing', { policyTimeoutMs: 0 }],
    ['a wait without end', { approvalTimeoutMs: Number.POSITIVE_INFINITY }],
    [
      'an origin with a path',
      {
        fetch: Object.assign(() => {}, { peerRule: () => '' }),
        origins: { 'https://a.example/x': {} },
      },
    ],
  ] as const) {
    it(`is not created ${name.startsWith('without') ? name : `with ${name}`}`, async () => {
      const { identity } = await bench();
      const good: GuardOptions = {
        identity,
        policy: functionPolicy(() => true),
        audit: new MemoryLog(),
      };
      expect(
        await rejection(createGuard({ ...good, ...change } as unknown as GuardOptions)),
      ).to.include({
        code: 'ERR_SPIFFE_OPTION_INVALID',
      });
      await (await createGuard(good)).close();
    });
  }

  it('is not created without an SVID', async () => {
    const { identity } = await bench();
    identity.x509.set({ state: 'revoked' });
    const options = { identity, policy: functionPolicy(() => true), audit: new MemoryLog() };
    expect(await rejection(createGuard(options))).to.include({ code: 'ERR_SPIFFE_SVID_REVOKED' });
  });

  for (const [name, spec] of [
    ['no effect', { returns: { confidentiality: 'public' } }],
    ['an unknown effect', { effect: 'delete' }],
    ['a read that does not say what it returns', { effect: 'read' }],
    [
      'a read whose result has no confidentiality',
      { effect: 'read', returns: { integrity: 'trusted' } },
    ],
    ['a write without a sink', { effect: 'write' }],
    ['an egress without a sink', { effect: 'egress' }],
    ['a sink without a clearance', { effect: 'egress', sink: {} }],
    ['a clearance that there is not', { effect: 'egress', sink: { clearance: 'secret' } }],
    ['outside that is text', { effect: 'egress', sink: { clearance: 'public', outside: 'no' } }],
    [
      'integrity that there is not',
      { effect: 'read', returns: { confidentiality: 'public', integrity: 'high' } },
    ],
    ['a member that there is not', { ...READ, sinks: { clearance: 'public' } }],
    ['a schema that is none', { ...READ, schema: {} }],
    ['a description that is none', { ...READ, description: 5 }],
    ['a definition that is none', { ...READ, definition: { description: 'x' } }],
    ['a definition and a description', { ...READ, description: 'x', definition: () => ({}) }],
    ['null', null],
  ] as const) {
    it(`takes no tool with ${name}`, async () => {
      const { guard } = await bench();
      refusal('ERR_SPIFFE_OPTION_INVALID', 'the tool "t"', () =>
        guard.tool('t', spec as unknown as ToolSpec, () => 1),
      );
      guard.tool('t', READ, () => 1);
    });
  }

  it('takes no tool without a name or a function, and none twice', async () => {
    const { guard } = await bench();
    refusal('ERR_SPIFFE_OPTION_INVALID', 'name', () => guard.tool('', READ, () => 1));
    refusal('ERR_SPIFFE_OPTION_INVALID', 'function', () => guard.tool('t', READ, 1 as never));
    guard.tool('t', READ, () => 1);
    refusal('ERR_SPIFFE_OPTION_INVALID', 'of this name', () => guard.tool('t', READ, () => 1));
  });
});
