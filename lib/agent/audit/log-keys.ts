import type { SignedCheckpoint } from './checkpoint.js';
import { type VerifiedEndorsement, verifyEndorsement } from './endorsement.js';
import { CHECKPOINTS } from './layout.js';
import type { VerifierKey } from './note.js';
import { codeOf, LOG_KEY, objectMember, parseRecord } from './own-records.js';
import type { AuditProblem } from './problem.js';

/** A log key, the record that endorses it, and when that says it was written. */
export interface ReadEndorsement extends VerifiedEndorsement {
  /** Milliseconds since 1970, by the clock of the process that wrote it. */
  readonly time: number;
}

/** The keys of a log, as the records are read that endorse them. */
export class LogKeys {
  readonly #problems: AuditProblem[];
  readonly #endorsements: ReadEndorsement[] = [];
  /** By name and id. */
  readonly #keys = new Map<string, VerifierKey>();
  /** The record whose key has signed no checkpoint. */
  #unused: number | undefined;

  /** @param problems - gets what is wrong with them. */
  constructor(problems: AuditProblem[]) {
    this.#problems = problems;
  }

  get endorsements(): readonly ReadEndorsement[] {
    return this.#endorsements;
  }

  /** Reads a record of the log about itself; `isLast` when no checkpoint covers it. */
  read(line: Buffer, index: number, isLast: boolean): void {
    const record = parseRecord(line, index);
    if (record === undefined || codeOf(record) !== LOG_KEY) return;
    const endorsement = verifyEndorsement(objectMember(record, 'unmapped')['endorsement'], index);
    const time = record['time'];
    if (typeof endorsement === 'string') this.#fault(index, endorsement);
    else if (!this.#isOfThisLog(endorsement))
      this.#fault(index, `it is for ${endorsement.id} and the log ${endorsement.origin}`);
    else if (!isTime(time)) this.#fault(index, 'its time is none');
    else this.#take({ ...endorsement, time }, isLast);
  }

  /** To be called at the end: the first record is an endorsement. */
  requireFirst(): void {
    if (this.#endorsements[0]?.index === 0) return;
    if (this.#problems.some(({ index }) => index === 0)) return;
    this.#fault(0, 'it is the first, and no endorsement of a log key');
  }

  /** To be called for a record that the log did not write about itself: a key signs before any is written under it. */
  requireUsed(): void {
    if (this.#unused === undefined) return;
    const index = this.#unused;
    this.#unused = undefined;
    const message = `the key that record ${index} endorses has signed no checkpoint`;
    this.#problems.push({ kind: 'checkpoint-missing', index, file: CHECKPOINTS, message });
  }

  /** The key, among those endorsed so far, that says to have signed a checkpoint. */
  signerOf({ origin, note }: SignedCheckpoint): VerifierKey | undefined {
    const signature = note.signatures.find(({ name }) => name === origin);
    return signature && this.#keys.get(`${signature.name}+${signature.keyId}`);
  }

  #isOfThisLog({ origin, id }: VerifiedEndorsement): boolean {
    const first = this.#endorsements[0];
    return first === undefined || (first.origin === origin && first.id === id);
  }

  #take(endorsement: ReadEndorsement, isLast: boolean): void {
    const { key, index } = endorsement;
    const name = `${key.name}+${key.id}`;
    if (isLast && !this.#keys.has(name)) this.#unused = index;
    this.#keys.set(name, key);
    this.#endorsements.push(endorsement);
  }

  #fault(index: number, why: string): void {
    const message = `record ${index} is not what it should be: ${why}`;
    this.#problems.push({ kind: 'endorsement-invalid', index, message });
  }
}

/** Whether it is milliseconds since 1970 that a `Date` can hold. */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && !Number.isNaN(new Date(value).getTime());
}
