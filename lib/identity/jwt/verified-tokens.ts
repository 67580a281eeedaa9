import { BoundedMap } from '../../internal/bounded-map.js';
import type { JwtBundleSet } from '../source.js';
import { checkFacts, judge, MOST_LEEWAY_MS, readQuestion, type TokenFacts } from './judge.js';
import { JwtSvid } from './svid.js';
import type { DecodedToken } from './token.js';
import type { VerifyJwtOptions } from './verify.js';

const MOST_TOKENS = 1000;
/** How often expired tokens are looked for. */
const SWEEP_SECONDS = 10;

interface Verified {
  readonly facts: TokenFacts;
  readonly svid: JwtSvid;
}

/**
 * Verifies as `verifyJwtSvid` does, and remembers whose signatures were good: a token that comes again is looked up, and
 * its audience and times are judged anew. It is made for one state of the bundles and goes with it, so that no signature
 * outlives the key that made it. Bounded; a token that was refused is not remembered.
 */
export class VerifiedTokens {
  readonly #bundles: JwtBundleSet;
  readonly #known: BoundedMap<string, Verified>;
  #sweepAt = 0;

  /** @param bundles - a set that does not change. */
  constructor(bundles: JwtBundleSet, most: number = MOST_TOKENS) {
    this.#bundles = bundles;
    this.#known = new BoundedMap(most);
  }

  /** How many tokens are remembered. */
  get size(): number {
    return this.#known.size;
  }

  /** @throws SpiffeError as `verifyJwtSvid` does. A promise only where the thread pool checks the signature. */
  verify(token: string, options: VerifyJwtOptions): JwtSvid | Promise<JwtSvid> {
    const question = readQuestion(options);
    const known = this.#known.get(token);
    if (known !== undefined) {
      checkFacts(known.facts, question);
      return known.svid;
    }
    const decoded = judge(token, this.#bundles, question);
    return decoded instanceof Promise
      ? decoded.then((result) => this.#remember(token, result, question.now))
      : this.#remember(token, decoded, question.now);
  }

  #remember(token: string, decoded: DecodedToken, now: number): JwtSvid {
    const { id, audience, expires, notBefore } = decoded;
    const svid = JwtSvid.fromDecoded(decoded, token);
    this.#sweep(now);
    this.#known.set(token, { facts: { id, audience, expires, notBefore }, svid });
    return svid;
  }

  #sweep(now: number): void {
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + SWEEP_SECONDS;
    this.#known.drop(({ facts }) => now >= facts.expires + MOST_LEEWAY_MS / 1000);
  }
}
