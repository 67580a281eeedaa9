import { AsyncLocalStorage } from 'node:async_hooks';
import type { Identity } from 'agent-spiffe';
import {
  type AuditLog,
  createGuard,
  type Decision,
  type DecisionRequest,
  functionPolicy,
  type Guard,
  type GuardedTool,
  type JsonRecord,
  type JsonValue,
  type ToolSpec,
} from 'agent-spiffe/agent';
import type { Suite, ToolSchema } from './data.js';
import type { Ledger } from './ledger.js';
import type { ToolPlan } from './spec.js';

/** What the host of an agent knows in one task. */
export interface Here {
  readonly ledger: Ledger;
  /** What the tool that is called next returns. */
  next: JsonValue;
  /** Says for the person whom the guard asks whether it is what they want. Absent: there is no one to ask. */
  readonly wants?: (tool: string, args: JsonRecord) => boolean;
  /** How often that person was asked. */
  asked: number;
}

/** A guard with the tools of a suite, as an application makes it at its start. */
export interface Host {
  readonly guard: Guard;
  readonly tools: ReadonlyMap<string, GuardedTool<JsonRecord, JsonValue>>;
  /** Where the tools find the task they are called in. */
  readonly here: AsyncLocalStorage<Here>;
}

export async function openHost(
  { spec, prompts }: Suite,
  { identity, audit }: { identity: Identity; audit: AuditLog },
): Promise<Host> {
  const here = new AsyncLocalStorage<Here>();
  const now = (): Here => here.getStore() as Here;
  const guard = await createGuard({
    identity,
    audit,
    policy: functionPolicy((request) => decide(request, now()), {
      revision: `agentdojo ${spec.name}`,
    }),
    approver: {
      ask: (request) => {
        const task = now();
        task.asked += 1;
        const granted = task.wants?.(request.tool, request.arguments) === true;
        return Promise.resolve({ granted, approver: 'the user', digest: request.digest });
      },
    },
  });
  const tools = new Map(
    prompts.tools.map((schema) => {
      const tool = guard.tool<JsonRecord, JsonValue>(
        schema.name,
        specOf(schema, spec.tools[schema.name] as ToolPlan, now),
        (args) => {
          const task = now();
          task.ledger.learn(schema.name, args, task.next);
          return task.next;
        },
      );
      return [schema.name, tool];
    }),
  );
  return { guard, tools, here };
}

function specOf(
  { name, description, inputSchema }: ToolSchema,
  plan: ToolPlan,
  now: () => Here,
): ToolSpec {
  const told = { description, inputSchema };
  const { effect, returns = { confidentiality: 'public', integrity: 'trusted' } } = plan;
  if (effect === 'read') return { ...told, effect, returns };
  // Confidential data may go where the user sends it; a stranger is outside, and then what the task has read decides.
  // Where there is someone to ask, the policy asks about the stranger instead.
  const sink = (args: JsonRecord): { clearance: 'confidential'; outside: boolean } => {
    const { ledger, wants } = now();
    const outside = wants === undefined && ledger.strangers(name, args).length > 0;
    return { clearance: 'confidential', outside };
  };
  return { ...told, effect, returns, sink };
}

/** Once a task has read what others wrote, what it does must be vouched for: by the user, or by a field they cannot write. */
function decide(
  { resource, context }: DecisionRequest,
  { ledger, wants }: Here,
): boolean | Decision {
  if (context.labels.integrity === 'trusted') return true;
  const problem = ledger.problem(resource.id, context.arguments);
  if (problem === undefined) return true;
  const reasons = [`unvouched-${problem}`];
  if (wants === undefined) return { decision: false, context: { reasons } };
  return {
    decision: true,
    context: { reasons, obligations: [{ type: 'require-approval', by: 'the user' }] },
  };
}
