import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  type Context,
  type ContextManager,
  context,
  ROOT_CONTEXT,
  type Span,
  type SpanOptions,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { type AuditEvent, allArguments } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { loadTelemetry } from '#lib/agent/telemetry.js';
import { AGENT, bench, rejection, taskOf } from './support.js';

const READ = {
  effect: 'read',
  returns: { confidentiality: 'public', integrity: 'trusted' },
} as const;

const MISSING: string = '@opentelemetry/no-such-package';

/** What a span was told. */
interface Told {
  readonly name: string;
  readonly parent: string | undefined;
  readonly spanId: string;
  attributes: Record<string, unknown>;
  failed: boolean;
  ended: boolean;
}

/** As much of an SDK as shows what the API is told. */
class Sdk implements ContextManager {
  readonly spans: Told[] = [];
  readonly #storage = new AsyncLocalStorage<Context>();

  tracer: Tracer = {
    startSpan: (name: string, options: SpanOptions = {}, within: Context = this.active()): Span => {
      const spanId = String(this.spans.length + 1).padStart(16, '0');
      const told: Told = {
        name,
        parent: trace.getSpan(within)?.spanContext().spanId,
        spanId,
        attributes: { ...options.attributes },
        failed: false,
        ended: false,
      };
      this.spans.push(told);
      return {
        spanContext: () => ({ traceId: 'a'.repeat(32), spanId, traceFlags: 1 }),
        setAttributes: (more: object) => Object.assign(told.attributes, more),
        setStatus: ({ code }: { code: SpanStatusCode }) => {
          told.failed = code === SpanStatusCode.ERROR;
        },
        end: () => {
          told.ended = true;
        },
      } as unknown as Span;
    },
    startActiveSpan: () => {
      throw new Error('not used');
    },
  };

  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT;
  }
  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    within: Context,
    run: F,
    _self?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(within, () => run(...args));
  }
  bind<T>(_within: Context, target: T): T {
    return target;
  }
  enable(): this {
    return this;
  }
  disable(): this {
    return this;
  }
}

describe('OpenTelemetry', () => {
  afterEach(() => {
    trace.disable();
    context.disable();
  });

  it('gets a span for the task and one for each call, named as generative AI is, with no argument in them', async () => {
    const sdk = new Sdk();
    context.setGlobalContextManager(sdk);
    trace.setGlobalTracerProvider({ getTracer: () => sdk.tracer });
    const { guard, log } = await bench({ policy: ({ resource }) => resource.id !== 'denied' });
    const inner = guard.tool('inner', READ, () => 'in');
    const outer = guard.tool('outer', READ, (_args: { q: string }) => inner({}));
    const denied = guard.tool('denied', READ, () => 'never');
    const may = taskOf({ inner: allArguments(), outer: allArguments(), denied: allArguments() });
    const id = await guard.task(may, async (task) => {
      await outer({ q: 'hunter2' });
      await rejection(denied({}));
      return task.id;
    });
    const [task, first, second, third] = sdk.spans;
    expect(
      sdk.spans.map(({ name, parent, failed, ended }) => [name, parent, failed, ended]),
    ).to.deep.equal([
      ['invoke_agent', undefined, false, true],
      ['execute_tool outer', task?.spanId, false, true],
      ['execute_tool inner', first?.spanId, false, true],
      ['execute_tool denied', task?.spanId, true, true],
    ]);
    expect(task?.attributes).to.deep.equal({
      'gen_ai.operation.name': 'invoke_agent',
      'gen_ai.agent.id': AGENT,
      'gen_ai.conversation.id': id,
    });
    const calls = log.of('call.intent').map(({ call }) => call.id);
    expect(second?.attributes).to.deep.equal({
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': 'inner',
      'gen_ai.tool.type': 'function',
      'gen_ai.tool.call.id': calls[1],
      'gen_ai.agent.id': AGENT,
      'gen_ai.conversation.id': id,
    });
    expect(third?.attributes).to.include({
      'error.type': 'ERR_SPIFFE_DENIED',
      'agent_spiffe.denial.reason': 'policy',
    });
    expect(JSON.stringify(sdk.spans)).not.to.include('hunter2');
    expect(log.of('call.intent')[0]?.trace).to.deep.equal({
      traceId: 'a'.repeat(32),
      spanId: first?.spanId,
    });
    expect(log.of('task.start')[0]?.trace?.spanId).to.equal(task?.spanId);
  });

  it('is not needed: without an SDK no record names a span', async () => {
    const { guard, log } = await bench();
    const look = guard.tool('look', READ, () => 'seen');
    await guard.task(taskOf({ look: allArguments() }), () => look({}));
    expect(log.events.some((event) => 'trace' in event)).to.equal(false);
  });
});

describe('OpenTelemetry, where it is not installed', () => {
  it('is done without', async () => {
    const startSpan = await loadTelemetry(() => import(MISSING));
    const span = startSpan({ agent: AGENT, taskId: '1' });
    expect(span.within(() => span.trace ?? 'nothing')).to.equal('nothing');
    span.end({ error: new Error('a test') });
  });

  it('is not taken for missing when it is broken', async () => {
    const broken = new Error('half installed');
    let thrown: unknown;
    await loadTelemetry(() => Promise.reject(broken)).catch((error: unknown) => {
      thrown = error;
    });
    expect(thrown).to.equal(broken);
  });
});

describe('diagnostics channels', () => {
  it('tell each kind of event, once it is on record', async () => {
    const told: AuditEvent[] = [];
    const listen = (message: unknown): void => {
      told.push(message as AuditEvent);
    };
    const kinds = ['task.start', 'call.intent', 'call.outcome', 'call.denied', 'task.end'];
    for (const kind of kinds) subscribe(`agent-spiffe:${kind}`, listen);
    const { guard, log } = await bench({
      policy: ({ context: { arguments: args } }) => args['may'] === true,
    });
    const look = guard.tool('look', READ, () => 'seen');
    await guard.task(taskOf({ look: allArguments() }), async () => {
      await look({ may: true });
      await rejection(look({ may: false }));
    });
    for (const kind of kinds) unsubscribe(`agent-spiffe:${kind}`, listen);
    expect(told).to.deep.equal(log.events);
    expect(told.map(({ kind }) => kind)).to.deep.equal([
      'task.start',
      'call.intent',
      'call.outcome',
      'call.denied',
      'task.end',
    ]);
  });

  it('tell nothing of what could not be put on record', async () => {
    const told: unknown[] = [];
    const listen = (message: unknown): void => {
      told.push(message);
    };
    subscribe('agent-spiffe:call.intent', listen);
    const { guard, log } = await bench();
    const look = guard.tool('look', READ, () => 'seen');
    log.before = ({ kind }) => {
      if (kind === 'call.intent') throw new Error('the disk is full');
    };
    await rejection(guard.task(taskOf({ look: allArguments() }), () => look({})));
    unsubscribe('agent-spiffe:call.intent', listen);
    expect(told).to.deep.equal([]);
  });
});
