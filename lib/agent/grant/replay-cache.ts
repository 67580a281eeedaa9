import { checkCount, checkMembers } from '../options.js';

/** What bounds a {@link ReplayCache}. */
export interface ReplayCacheOptions {
  /** How many proofs are remembered at once. Default: 100,000. */
  readonly most?: number;
  /** How many of one peer. Default: 10,000. */
  readonly mostOfPeer?: number;
}

interface Seen {
  readonly peer: string;
  readonly until: number;
}

/**
 * The proofs that were accepted, each for as long as it could be accepted again. When there is no room, a proof is
 * refused and none forgotten. It is of one process: servers that share a name must not share callers, or share one
 * process.
 */
export class ReplayCache {
  readonly #most: number;
  readonly #mostOfPeer: number;
  readonly #seen = new Map<string, Seen>();
  /** Which are forgotten after that second. */
  readonly #until = new Map<number, string[]>();
  readonly #ofPeer = new Map<string, number>();
  #swept = 0;

  /** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` */
  constructor(options: ReplayCacheOptions = {}) {
    const what = 'the options of a replay cache';
    checkMembers(what, options, ['most', 'mostOfPeer']);
    this.#most = checkCount(`${what}: most`, options.most ?? 100_000, 1);
    this.#mostOfPeer = checkCount(`${what}: mostOfPeer`, options.mostOfPeer ?? 10_000, 1);
  }

  /** How many are remembered. */
  get size(): number {
    return this.#seen.size;
  }

  /**
   * Why a proof that can be accepted to the end of the second `until` cannot be taken now; `undefined` when it can.
   *
   * @internal
   */
  problem(proof: string, peer: string, until: number, now: number): string | undefined {
    this.#sweep(now);
    // The clock was set back: whether it was used is not remembered any more.
    if (until < this.#swept) return 'its proof is from before what is remembered';
    if (this.#seen.has(proof)) return 'its proof was used before';
    if (this.#seen.size >= this.#most) return 'there is no room to remember its proof';
    if ((this.#ofPeer.get(peer) ?? 0) >= this.#mostOfPeer)
      return 'there is no room to remember another proof of this peer';
    return undefined;
  }

  /**
   * Remembers a proof that was accepted, to the end of the second `until`.
   *
   * @internal
   */
  record(proof: string, peer: string, until: number): void {
    this.#seen.set(proof, { peer, until });
    this.#ofPeer.set(peer, (this.#ofPeer.get(peer) ?? 0) + 1);
    const others = this.#until.get(until);
    if (others === undefined) this.#until.set(until, [proof]);
    else others.push(proof);
  }

  #sweep(now: number): void {
    if (now <= this.#swept) return;
    this.#swept = now;
    for (const [until, proofs] of this.#until) {
      if (until >= now) continue;
      this.#until.delete(until);
      for (const proof of proofs) this.#forget(proof);
    }
  }

  #forget(proof: string): void {
    const peer = this.#seen.get(proof)?.peer ?? '';
    this.#seen.delete(proof);
    const left = (this.#ofPeer.get(peer) ?? 0) - 1;
    if (left > 0) this.#ofPeer.set(peer, left);
    else this.#ofPeer.delete(peer);
  }
}
