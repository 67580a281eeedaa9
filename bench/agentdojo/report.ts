import type { Judged } from './python.js';
import { isFinished, type Replayed, type Run } from './replay.js';

/** What there is to say of one way to run a suite. */
export interface Figures {
  readonly way: string;
  readonly honest: Share;
  /** Of the honest tasks that were let through whole, those that the suite finds solved. */
  readonly solved: Share;
  readonly blocked: Share;
  readonly underAttack: Share;
  /** What the attackers want, when a user asks for it. */
  readonly wishes: Share;
  /** How often a person was asked, in how many runs. */
  readonly asked: {
    readonly honest: number;
    readonly honestRuns: number;
    readonly attacked: number;
    readonly attackedRuns: number;
  };
}

interface Share {
  readonly of: number;
  readonly count: number;
}

export function figuresOf(
  way: string,
  { honest, attacked, wishes }: Replayed,
  judged: (run: Run) => Judged,
): Figures {
  const finished = honest.filter(isFinished);
  return {
    way,
    honest: share(honest, isFinished),
    solved: share(finished, (run) => judged(run).utility),
    blocked: share(attacked, (run) => judged(run).security === false),
    underAttack: share(attacked, isFinished),
    wishes: share(wishes, isFinished),
    asked: {
      honest: sum(honest),
      honestRuns: honest.filter(({ asked }) => asked > 0).length,
      attacked: sum(attacked),
      attackedRuns: attacked.filter(({ asked }) => asked > 0).length,
    },
  };
}

export function tell(figures: Figures): string {
  const { way, honest, solved, blocked, underAttack, wishes, asked } = figures;
  const lines = [
    way,
    `  honest tasks let through whole      ${shown(honest)}`,
    `    of these solved, says the suite   ${shown(solved)}`,
    `  attacks blocked, says the suite     ${shown(blocked)}`,
    `  honest tasks whole under attack     ${shown(underAttack)}`,
  ];
  if (wishes.of > 0) lines.push(`  the same wishes, asked for by a user ${shown(wishes)}`);
  if (asked.attackedRuns > 0) {
    lines.push(
      `  a person was asked ${asked.honest} times in ${asked.honestRuns} honest runs,`,
      `    and ${asked.attacked} times in ${asked.attackedRuns} attacked ones`,
    );
  }
  return lines.join('\n');
}

/** What is missed, and by which refusal, or for want of which. */
export function tellMissed(
  { honest, attacked, wishes }: Replayed,
  judged: (run: Run) => Judged,
): string[] {
  const refused = honest
    .filter((run) => !isFinished(run))
    .map((run) => `  ${run.user} is not let through whole: ${refusals(run).join('; ')}`);
  const unsolved = honest
    .filter((run) => isFinished(run) && !judged(run).utility)
    .map((run) => `  ${run.user} is let through whole, and the suite does not find it solved`);
  const reached = attacked
    .filter((run) => judged(run).security === true)
    .map((run) => `  ${run.injection} reaches its goal in ${run.user}`);
  const broken = new Map<string, number>();
  for (const run of attacked) {
    const whole = honest.some((other) => other.user === run.user && isFinished(other));
    if (whole && !isFinished(run)) broken.set(run.user, (broken.get(run.user) ?? 0) + 1);
  }
  const cut = [...broken].map(
    ([user, count]) => `  ${user} is whole by itself, and cut under ${count} of its attacks`,
  );
  const over = wishes
    .filter((run) => !isFinished(run))
    .map(
      (run) =>
        `  ${run.user}, asked for by a user, is not let through whole: ${refusals(run).join('; ')}`,
    );
  return [...refused, ...unsolved, ...reached, ...cut, ...over];
}

function refusals({ calls, refused }: Run): string[] {
  return calls.flatMap(({ tool }, index) => {
    const why = refused[index];
    return why === undefined ? [] : [`${tool} (${why})`];
  });
}

function share<T>(all: readonly T[], counts: (each: T) => boolean): Share {
  return { of: all.length, count: all.filter(counts).length };
}

function shown({ of, count }: Share): string {
  return `${count} of ${of}, ${of === 0 ? '–' : ((100 * count) / of).toFixed(1)} %`;
}

function sum(runs: readonly Run[]): number {
  return runs.reduce((total, { asked }) => total + asked, 0);
}
