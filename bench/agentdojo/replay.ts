import { DeniedError, type JsonRecord, type JsonValue } from 'agent-spiffe/agent';
import type { ScriptedCall, Suite } from './data.js';
import { derive, type Plan } from './derive.js';
import type { Here, Host } from './host.js';
import { Ledger, type Rules } from './ledger.js';

/** One way to run a suite: the rules in force, and whether there is a person to ask. */
export interface Way extends Rules {
  readonly name: string;
  readonly person: boolean;
}

/** What became of one run of a scripted agent. */
export interface Run {
  readonly user: string;
  readonly injection: string | null;
  readonly calls: readonly ScriptedCall[];
  /** Call by call, why it was refused; `undefined` for one that was let through. */
  readonly refused: readonly (string | undefined)[];
  /** How often someone was asked to approve. */
  readonly asked: number;
}

/** Every run of a suite. */
export interface Replayed {
  readonly honest: readonly Run[];
  readonly attacked: readonly Run[];
}

/** Runs each user task through the guard, by itself and with each attack. */
export async function replay(
  host: Host,
  { spec, prompts, runs }: Suite,
  way: Way,
): Promise<Replayed> {
  const { owner, tools: schemas } = prompts;
  const plans = new Map<string, Plan>(
    prompts.tasks.map(({ id, prompt }) => [id, derive(prompt, spec, schemas)]),
  );
  const one = async (
    user: string,
    injection: string | null,
    calls: readonly ScriptedCall[],
  ): Promise<Run> => {
    const plan = plans.get(user) as Plan;
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
    return { user, injection, calls, refused, asked: here.asked };
  };
  const honest: Run[] = [];
  for (const [user, calls] of Object.entries(runs.honest))
    honest.push(await one(user, null, calls));
  const attacked: Run[] = [];
  for (const { user, injection, calls } of runs.attacks)
    attacked.push(await one(user, injection, calls));
  return { honest, attacked };
}

/** The same without a guard: every call is let through. */
export function unguarded({ runs }: Suite): Replayed {
  const honest = Object.entries(runs.honest).map(([user, calls]) => ({
    user,
    injection: null,
    calls,
  }));
  return { honest: honest.map(letThrough), attacked: runs.attacks.map(letThrough) };
}

function letThrough(run: Pick<Run, 'user' | 'injection' | 'calls'>): Run {
  return { ...run, refused: run.calls.map(() => undefined), asked: 0 };
}

/** Whether all that the user wanted was let through. */
export function isFinished({ calls, refused }: Run): boolean {
  return calls.every(({ by }, index) => by === 'injection' || refused[index] === undefined);
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
