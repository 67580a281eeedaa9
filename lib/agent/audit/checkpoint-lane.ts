import type { Clock, ClockTimer } from '../../internal/clock.js';
import type { Signer } from './signer.js';

/** When checkpoints are due that nobody asked for, whichever comes first. */
export interface CheckpointSchedule {
  /** After so many records, */
  readonly records: number;
  /** or so long after the first of them. */
  readonly ms: number;
  readonly clock: Clock;
}

interface Wanted {
  /** How many records must be below the checkpoint. */
  size: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Signs one checkpoint at a time: when it is due, and when someone wants one, as soon as the records they want in it are durable. */
export class CheckpointLane {
  readonly #signer: Signer;
  readonly #schedule: CheckpointSchedule;
  readonly #onFailure: (cause: unknown) => Error;
  #wanted: Wanted[] = [];
  /** The number of durable records. */
  #records: number;
  #signing: Promise<void> | undefined;
  #timer: ClockTimer | undefined;

  /** @param onFailure - told why one could not be signed; gives the error for whoever wanted it. */
  constructor(
    signer: Signer,
    records: number,
    schedule: CheckpointSchedule,
    onFailure: (cause: unknown) => Error,
  ) {
    this.#signer = signer;
    this.#records = records;
    this.#schedule = schedule;
    this.#onFailure = onFailure;
  }

  /** Resolves once a checkpoint covers `size` records. */
  cover(size: number): Promise<void> {
    if (size <= this.#signer.signed) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#wanted.push({ size, resolve, reject });
      this.#pump();
    });
  }

  /** So many records are durable. */
  onDurable(records: number): void {
    this.#records = records;
    const { clock, ms } = this.#schedule;
    if (this.#timer === undefined && records > this.#signer.signed) {
      this.#timer = clock.setTimeout(() => this.#elapsed(), ms);
      // A process that has nothing else to do does not wait for it.
      if (typeof this.#timer === 'object') this.#timer.unref();
    }
    this.#pump();
  }

  /** The records that waited will not come. */
  onRefused(): void {
    for (const wanted of this.#wanted) wanted.size = Math.min(wanted.size, this.#records);
    this.#pump();
  }

  /** Resolves when none is being signed; none is signed after that. */
  async end(): Promise<void> {
    this.#schedule.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#signing;
  }

  #elapsed(): void {
    this.#timer = undefined;
    // What comes of it is told to onFailure.
    this.cover(this.#records).catch(() => {});
  }

  #pump(): void {
    if (this.#signing !== undefined) return;
    const due = this.#records - this.#signer.signed >= this.#schedule.records;
    if (!due && !this.#wanted.some(({ size }) => size <= this.#records)) return;
    this.#signing = this.#sign();
  }

  async #sign(): Promise<void> {
    const records = this.#records;
    try {
      await this.#signer.sign();
    } catch (cause) {
      this.#signing = undefined;
      const error = this.#onFailure(cause);
      // Tried again when more records are durable, or when someone asks.
      for (const { reject } of this.#take(records)) reject(error);
      return;
    }
    this.#signing = undefined;
    for (const { resolve } of this.#take(this.#signer.signed)) resolve();
    this.#pump();
  }

  /** Those who want no more than `size` records covered; they are not waited on any longer. */
  #take(size: number): readonly Wanted[] {
    const taken = this.#wanted.filter((wanted) => wanted.size <= size);
    this.#wanted = this.#wanted.filter((wanted) => wanted.size > size);
    return taken;
  }
}
