import { DeniedError, type JsonRecord, type JsonValue } from 'agent-spiffe/agent';
import type { ScriptedCall, Suite } from './data.js';
import type { Plan } from './derive.js';
import type { Here, Host } from './host.js';
import { Ledger, type Rules } from './ledger.js';

/** One way to run a suite: the rules in force, and whether there is a person to ask. */
export interface Way extends Rules {
  readonly name: string;
  readonly person: boolean;
}

/** What became of the calls of one run. */
export interface Outcome {
  /** Call by call, why it was refused; `undefined` for one that was let through. */
  readonly refused: readonly (string | undefined)[];
  /** How often someone was asked to approve. */
  readonly asked: number;
}

/** Makes calls, one after another, within one task. An agent that is refused one goes on with the next. */
export async function runCalls(
  host: Host,
  { spec, prompts, runs }: Suite,
  { way, plan, calls }: { way: Way; plan: Plan; calls: readonly ScriptedCall[] },
): Promise<Outcome> {
  const { owner, tools: schemas } = prompts;
  // The person who is asked agrees to the calls that the user wants, argument by argument, and to no other.
  const wanted = new Set(calls.filter(({ by }) => by === 'user').map(written));
  const here: Here = {
    ledger: new Ledger(spec, { plan, owner, schemas }, way),
    next: null,
    ...(way.person && {
      wants: (tool: string, args: JsonRecord) => wanted.has(written({ tool, args })),
    }),
    asked: 0,
  };
  const refused: (string | undefined)[] = [];
  await host.here.run(here, () =>
    host.guard.task(plan.options, async () => {
      for (const call of calls) {
        here.next = runs.results[call.result] as JsonValue;
        refused.push(await attempt(host, call));
      }
    }),
  );
  return { refused, asked: here.asked };
}

async function attempt({ tools }: Host, { tool, args }: ScriptedCall): Promise<string | undefined> {
  try {
    await tools.get(tool)?.(args);
    return undefined;
  } catch (error) {
    if (error instanceof DeniedError) return `${error.reason}: ${error.message}`;
    throw error;
  }
}

function written({ tool, args }: Pick<ScriptedCall, 'tool' | 'args'>): string {
  return JSON.stringify([tool, Object.entries(args).toSorted(([a], [b]) => (a < b ? -1 : 1))]);
}
