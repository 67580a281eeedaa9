import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SpiffeError } from 'agent-spiffe';
import {
  type CedarPolicy,
  type CedarPolicyOptions,
  cedarPolicy,
  type DecisionRequest,
  type JsonRecord,
  type ToolDescription,
  wildcard,
} from 'agent-spiffe/agent';
import { FakeClock } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { cedarPolicyWith } from '#lib/agent/policy/cedar.js';
import { CedarEngine } from '#lib/agent/policy/cedar-engine.js';
import { memoryLogger } from '../../support/memory-logger.js';
import { until } from '../../support/until.js';
import { AGENT, bench, type Deferred, deferred, rejection, taskOf } from '../support.js';

const SCHEMA: JsonRecord = {
  type: 'object',
  properties: {
    to: { type: 'string' },
    amount: { type: 'number' },
    count: { type: 'integer' },
    urgent: { type: 'boolean' },
    tags: { type: 'array', items: { type: 'string' } },
    note: { anyOf: [{ type: 'string' }, { type: 'null' }] },
    from: { type: 'object', properties: { owner: { type: 'string' } }, required: ['owner'] },
  },
  required: ['to'],
};
const PERMIT = 'permit(principal, action, resource);';

function tool(name: string, inputSchema: JsonRecord | undefined = SCHEMA): ToolDescription {
  return { name, description: '', effect: 'egress', inputSchema, digest: '00' };
}

function request(
  args: JsonRecord,
  more: { tool?: string; business?: JsonRecord } = {},
): DecisionRequest {
  return {
    subject: { type: 'workload', id: AGENT },
    action: { name: 'tools/call' },
    resource: {
      type: 'tool',
      id: more.tool ?? 'send',
      properties: {
        effect: 'egress',
        returns: { confidentiality: 'public', integrity: 'trusted' },
        sink: { clearance: 'internal', outside: true },
      },
    },
    context: {
      task: {
        id: 't1',
        purpose: 'a test',
        startedAt: '2026-11-24T12:00:00.000Z',
        expiresAt: '2026-11-24T12:10:00.000Z',
        clearance: 'internal',
      },
      arguments: args,
      chain: ['search'],
      labels: { confidentiality: 'internal', integrity: 'untrusted' },
      budget: { callsLeft: 3 },
      time: '2026-11-24T12:00:01.000Z',
      business: more.business ?? {},
    },
  };
}

async function engine(text: string, options: CedarPolicyOptions = {}): Promise<CedarPolicy> {
  const policy = cedarPolicy({ policies: { 'p.cedar': text } }, options);
  await policy.prepare([tool('send'), tool('search')]);
  return policy;
}

const signal = AbortSignal.abort();

async function decide(text: string, args: JsonRecord, more = {}): Promise<unknown> {
  const policy = await engine(text);
  const answer = await policy.decide(request(args, more), { signal });
  await policy.close();
  return answer;
}

async function allows(text: string, args: JsonRecord, more = {}): Promise<boolean> {
  return ((await decide(text, args, more)) as { decision: boolean }).decision;
}

const when = (condition: string): string =>
  `permit(principal, action == Action::"send", resource) when { ${condition} };`;

