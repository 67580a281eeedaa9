import { quote } from '../../internal/quote.js';
import { checkCount, checkMembers } from '../options.js';
import type { GrantBudget } from './profile.js';

/** What bounds a {@link GrantUsage}. */
export interface GrantUsageOptions {
  /** How many tokens with a budget are counted at once. Default: 100,000. */
  readonly most?: number;
}

/** A token with a budget, as it is counted. @internal */
export interface Counted {
  /** Of its signing input. */
  readonly hash: string;
  readonly exp: number;
  readonly budget: GrantBudget;
}

interface Count {
  readonly exp: number;
  calls: number;
  readonly perTool: Map<string, number>;
}

/**
 * How often each token with a budget was used here, by its holder and by all below it; counted until it expires. When
 * there is no room for another, its calls are refused. It is of one process: what others let pass is not known here.
 */
export class GrantUsage {
  readonly #most: number;
  readonly #counts = new Map<string, Count>();

  /** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` */
  constructor(options: GrantUsageOptions = {}) {
    const what = 'the options of a usage count';
    checkMembers(what, options, ['most']);
    this.#most = checkCount(`${what}: most`, options.most ?? 100_000, 1);
  }

  /** How many tokens are counted. */
  get size(): number {
    return this.#counts.size;
  }

  /**
   * Counts one call on every token, or on none and says why.
   *
   * @internal
   */
  take(tokens: readonly Counted[], tool: string, now: number): string | undefined {
    const fresh = tokens.filter(({ hash }) => !this.#counts.has(hash)).length;
    if (this.#counts.size + fresh > this.#most) this.#sweep(now);
    if (this.#counts.size + fresh > this.#most)
      return 'there is no room to count the calls of its chain';
    for (const { hash, budget } of tokens) {
      const count = this.#counts.get(hash);
      const { calls = Number.POSITIVE_INFINITY } = budget;
      if ((count?.calls ?? 0) >= calls)
        return `all ${calls} calls of a token in its chain are used`;
      const most = toolBudget(budget, tool);
      if (most !== undefined && (count?.perTool.get(tool) ?? 0) >= most)
        return `all ${most} calls of ${quote(tool)} of a token in its chain are used`;
    }
    for (const { hash, exp, budget } of tokens) {
      const count = this.#counts.get(hash) ?? { exp, calls: 0, perTool: new Map<string, number>() };
      this.#counts.set(hash, count);
      count.calls += 1;
      if (toolBudget(budget, tool) !== undefined)
        count.perTool.set(tool, (count.perTool.get(tool) ?? 0) + 1);
    }
    return undefined;
  }

  #sweep(now: number): void {
    for (const [hash, { exp }] of this.#counts) if (exp <= now) this.#counts.delete(hash);
  }
}

function toolBudget({ callsPerTool = {} }: GrantBudget, tool: string): number | undefined {
  return Object.hasOwn(callsPerTool, tool) ? callsPerTool[tool] : undefined;
}
