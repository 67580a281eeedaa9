import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  preparsePolicySet,
  type StatefulAuthorizationCall,
  statefulIsAuthorized,
} from '@cedar-policy/cedar-wasm/nodejs';
import { Workload } from 'agent-spiffe';
import {
  auditLog,
  cedarPolicy,
  createGuard,
  type GuardedTool,
  oneOf,
  optional,
  range,
  readAuditLog,
  type Task,
  wildcard,
} from 'agent-spiffe/agent';
import { BareLog } from './bare-log.js';
import { type Comparison, perSecondAsync } from './rounds.js';

interface Send {
  readonly to: string;
  readonly subject: string;
  readonly cents?: number;
  readonly folder: string;
}

const TOOLS = 10;
const ARGS: Send = { to: 'ann@example.org', subject: 'the report', cents: 250, folder: 'inbox' };
const INPUT_SCHEMA = {
  type: 'object',
  properties: {
    to: { type: 'string' },
    subject: { type: 'string' },
    cents: { type: 'integer' },
    folder: { type: 'string' },
  },
  required: ['to', 'subject', 'folder'],
} as const;

/** What a call costs with all that a guard does for it. */
export async function guardedComparisons(
  address: string,
): Promise<{ readonly comparisons: readonly Comparison[]; readonly close: () => Promise<void> }> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-guarded-'));
  const identity = await Workload.open({ address });
  const guarded = await Promise.all(
    [100, 1000].map((count) => Guarded.open(identity, join(directory, String(count)), count)),
  );
  const [hundred, thousand] = guarded as [Guarded, Guarded];
  const bare = await Bare.open(directory, policies(100));
  // One in flight makes too few calls for V8 to compile what it runs.
  for (const each of guarded) await each.microseconds(32);
  for (const question of [bare.whole, bare.narrow])
    await microseconds(() => bare.call(question), 32);
  const inFlights = [1, 32];
  return {
    comparisons: [
      ...inFlights.map((inFlight) => ({
        name: `guarded call with 100 Cedar policies, labels and durable audit, ${inFlight} in flight; bare: Cedar, two durable appends, the function`,
        unit: 'µs',
        ours: () => hundred.microseconds(inFlight),
        rivals: [
          {
            name: 'bare',
            mark: { atMost: 1.25 },
            run: () => microseconds(() => bare.call(bare.whole), inFlight),
          },
          {
            name: 'bare, sending Cedar no more than we do',
            run: () => microseconds(() => bare.call(bare.narrow), inFlight),
          },
        ],
      })),
      ...inFlights.map((inFlight) => ({
        name: `guarded call with 1,000 Cedar policies, against the same with 100, ${inFlight} in flight`,
        unit: 'µs',
        ours: () => thousand.microseconds(inFlight),
        rivals: [
          {
            name: '100 policies',
            mark: { atMost: 2.5 },
            run: () => hundred.microseconds(inFlight),
          },
        ],
      })),
    ],
    close: async () => {
      for (const each of guarded) await each.close();
      bare.close();
      await identity.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** A guard with everything. */
class Guarded {
  readonly #send: GuardedTool<Send, string>;
  readonly #task: Task;
  readonly close: () => Promise<void>;

  private constructor(send: GuardedTool<Send, string>, task: Task, close: () => Promise<void>) {
    this.#send = send;
    this.#task = task;
    this.close = close;
  }

  static async open(identity: Workload, directory: string, count: number): Promise<Guarded> {
    const guard = await createGuard({
      identity,
      policy: cedarPolicy({ policies: { 'bench.cedar': policies(count).join('\n') } }),
      audit: auditLog(directory, { arguments: { '*': 'keep' } }),
    });
    const tools = Array.from({ length: TOOLS }, (_, at) =>
      guard.tool(
        `send${at}`,
        {
          effect: 'egress',
          inputSchema: INPUT_SCHEMA,
          destination: 'to',
          sink: { clearance: 'internal' },
          returns: { confidentiality: 'internal', integrity: 'trusted' },
        },
        deliver,
      ),
    );
    const task = await guard.startTask({
      purpose: 'a measurement',
      budget: { calls: Number.MAX_SAFE_INTEGER },
      ttlMs: 3_600_000,
      tools: {
        send0: {
          to: oneOf('ann@example.org', 'bob@example.org'),
          subject: wildcard(),
          cents: optional(range({ min: 0, max: 10_000 })),
          folder: oneOf('inbox', 'sent'),
        },
      },
    });
    await task.run(() => (tools[0] as GuardedTool<Send, string>)(ARGS));
    return new Guarded(tools[0] as GuardedTool<Send, string>, task, () => guard.close());
  }

  microseconds(inFlight: number): Promise<number> {
    return this.#task.run(() => microseconds(() => this.#send(ARGS), inFlight));
  }
}

async function deliver({ subject }: Send): Promise<string> {
  return await Promise.resolve(subject);
}

/** The same parts, called one after another by whoever knows which records will be written, and what Cedar will be asked. */
class Bare {
  readonly whole: StatefulAuthorizationCall;
  readonly narrow: StatefulAuthorizationCall;
  readonly #log: BareLog;
  readonly #records: readonly { readonly metadata: { sequence: number } }[];
  #turn = 0;

  private constructor(
    log: BareLog,
    records: readonly { readonly metadata: { sequence: number } }[],
    whole: StatefulAuthorizationCall,
  ) {
    this.#log = log;
    this.#records = records;
    this.whole = whole;
    const {
      arguments: args,
      labels,
      task,
    } = whole.context as Record<string, Record<string, never>>;
    this.narrow = {
      ...whole,
      context: {
        arguments: { to: args?.['to'], cents: args?.['cents'] },
        labels: { level: labels?.['level'] },
        task: { purpose: task?.['purpose'] },
      } as never,
      entities: whole.entities.filter(({ uid }) => 'type' in uid && uid.type !== 'Tool'),
    };
  }

  static async open(directory: string, all: readonly string[]): Promise<Bare> {
    const records: { readonly metadata: { sequence: number } }[] = [];
    for await (const { record } of readAuditLog(join(directory, '100'))) {
      const kept = record as unknown as {
        readonly metadata: { sequence: number; event_code: string };
      };
      if (kept.metadata.event_code.startsWith('call.')) records.push(kept);
    }
    const slice = all.filter((text) => text.includes('"send0"'));
    const staticPolicies = Object.fromEntries(slice.map((text, at) => [`p${at}`, text]));
    preparsePolicySet('bench', { staticPolicies });
    return new Bare(new BareLog(join(directory, 'bare.jsonl')), records, wholeCall());
  }

  async call(question: StatefulAuthorizationCall): Promise<string> {
    const answer = isAuthorized(question);
    if (answer.type === 'failure' || answer.response.decision !== 'allow')
      throw new Error(JSON.stringify(answer));
    await this.#append(0);
    const result = await deliver(ARGS);
    await this.#append(1);
    return result;
  }

  close(): void {
    this.#log.close();
  }

  #append(at: number): Promise<void> {
    const record = this.#records[at] as { readonly metadata: { sequence: number } };
    record.metadata.sequence = this.#turn++;
    return this.#log.append(JSON.stringify(record));
  }
}

/** Not inlined into its caller, where Node 20 and 22 may abort. */
const isAuthorized = new Proxy(statefulIsAuthorized, {});

/** Each about one of the tools; one of them permits the call. */
function policies(count: number): readonly string[] {
  return Array.from({ length: count }, (_, at) => {
    const scope = `principal, action == Action::"send${at % TOOLS}", resource`;
    const about = Math.floor(at / TOOLS);
    if (about === 0)
      return `permit(${scope}) when { context.arguments.to like "*@example.org" && context.labels.level < 2 };`;
    return about % 2 === 1
      ? `permit(${scope}) when { context.arguments.to == "user${about}@partner.example" && principal.path like "/agents/*" };`
      : `forbid(${scope}) when { context.arguments has cents && context.arguments.cents > ${about * 1000} && context.task.purpose == "job ${about}" };`;
  });
}

const uid = (type: string, id: string): { type: string; id: string } => ({ type, id });
const time = (arg: string): { __extn: { fn: string; arg: string } } => ({
  __extn: { fn: 'datetime', arg },
});

/** What is known about the call, all of it. */
function wholeCall(): StatefulAuthorizationCall {
  const agent = 'spiffe://example.org/agents/researcher';
  const labels = { confidentiality: 'internal', integrity: 'trusted', level: 1 };
  return {
    principal: uid('Workload', agent),
    action: uid('Action', 'send0'),
    resource: uid('Tool', 'send0'),
    context: {
      task: {
        id: '3f0c8c1e-5a4e-4f0e-9d57-0f8f9f6f2f11',
        purpose: 'a measurement',
        startedAt: time('2026-11-24T12:00:00.000Z'),
        expiresAt: time('2026-11-24T13:00:00.000Z'),
        clearance: 'confidential',
      },
      arguments: { ...ARGS },
      chain: ['send0'],
      labels,
      budget: { callsLeft: 1_000_000 },
      time: time('2026-11-24T12:30:00.000Z'),
      business: {},
    },
    preparsedPolicySetId: 'bench',
    entities: [
      {
        uid: uid('Workload', agent),
        attrs: { trustDomain: 'example.org', path: '/agents/researcher' },
        parents: [],
      },
      {
        uid: uid('Tool', 'send0'),
        attrs: {
          effect: 'egress',
          destination: ARGS.to,
          returns: labels,
          sink: { clearance: 'internal', level: 1, outside: true },
        },
        parents: [],
      },
      { uid: uid('Action', 'send0'), attrs: {}, parents: [uid('Action', 'tools/call')] },
    ],
  };
}

/** How long one call takes by the clock on the wall, with so many under way. */
async function microseconds(step: () => Promise<unknown>, inFlight: number): Promise<number> {
  return 1_000_000 / (await perSecondAsync(step, inFlight));
}
