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
  /** Who gave it to which key: a token that is made anew is counted on. */
  readonly name: string;
  readonly exp: number;
  readonly budget: GrantBudget;
}

interface Count {
  exp: number;
  calls: number;
  readonly perTool: Map<string, number>;
}

/**
 * How often what has a budget was used here, by its holder and by all below it; counted until it expires. When
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
    const fresh = new Set(tokens.map(({ name }) => name).filter((name) => !this.#counts.has(name)));
    if (this.#counts.size + fresh.size > this.#most) this.#sweep(now);
    if (this.#counts.size + fresh.size > this.#most)
      return 'there is no room to count the calls of its chain';
    for (const { name, budget } of tokens) {
      const count = this.#counts.get(name);
      const { calls = Number.POSITIVE_INFINITY } = budget;
      if ((count?.calls ?? 0) >= calls)
        return `all ${calls} calls of a token in its chain are used`;
      const most = toolBudget(budget, tool);
      if (most !== undefined && (count?.perTool.get(tool) ?? 0) >= most)
        return `all ${most} calls of ${quote(tool)} of a token in its chain are used`;
    }
    // Who passes on to itself may have one name twice.
    for (const [name, exp] of new Map(tokens.map((token) => [token.name, token.exp]))) {
      const count = this.#counts.get(name) ?? { exp, calls: 0, perTool: new Map<string, number>() };
      this.#counts.set(name, count);
      count.exp = Math.max(count.exp, exp);
      count.calls += 1;
      count.perTool.set(tool, (count.perTool.get(tool) ?? 0) + 1);
    }
    return undefined;
  }

  #sweep(now: number): void {
    for (const [name, { exp }] of this.#counts) if (exp <= now) this.#counts.delete(name);
  }
}

function toolBudget({ callsPerTool = {} }: GrantBudget, tool: string): number | undefined {
  return Object.hasOwn(callsPerTool, tool) ? callsPerTool[tool] : undefined;
}
