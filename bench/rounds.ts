/** What is compared: our way and a bare one that does the same work. Each gives how much it did in a second. */
export interface Comparison {
  readonly name: string;
  readonly unit: string;
  /** What we promise ourselves; without it, the figure is for information. */
  readonly mark?: Mark;
  readonly ours: () => Promise<number>;
  /** Left out where there is nothing to compare with. */
  readonly bare?: () => Promise<number>;
}

/** A ratio of ours to bare that is not to be undercut or exceeded, or what ours may take beyond the bare one. */
export type Mark = { readonly atLeast: number } | { readonly atMost: number } | { readonly over: number };

/** Whether a result keeps its mark; `undefined` when it has none. */
export function kept({ mark, ours, bare, ratio }: Result): boolean | undefined {
  if (mark === undefined || bare === undefined || ratio === undefined) return undefined;
  if ('atLeast' in mark) return ratio.median >= mark.atLeast;
  if ('atMost' in mark) return ratio.median <= mark.atMost;
  return ours - bare <= mark.over;
}

/** Medians over the rounds; the ratio is taken round by round, so that a machine that slows down hurts both. */
export interface Result {
  readonly name: string;
  readonly unit: string;
  readonly mark: Mark | undefined;
  readonly ours: number;
  readonly bare: number | undefined;
  readonly ratio: Spread | undefined;
}

interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** Runs ours and bare in turn, `rounds` times after one warm-up. */
export async function compare(comparison: Comparison, rounds: number): Promise<Result> {
  const { name, unit, mark, ours, bare } = comparison;
  await ours();
  await bare?.();
  const figures: { ours: number; bare: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    // Who goes first changes, so that neither always runs on what the other left behind.
    const first = round % 2 === 0 ? await ours() : ((await bare?.()) ?? 0);
    const second = round % 2 === 0 ? ((await bare?.()) ?? 0) : await ours();
    figures.push(round % 2 === 0 ? { ours: first, bare: second } : { ours: second, bare: first });
  }
  return {
    name,
    unit,
    mark,
    ours: spread(figures.map((figure) => figure.ours)).median,
    bare: bare && spread(figures.map((figure) => figure.bare)).median,
    ratio: bare && spread(figures.map((figure) => figure.ours / figure.bare)),
  };
}

function spread(figures: readonly number[]): Spread {
  const sorted = figures.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
  return { min: at(0), median: at(0.5), max: at(1) };
}

/** How often `step` runs in a second, measured for `ms`. */
export async function perSecond(step: () => unknown, ms: number = 250): Promise<number> {
  let count = 0;
  const start = performance.now();
  let now = start;
  while (now - start < ms) {
    for (let i = 0; i < 20; i++) step();
    count += 20;
    now = performance.now();
  }
  return (count * 1000) / (now - start);
}

/** How often `step` ends in a second with `inFlight` of it under way, measured for `ms`. */
export async function perSecondAsync(step: () => Promise<unknown>, inFlight: number, ms: number = 700): Promise<number> {
  let count = 0;
  const start = performance.now();
  const worker = async (): Promise<void> => {
    while (performance.now() - start < ms) {
      await step();
      count++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return (count * 1000) / (performance.now() - start);
}
