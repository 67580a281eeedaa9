import type { ScriptedCall, Suite } from './data.js';
import { derive, type Plan } from './derive.js';
import type { Host } from './host.js';
import { type Outcome, runCalls, type Way } from './run.js';

/** One run of a scripted agent, and what became of it. */
export interface Run extends Outcome {
  readonly user: string;
  readonly injection: string | null;
  readonly calls: readonly ScriptedCall[];
}

/** Every run of a suite. */
export interface Replayed {
  /** Each user task by itself, */
  readonly honest: readonly Run[];
  /** with each attack, */
  readonly attacked: readonly Run[];
  /** and what the attackers want, when it is a user who asks for it. */
  readonly wishes: readonly Run[];
}

/** Runs everything through the guard. */
export async function replay(host: Host, suite: Suite, way: Way): Promise<Replayed> {
  const { spec, prompts, runs } = suite;
  const planOf = (prompt: string): Plan => derive(prompt, spec, prompts.tools);
  const plans = new Map(prompts.tasks.map(({ id, prompt }) => [id, planOf(prompt)]));
  const through = async ({ plan, ...run }: Script & { plan: Plan }): Promise<Run> => ({
    ...run,
    ...(await runCalls(host, suite, { way, plan, calls: run.calls })),
  });
  const ofUser = (script: Script): Promise<Run> =>
    through({ ...script, plan: plans.get(script.user) as Plan });
  const { honest, attacked } = scriptsOf(suite);
  return {
    honest: await inTurn(honest, ofUser),
    attacked: await inTurn(attacked, ofUser),
    wishes: await inTurn(Object.entries(runs.wishes), ([user, { prompt, calls }]) =>
      through({ user, injection: null, calls, plan: planOf(prompt) }),
    ),
  };
}

/** The same without a guard: every call is let through. */
export function unguarded(suite: Suite): Replayed {
  const { honest, attacked } = scriptsOf(suite);
  return { honest: honest.map(letThrough), attacked: attacked.map(letThrough), wishes: [] };
}

/** Whether all that the user wanted was let through. */
export function isFinished({ calls, refused }: Run): boolean {
  return calls.every(({ by }, index) => by === 'injection' || refused[index] === undefined);
}

type Script = Omit<Run, keyof Outcome>;

function scriptsOf({ runs }: Suite): { readonly honest: Script[]; readonly attacked: Script[] } {
  return {
    honest: Object.entries(runs.honest).map(([user, calls]) => ({ user, injection: null, calls })),
    attacked: runs.attacks.map(({ user, injection, calls }) => ({ user, injection, calls })),
  };
}

function letThrough(script: Script): Run {
  return { ...script, refused: script.calls.map(() => undefined), asked: 0 };
}

async function inTurn<T, R>(all: readonly T[], each: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const one of all) results.push(await each(one));
  return results;
}