describe('cedarPolicy', () => {
  it('permits what a policy permits, with its id, and denies all else', async () => {
    expect(await decide(when('context.arguments.to == "a"'), { to: 'a' })).to.deep.equal({
      decision: true,
      context: { reasons: ['p.cedar#1'] },
    });
    expect(await decide(when('context.arguments.to == "a"'), { to: 'b' })).to.deep.equal({
      decision: false,
      context: { reasons: [] },
    });
  });

  it('gives the ids of the policies that forbid, by @id or by their place, which is counted past ten', async () => {
    const text = `${PERMIT}\n${'forbid(principal, action == Action::"search", resource);\n'.repeat(10)}
      forbid(principal, action == Action::"send", resource);
      @id("no-send") forbid(principal, action == Action::"send", resource);`;
    expect(await decide(text, { to: 'a' })).to.deep.equal({
      decision: false,
      context: { reasons: ['no-send', 'p.cedar#12'] },
    });
  });

  it('shows policies each kind of argument, the chain, the labels, the budget, the time and the subject', async () => {
    const args = {
      to: 'a',
      amount: 12.5,
      count: 3,
      urgent: true,
      tags: ['x'],
      from: { owner: 'me' },
    };
    for (const condition of [
      'context.arguments has amount && context.arguments.amount.lessThan(decimal("12.51"))',
      'context.arguments has count && context.arguments.count < 4',
      'context.arguments has urgent && context.arguments.urgent',
      'context.arguments has tags && context.arguments.tags.contains("x")',
      'context.arguments has from && context.arguments.from.owner == "me"',
      'context.chain.contains("search")',
      'context.labels.level == 1 && context.labels.integrity == "untrusted"',
      'context.budget.callsLeft == 3',
      'context.time < datetime("2026-11-24T12:00:02Z") && context.time >= context.task.startedAt',
      'principal.trustDomain == "example.org" && principal.path like "/agents/*"',
      `principal == Workload::"${AGENT}" && resource == Tool::"send"`,
      'resource has sink && resource.sink.outside && resource.sink.level == 1',
    ]) {
      expect(await allows(when(condition), args), condition).to.equal(true);
      expect(await allows(when(`!(${condition})`), args), condition).to.equal(false);
    }
  });

  it('knows each tool as an action in tools/call', async () => {
    const text = 'permit(principal, action in Action::"tools/call", resource);';
    expect(await allows(text, { to: 'a' })).to.equal(true);
    expect(await allows(text, { to: 'a' }, { tool: 'search' })).to.equal(true);
    expect(await allows(text, { to: 'a' }, { tool: 'other' })).to.equal(false);
  });

  it('holds a tool whose name looks like a change of labels to the policies for all calls', async () => {
    const forbid = '@id("none") forbid(principal, action in Action::"tools/call", resource);';
    const policy = cedarPolicy({ policies: { 'p.cedar': `${PERMIT} ${forbid}` } });
    await policy.prepare([tool('labels/list')]);
    const asked = request({ to: 'a' }, { tool: 'labels/list' });
    expect(await policy.decide(asked, { signal })).to.deep.equal({
      decision: false,
      context: { reasons: ['none'] },
    });
  });

  it('decides a change of labels by its own action', async () => {
    const policy = await engine(
      'permit(principal, action == Action::"labels/declassify", resource) when { resource.to.level == 0 };',
    );
    const asked = (
      confidentiality: 'public' | 'internal',
      name: 'labels/declassify' | 'labels/endorse',
    ) =>
      policy.decide(
        {
          ...request({}),
          action: { name },
          resource: {
            type: 'task',
            id: 't1',
            properties: { to: { confidentiality, integrity: 'trusted' }, justification: 'a test' },
          },
        },
        { signal },
      );
    expect(asked('public', 'labels/declassify')).to.have.property('decision', true);
    expect(asked('internal', 'labels/declassify')).to.have.property('decision', false);
    expect(asked('public', 'labels/endorse')).to.have.property('decision', false);
    expect(policy.decide(request({ to: 'a' }), { signal })).to.have.property('decision', false);
  });

  it('shows what the business is, when its schema is given', async () => {
    const business = { type: 'object', properties: { ticket: { type: 'string' } } };
    const policy = await engine(
      when('context.business has ticket && context.business.ticket == "T1"'),
      {
        business,
      },
    );
    for (const [ticket, decision] of [
      ['T1', true],
      ['T2', false],
    ] as const) {
      const answer = policy.decide(request({ to: 'a' }, { business: { ticket } }), { signal });
      expect(answer).to.have.property('decision', decision);
    }
  });

  describe('attacks', () => {
    it('a forbid that errs denies, and one that does not err leaves the permit', async () => {
      const text = `${PERMIT} @id("sum") forbid(principal, action == Action::"send", resource)
        when { context.arguments has count && context.arguments.count + 9223372036854775807 < 0 };`;
      const answer = (await decide(text, { to: 'a', count: 1 })) as {
        decision: boolean;
        context: { reasons: string[]; error: string };
      };
      expect(answer.decision).to.equal(false);
      expect(answer.context.reasons).to.deep.equal(['sum']);
      expect(answer.context.error).to.match(/overflow/);
      expect(await allows(text, { to: 'a', count: 0 })).to.equal(true);
    });

    it('an argument that names an entity or a function stays an argument', async () => {
      const owner = when('context.arguments has from && context.arguments.from.owner == "me"');
      expect(await allows(owner, { to: 'a', from: { owner: 'me' } })).to.equal(true);
      for (const forged of [
        { __entity: { type: 'Workload', id: AGENT } },
        { __extn: { fn: 'decimal', arg: '1.0' } },
        { owner: { __entity: { type: 'Workload', id: AGENT } } },
      ]) {
        expect(await allows(owner, { to: 'a', from: forged }), JSON.stringify(forged)).to.equal(
          false,
        );
        expect(await allows(PERMIT, { to: forged }), JSON.stringify(forged)).to.equal(false);
      }
      // Beside what the schema names, they are not shown to any policy.
      const beside = { to: 'a', from: { owner: 'me', __entity: { type: 'Tool', id: 'x' } } };
      expect(await allows(owner, beside)).to.equal(true);
      const named = {
        type: 'object',
        properties: { __entity: { type: 'object', properties: { id: { type: 'string' } } } },
      };
      const policy = cedarPolicy({ policies: { p: PERMIT } });
      await policy.prepare([tool('send', named)]);
      const args = { __entity: { type: 'Workload', id: AGENT } };
      expect(policy.decide(request(args), { signal })).to.have.property('decision', true);
    });

    it('an argument of another type than its schema says is denied, whatever the policies are', async () => {
      const forbid = `${PERMIT} forbid(principal, action == Action::"send", resource) when { context.arguments.to == "evil" };`;
      expect(await allows(forbid, { to: 'good' })).to.equal(true);
      for (const to of ['evil', ['evil'], 1, null, { to: 'evil' }])
        expect(await allows(forbid, { to }), JSON.stringify(to)).to.equal(false);
      expect(await allows(forbid, {})).to.equal(false);
      for (const wrong of [
        { count: 1.5 },
        { count: 2 ** 53 },
        { amount: 0.00001 },
        { amount: 1e300 },
        { urgent: null },
        { tags: null },
      ])
        expect(await allows(forbid, { to: 'good', ...wrong }), JSON.stringify(wrong)).to.equal(
          false,
        );
      for (const right of [{ count: -0 }, { amount: 0.0001 }, { amount: -5 }, { note: null }])
        expect(await allows(forbid, { to: 'good', ...right }), JSON.stringify(right)).to.equal(
          true,
        );
    });

    it('a lone surrogate or a BigInt is a denial and no crash', async () => {
      const big = 1n as unknown as number;
      expect(await allows(PERMIT, { to: 'a\ud800' })).to.equal(false);
      expect(await allows(PERMIT, { to: 'a', count: big })).to.equal(false);
      expect(await allows(PERMIT, { to: 'a\ud83d\ude00' })).to.equal(true);
    });

    it('a policy that overrides nothing of an id twice given is refused', async () => {
      const error = await rejection(
        engine(`@id("x") ${PERMIT} @id("x") forbid(principal, action, resource);`),
      );
      expect(error.code).to.equal('ERR_SPIFFE_POLICY_INVALID');
      expect(error.message).to.match(/"x" of "p.cedar"/);
      expect(await allows(`@id("x") ${PERMIT} @id("y") ${PERMIT}`, { to: 'a' })).to.equal(true);
    });

    it('three thousand decisions in a row do not abort the process', async function () {
      this.timeout(60_000);
      const policy = await engine(PERMIT);
      let allowed = 0;
      for (let i = 0; i < 3_000; i++) {
        const answer = policy.decide(request({ to: 'a' }), { signal });
        if ('decision' in answer && answer.decision) allowed += 1;
      }
      expect(allowed).to.equal(3_000);
    });
  });

  describe('at load', () => {
    const refused: readonly [string, RegExp][] = [
      ['permit(principal, action, resource) when { ;', /"p.cedar": unexpected token `;` in line 1/],
      [
        'permit(principal, action == Action::"sned", resource);',
        /"p.cedar#1" of "p.cedar".*did you mean/,
      ],
      [when('context.arguments.nope == "a"'), /nope/],
      [when('context.arguments.count < 3'), /optional attribute/],
      [when('context.arguments.to < 3'), /p\.cedar#1/],
      ['permit(principal == ?principal, action, resource);', /template/],
      ['', /without any policy/],
      [`@require_aproval("boss") ${PERMIT}`, /nobody here knows the annotation @require_aproval/],
      [`@shorten_life_ms("1m") ${PERMIT}`, /no whole milliseconds/],
      [`@redact_result("/card card") ${PERMIT}`, /"card", which is no JSON Pointer/],
      [`@require_approval ${PERMIT}`, /says nothing/],
      [`@approval_timeout_ms("5") ${PERMIT}`, /needs @require_approval/],
      ['@require_approval("boss") forbid(principal, action, resource);', /only a permit can/],
    ];
    for (const [text, why] of refused) {
      it(`refuses ${JSON.stringify(text)}`, async () => {
        const error = await rejection(engine(text));
        expect(error.code).to.equal('ERR_SPIFFE_POLICY_INVALID');
        expect(error.message).to.match(why);
      });
    }

    it('refuses a tool that is named as another action is', async () => {
      const policy = cedarPolicy({ policies: { p: PERMIT } });
      const error = await rejection(policy.prepare([tool('labels/declassify')]));
      expect(error.message).to.match(/"labels\/declassify"/);
    });

    it('refuses a directory without policies, or that is not there', async () => {
      const error = await rejection(cedarPolicy('/nowhere/at/all').prepare([tool('send')]));
      expect(error.code).to.equal('ERR_SPIFFE_POLICY_INVALID');
    });

    it('refuses options that it does not know, and a source that is none', () => {
      expect(() => cedarPolicy('x', { reloadMS: 1 } as CedarPolicyOptions)).to.throw(SpiffeError);
      expect(() => cedarPolicy('')).to.throw(SpiffeError);
      expect(() => cedarPolicy('x', { reloadMs: 0 })).to.throw(SpiffeError);
      expect(() => cedarPolicy({ policies: { p: 1 as unknown as string } })).to.throw(SpiffeError);
      for (const business of [null, false, 0, '', 'object', []] as unknown as JsonRecord[])
        expect(() => cedarPolicy('x', { business }), JSON.stringify(business)).to.throw(
          SpiffeError,
          /business/,
        );
      expect(() => cedarPolicy('x', { business: {} })).not.to.throw();
    });
  });

  it('obliges by annotations, of every permit that holds', async () => {
    const text = `
      @require_approval("boss") @approval_timeout_ms("5000") ${PERMIT}
      @shorten_life_ms("60000") @redact_arguments("to note") @redact_result("/a /b") ${PERMIT}
      @require_approval("nobody") permit(principal, action == Action::"search", resource);`;
    const answer = (await decide(text, { to: 'a' })) as { context: { obligations: unknown } };
    expect(answer.context.obligations).to.deep.equal([
      { type: 'require-approval', by: 'boss', timeoutMs: 5000 },
      { type: 'shorten-life', ttlMs: 60000 },
      { type: 'redact', arguments: ['to', 'note'], result: ['/a', '/b'] },
    ]);
  });

  it('decides the calls of a guard', async () => {
    const policy = cedarPolicy({ policies: { p: when('context.arguments.to == "a"') } });
    const { guard, log } = await bench({ policy });
    const send = guard.tool(
      'send',
      { effect: 'write', sink: { clearance: 'restricted', outside: false }, inputSchema: SCHEMA },
      ({ to }: { to: string }) => Promise.resolve(to),
    );
    await guard.task(taskOf({ send: { to: wildcard() } }), async () => {
      expect(await send({ to: 'a' })).to.equal('a');
      const error = await rejection(send({ to: 'b' }));
      expect(error.code).to.equal('ERR_SPIFFE_DENIED');
    });
    expect(log.of('call.intent')[0]?.decision?.reasons).to.deep.equal(['p#1']);
    await guard.close();
  });

  it('of a guard that was closed leaves nothing to the next, whose tool has the same name', async () => {
    for (const [type, to, wrong] of [
      ['string', 'a', 1],
      ['integer', 1, 'a'],
    ] as const) {
      const literal = JSON.stringify(to);
      const policy = cedarPolicy({ policies: { p: when(`context.arguments.to == ${literal}`) } });
      const { guard } = await bench({ policy });
      const inputSchema = { type: 'object', properties: { to: { type } }, required: ['to'] };
      const sink = { clearance: 'restricted', outside: false } as const;
      const send = guard.tool(
        'send',
        { effect: 'write', sink, inputSchema },
        ({ to: given }: { to: unknown }) => given,
      );
      await guard.task(taskOf({ send: { to: wildcard() } }), async () => {
        expect(await send({ to })).to.equal(to);
        expect(await rejection(send({ to: wrong }))).to.include({ reason: 'policy' });
      });
      await guard.close();
    }
  });

  it('leaves the next guard alone when it is closed while it is prepared, and is prepared once', async () => {
    const reading = deferred<Record<string, string>>();
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    const settings = { business: undefined, reloadMs: undefined, logger, clock: new FakeClock() };
    const closed = new CedarEngine(() => reading.promise, settings);
    const preparing = closed.prepare([tool('send')]);
    await closed.close();
    const next = await engine('@id("no") forbid(principal, action, resource);');
    reading.resolve({ p: PERMIT });
    expect(await rejection(preparing)).to.include({ code: 'ERR_SPIFFE_POLICY_INVALID' });
    const denied = { decision: false, context: { reasons: ['no'] } };
    expect(next.decide(request({ to: 'a' }), { signal })).to.deep.equal(denied);
    await next.close();
    const shared = new CedarEngine(() => Promise.resolve({ p: PERMIT }), settings);
    const both = await Promise.allSettled([
      shared.prepare([tool('send')]),
      shared.prepare([tool('search')]),
    ]);
    expect(both.map(({ status }) => status)).to.deep.equal(['fulfilled', 'rejected']);
    await shared.close();
  });

  it('reloads one after another, so that what was read first does not come into force last', async () => {
    const reads: Deferred<Record<string, string>>[] = [];
    const read = (): Promise<Record<string, string>> => {
      const reading = deferred<Record<string, string>>();
      reads.push(reading);
      return reading.promise;
    };
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    const settings = { business: undefined, reloadMs: undefined, logger, clock: new FakeClock() };
    const policy = new CedarEngine(read, settings);
    const prepared = policy.prepare([tool('send')]);
    await until(() => reads.length === 1);
    reads[0]?.resolve({ p: PERMIT });
    await prepared;
    const reloads = [policy.reload(), policy.reload()];
    await until(() => reads.length > 1);
    reads[2]?.resolve({ newest: PERMIT });
    reads[1]?.resolve({ older: PERMIT });
    await reloads[0];
    await until(() => reads.length > 2);
    reads[2]?.resolve({ newest: PERMIT });
    await reloads[1];
    const answer = policy.decide(request({ to: 'a' }));
    expect(answer.context?.reasons).to.deep.equal(['newest#1']);
    await policy.close();
  });

  it('says what to install where Cedar is not', () => {
    const program = `
      import Module from 'node:module';
      const resolve = Module._resolveFilename;
      Module._resolveFilename = (name, ...rest) => {
        if (process.argv[1] === 'with' || !name.startsWith('@cedar-policy/')) return resolve(name, ...rest);
        throw Object.assign(new Error('Cannot find module'), { code: 'MODULE_NOT_FOUND' });
      };
      const { cedarPolicy } = await import('agent-spiffe/agent');
      const policy = cedarPolicy({ policies: { p: ${JSON.stringify(PERMIT)} } });
      const told = await policy.prepare([]).then(() => 'ready', ({ message }) => message);
      console.log(JSON.stringify(told));`;
    const told = (...args: string[]): unknown => {
      const argv = ['--input-type=module', '-e', program, ...args];
      const { stdout } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
      return JSON.parse(stdout);
    };
    expect(told('without')).to.match(
      /^cannot load Cedar .*: install @cedar-policy\/cedar-wasm beside this package \[ERR_SPIFFE_POLICY_INVALID\]$/,
    );
    expect(told('with')).to.equal('ready');
  });

  describe('of a directory', () => {
    let directory: string;
    let policy: CedarPolicy;
    let clock: FakeClock;
    let told: Deferred<string>;
    const log = (_: object, message: string): void => told.resolve(message);
    const write = (text: string): void => writeFileSync(join(directory, 'a.cedar'), text);
    const allowed = (): unknown => policy.decide(request({ to: 'a' }), { signal });

    beforeEach(async () => {
      directory = mkdtempSync(join(tmpdir(), 'cedar-'));
      clock = new FakeClock(new Date('2026-11-24T12:00:00Z'));
      told = deferred();
      write(PERMIT);
      writeFileSync(join(directory, 'README.md'), 'no policy');
      policy = cedarPolicyWith(
        directory,
        { logger: { debug: log, info: log, warn: log, error: log } },
        clock,
      );
      await policy.prepare([tool('send')]);
    });

    afterEach(async () => {
      await policy.close();
      rmSync(directory, { recursive: true });
    });

    it('exchanges the set whole, under another revision', async () => {
      const before = policy.revision;
      expect(before).to.match(/^sha256:[0-9a-f]{64}$/);
      expect(allowed()).to.have.property('decision', true);
      write('forbid(principal, action, resource);');
      await policy.reload();
      expect(policy.revision).to.not.equal(before);
      expect(allowed()).to.have.property('decision', false);
      write(PERMIT);
      await policy.reload();
      expect(policy.revision).to.equal(before);
      expect(allowed()).to.have.property('decision', true);
    });

    it('keeps the last good set, and says why', async () => {
      const before = policy.revision;
      for (const bad of ['permit(', 'permit(principal, action == Action::"nope", resource);', '']) {
        write(bad);
        expect((await rejection(policy.reload())).code).to.equal('ERR_SPIFFE_POLICY_INVALID');
        expect(policy.revision).to.equal(before);
        expect(allowed()).to.have.property('decision', true);
      }
    });

    it('looks by itself, at each interval, whether the set before was good or not', async () => {
      for (const [text, message, decision] of [
        ['forbid(principal, action, resource);', 'other policies are in force', false],
        ['permit(', 'the policies in force stay', false],
        [PERMIT, 'other policies are in force', true],
      ] as const) {
        write(text);
        expect(clock.pendingTimers).to.equal(1);
        clock.advance(4_999);
        expect(clock.pendingTimers).to.equal(1);
        told = deferred();
        clock.advance(1);
        expect(await told.promise).to.equal(message);
        expect(allowed()).to.have.property('decision', decision);
        // It sets the timer anew once the turn of the reload is over.
        await until(() => clock.pendingTimers === 1);
      }
    });

    it('does not look where it is told not to, nor once it is closed', async () => {
      for (const options of [{ reloadMs: false }, {}] as const) {
        const other = new FakeClock();
        const quiet = cedarPolicyWith(directory, options, other);
        await quiet.prepare([tool('send')]);
        expect(other.pendingTimers).to.equal('reloadMs' in options ? 0 : 1);
        await quiet.close();
        expect(other.pendingTimers).to.equal(0);
      }
    });

    it('says which policies can never apply, and which look like what they are not', async () => {
      for (const [text, why] of [
        [
          'forbid(principal, action, resource) when { context.arguments has amuont };',
          /impossible/,
        ],
        [`${PERMIT} // twin`, undefined],
        [
          'permit(principal, action, resource) when { context.task.purpose == "p\u0430y" };',
          /mixed scripts/,
        ],
      ] as const) {
        const messages: string[] = [];
        const logger = {
          ...memoryLogger(),
          warn: (_: object, message: string) => messages.push(message),
        };
        write(text);
        const other = cedarPolicyWith(directory, { logger, reloadMs: false }, clock);
        await other.prepare([tool('send')]);
        expect(messages).to.have.length(why === undefined ? 0 : 1);
        if (why !== undefined) expect(messages[0]).to.match(why).and.to.include('a.cedar#1');
        await other.close();
      }
    });

    it('denies once it is closed', async () => {
      await policy.close();
      expect(allowed()).to.have.property('decision', false);
    });
  });
});
