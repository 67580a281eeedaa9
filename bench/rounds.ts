/** A ratio of ours to the rival's that is not to be undercut or exceeded, or what ours may take beyond it. */
export type Mark =
  | { readonly atLeast: number }
  | { readonly atMost: number }
  | { readonly over: number };

/** Someone who does the same work in another way. */
export interface Rival {
  readonly name: string;
  /** What we promise ourselves; without it, the figure is for information. */
  readonly mark?: Mark;
  /** How much was done in a second, or how long it took. */
  readonly run: () => Promise<number>;
}

/** What is compared. */
export interface Comparison {
  readonly name: string;
  readonly unit: string;
  readonly ours: () => Promise<number>;
  /** What ours must reach by itself. */
  readonly floor?: number;
  readonly rivals?: readonly Rival[];
}

interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** Medians over the rounds; the ratio is taken round by round, so that a machine that slows down hurts all alike. */
export interface Result {
  readonly name: string;
  readonly unit: string;
  readonly ours: number;
  readonly floor?: { readonly figure: number; readonly kept: boolean };
  readonly rivals: readonly {
    readonly name: string;
    readonly figure: number;
    readonly ratio: Spread;
    readonly mark?: Mark;
    /** Absent without a mark. */
    readonly kept?: boolean;
  }[];
}

/** Runs ours and the rivals in turn, `rounds` times after one warm-up, each round beginning with another of them. */
export async function compare(comparison: Comparison, rounds: number): Promise<Result> {
  const { name, unit, ours, floor, rivals = [] } = comparison;
  const runs = [ours, ...rivals.map((rival) => rival.run)];
  for (const run of runs) await run();
  const figures: number[][] = runs.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < runs.length; turn++) {
      const who = (round + turn) % runs.length;
      figures[who]?.push((await runs[who]?.()) ?? Number.NaN);
    }
  }
  const [mine = [], ...theirs] = figures;
  const median = spread(mine).median;
  return {
    name,
    unit,
    ours: median,
    ...(floor === undefined ? {} : { floor: { figure: floor, kept: median >= floor } }),
    rivals: rivals.map((rival, at) => {
      const his = theirs[at] ?? [];
      const ratio = spread(mine.map((figure, round) => figure / (his[round] ?? Number.NaN)));
      const figure = spread(his).median;
      const { mark } = rival;
      if (mark === undefined) return { name: rival.name, figure, ratio };
      return {
        name: rival.name,
        figure,
        ratio,
        mark,
        kept: keeps(mark, ratio.median, median - figure),
      };
    }),
  };
}

function keeps(mark: Mark, ratio: number, difference: number): boolean {
  if ('atLeast' in mark) return ratio >= mark.atLeast;
  if ('atMost' in mark) return ratio <= mark.atMost;
  return difference <= mark.over;
}

function spread(figures: readonly number[]): Spread {
  const sorted = figures.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
  return { min: at(0), median: at(0.5), max: at(1) };
}

/** How long one slice of a round lasts. */
export const SLICE_MS = 400;

/** How often `step` runs in a second. */
export async function perSecond(step: () => unknown): Promise<number> {
  let count = 0;
  const start = performance.now();
  let now = start;
  while (now - start < SLICE_MS) {
    for (let i = 0; i < 20; i++) step();
    count += 20;
    now = performance.now();
  }
  return (count * 1000) / (now - start);
}

/** How often `step` ends in a second with `inFlight` of it under way. */
export async function perSecondAsync(
  step: () => Promise<unknown>,
  inFlight: number,
): Promise<number> {
  let count = 0;
  const start = performance.now();
  const worker = async (): Promise<void> => {
    while (performance.now() - start < SLICE_MS) {
      await step();
      count++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return (count * 1000) / (performance.now() - start);
}
