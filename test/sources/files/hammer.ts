import { workerData } from 'node:worker_threads';
import { type Pems, swapGeneration, writeInPlace } from '../../support/svid-files.js';

/** A thread of the tests: replaces files again and again until it is terminated. */
const { directory, how, generations } = workerData as {
  readonly directory: string;
  readonly how: string;
  readonly generations: readonly Pems[];
};
const replace = how === swapGeneration.name ? swapGeneration : writeInPlace;

for (;;) for (const pems of generations) replace(directory, pems);
