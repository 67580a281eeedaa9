import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type Mutation, mutationsOf } from './mutations.js';
import { EQUIVALENT, type Equivalent, RINGS, type Ring } from './rings.js';
import { filesOf, Workshop } from './workshop.js';

// Takes each refusal out of a ring, one at a time, in a copy of what was built, and lists those that no test notices.
// Arguments: names of rings, or parts of the paths of modules; all rings without one.

interface Job {
  readonly ring: Ring;
  readonly module: string;
  readonly mutation: Mutation;
  /** File and line of the source. */
  readonly place: string;
}

const built = fileURLToPath(new URL('../../dist-modules', import.meta.url));
const wanted = process.argv.slice(2);
const isWanted = ({ name }: Ring, module: string): boolean =>
  wanted.length === 0 || wanted.some((part) => part === name || module.includes(part));

function jobsOf(ring: Ring): Job[] {
  const modules = filesOf('dist-modules', ring.modules, '.js').filter((module) =>
    isWanted(ring, module),
  );
  return modules.flatMap((module) => {
    const code = readFileSync(`${built}/${module}`, 'utf8');
    const map = new SourceMap(JSON.parse(readFileSync(`${built}/${module}.map`, 'utf8')) as never);
    return mutationsOf(code).map((mutation) => {
      const before = code.slice(0, mutation.start).split('\n');
      const entry = map.findEntry(before.length - 1, before.at(-1)?.length ?? 0);
      const line = 'originalLine' in entry ? entry.originalLine + 1 : 0;
      return { ring, module, mutation, place: `lib/${module.replace(/\.js$/, '.ts')}:${line}` };
    });
  });
}

const isOf = ({ module, mutation }: Job, one: Equivalent): boolean =>
  one.module === module && one.code === mutation.code;

async function main(): Promise<boolean> {
  const all = RINGS.flatMap(jobsOf);
  const stale =
    wanted.length > 0
      ? []
      : EQUIVALENT.filter((one) => all.filter((job) => isOf(job, one)).length !== 1);
  for (const { module, code } of stale)
    console.log(`not exactly one mutant any more: ${module}: ${code}`);
  const jobs = all.filter((job) => !EQUIVALENT.some((one) => isOf(job, one)));
  const survivors: Job[] = [];
  const start = performance.now();
  const next = jobs.values();

  const work = async (): Promise<void> => {
    const workshop = new Workshop();
    try {
      for (const job of next) {
        const { by, ms } = await workshop.judge(job.ring, job.module, job.mutation);
        if (by === undefined) survivors.push(job);
        const verdict = by === undefined ? 'SURVIVED' : 'noticed ';
        console.log(
          `${verdict} ${ms.toFixed(0).padStart(6)} ms  ${job.place}  ${job.mutation.code.slice(0, 100)}`,
        );
      }
    } finally {
      workshop.remove();
    }
  };

  // Tests that fail by themselves would notice everything.
  const rings = new Set(jobs.map(({ ring }) => ring));
  const control = new Workshop();
  try {
    for (const ring of rings) {
      if (await control.run(ring)) continue;
      console.log(`the tests of ${ring.name} fail as they are: nothing can be learnt from them`);
      return false;
    }
  } finally {
    control.remove();
  }
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));

  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  console.log(
    `\n${jobs.length} mutants in ${seconds} s, ${all.length - jobs.length} known as equivalent, ${survivors.length} that no test notices`,
  );
  for (const { place, mutation } of survivors) console.log(`  ${place}\n    ${mutation.code}`);
  return survivors.length === 0 && stale.length === 0;
}

process.exitCode = (await main()) ? 0 : 1;
