import { CONFIDENTIALITIES, type Labels, rankOf } from './labels.js';

/** What has come since someone was asked. */
export interface Mark {
  rank: number;
  untrusted: boolean;
}

/**
 * The labels of one task: what it has read, and what is being read at this moment. A read counts from the call itself
 * on, before anything is waited for, so that a parallel call cannot send what it brings before the label is there.
 */
export class Flow {
  #rank: number;
  #untrusted: boolean;
  /** Reads under way, by the rank that they raise to. */
  readonly #reading: number[] = CONFIDENTIALITIES.map(() => 0);
  #readingUntrusted = 0;
  readonly #marks = new Set<Mark>();

  constructor(initial: Labels) {
    this.#rank = rankOf(initial.confidentiality);
    this.#untrusted = initial.integrity === 'untrusted';
  }

  get labels(): Labels {
    return this.#labels(-1, 0);
  }

  /** The labels without those of one read under way: what its own arguments may be made of. */
  labelsBeside(own: Labels): Labels {
    return this.#labels(rankOf(own.confidentiality), own.integrity === 'untrusted' ? 1 : 0);
  }

  /** A read begins. */
  raise(labels: Labels): void {
    this.#count(labels, 1);
  }

  /** The read was refused before anything was read. */
  release(labels: Labels): void {
    this.#count(labels, -1);
  }

  /** The read has ended, well or not: what it brought stays in the task. */
  settle(labels: Labels): void {
    const rank = rankOf(labels.confidentiality);
    const untrusted = labels.integrity === 'untrusted';
    this.#count(labels, -1);
    this.#rank = Math.max(this.#rank, rank);
    this.#untrusted ||= untrusted;
    for (const mark of this.#marks) {
      mark.rank = Math.max(mark.rank, rank);
      mark.untrusted ||= untrusted;
    }
  }

  /** Something with these labels has come, by no read of the task's own. */
  take(labels: Labels): void {
    this.raise(labels);
    this.settle(labels);
  }

  /** Someone is asked to answer for what has been read by now; what comes meanwhile is not theirs to lower. */
  mark(): Mark {
    const mark = { rank: 0, untrusted: false };
    this.#marks.add(mark);
    return mark;
  }

  /** They answered for it: it is no more than `to`. */
  lower(to: Labels, mark: Mark): void {
    this.forget(mark);
    this.#rank = Math.max(Math.min(this.#rank, rankOf(to.confidentiality)), mark.rank);
    this.#untrusted = (this.#untrusted && to.integrity === 'untrusted') || mark.untrusted;
  }

  /** They did not. */
  forget(mark: Mark): void {
    this.#marks.delete(mark);
  }

  #labels(ownRank: number, ownUntrusted: number): Labels {
    let rank = CONFIDENTIALITIES.length - 1;
    while (rank > this.#rank && (this.#reading[rank] as number) - (rank === ownRank ? 1 : 0) === 0)
      rank--;
    const untrusted = this.#untrusted || this.#readingUntrusted > ownUntrusted;
    return LABELS[rank * 2 + (untrusted ? 1 : 0)] as Labels;
  }

  #count(labels: Labels, by: number): void {
    const rank = rankOf(labels.confidentiality);
    this.#reading[rank] = (this.#reading[rank] as number) + by;
    if (labels.integrity === 'untrusted') this.#readingUntrusted += by;
  }
}

/** Every pair there is, so that asking for the labels makes nothing new. */
const LABELS: readonly Labels[] = CONFIDENTIALITIES.flatMap((confidentiality) => [
  Object.freeze({ confidentiality, integrity: 'trusted' as const }),
  Object.freeze({ confidentiality, integrity: 'untrusted' as const }),
]);
