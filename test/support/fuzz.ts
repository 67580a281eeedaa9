import { SpiffeError } from 'agent-spiffe';
import { Random } from './mutation/random.js';

/** `FUZZ_MS` and `FUZZ_SEED` ask for longer, or for others. */
const BUDGET_MS = Number(process.env['FUZZ_MS'] ?? 1200);
const SEED = Number(process.env['FUZZ_SEED'] ?? 20260601);
/** How long a test may take: there is time to feed what is good and nasty as well. */
export const FUZZ_TIMEOUT_MS = 60_000 + 2 * BUDGET_MS;
/** No input may hold up everyone else for longer. */
const LONGEST_MS = 50;

/** What is fuzzed: a parser as its callers reach it, and how to make inputs for it. */
export interface Fuzzed<Input> {
  /** Good inputs; each must be taken as it stands. */
  readonly good: readonly Input[];
  /** One small change. */
  mutate(random: Random, input: Input): Input;
  /** Inputs of our own making, such as ones that cost the most. */
  readonly nasty?: readonly Input[];
  /** Parses, and checks what must hold of whatever was taken. */
  parse(input: Input): unknown;
  /** For the report. */
  show(input: Input): string;
}

/**
 * Feeds a parser good inputs, nasty ones, and as many mutated ones as the time allows. It may take them or refuse them
 * with a `SpiffeError`; anything else that is thrown, or an input that takes longer than 50 ms, is a failure.
 *
 * @returns how many inputs there were.
 */
export async function fuzz<Input>(fuzzed: Fuzzed<Input>): Promise<number> {
  const random = new Random(SEED);
  for (const input of fuzzed.good) {
    const refused = await feed(fuzzed, input);
    if (refused)
      throw new Error(`a good input was refused: ${fuzzed.show(input)}`, { cause: refused });
  }
  for (const input of fuzzed.nasty ?? []) await feed(fuzzed, input);
  const corpus = [...fuzzed.good];
  const end = performance.now() + BUDGET_MS;
  let count = 0;
  for (; performance.now() < end; count++) {
    let input = random.pick(corpus);
    for (let changes = random.pick([1, 1, 1, 2, 4, 8]); changes > 0; changes--) {
      input = fuzzed.mutate(random, input);
    }
    const refused = await feed(fuzzed, input);
    // What is taken though it was changed, or refused at a new place, leads further in.
    if (corpus.length < 200 && (refused === undefined || random.oneIn(50))) corpus.push(input);
  }
  return count;
}

/** @returns the refusal, if it was refused. */
async function feed<Input>(fuzzed: Fuzzed<Input>, input: Input): Promise<SpiffeError | undefined> {
  const start = performance.now();
  const refusal = await refusalOf(fuzzed, input);
  const took = performance.now() - start;
  // Another process may have had the time: what counts is the work that it takes at least.
  if (took > LONGEST_MS) {
    let work = took;
    for (let again = 0; again < 4; again++) {
      const before = process.cpuUsage();
      await refusalOf(fuzzed, input);
      const { user, system } = process.cpuUsage(before);
      work = Math.min(work, (user + system) / 1000);
    }
    if (work > LONGEST_MS)
      throw new Error(`an input takes ${work.toFixed(0)} ms: ${fuzzed.show(input)}`);
  }
  return refusal;
}

async function refusalOf<Input>(
  fuzzed: Fuzzed<Input>,
  input: Input,
): Promise<SpiffeError | undefined> {
  try {
    await fuzzed.parse(input);
    return undefined;
  } catch (error) {
    if (error instanceof SpiffeError) return error;
    throw new Error(`it threw what is no refusal of ours, for ${fuzzed.show(input)}`, {
      cause: error,
    });
  }
}
