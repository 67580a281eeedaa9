import type { JsonRecord } from '../internal/json.js';
import { checkDuration } from '../internal/options.js';
import { quote } from '../internal/quote.js';
import { checkCount, checkMembers, optionError } from './options.js';

/** How much a task may do. A call that was refused costs nothing. */
export interface BudgetOptions {
  /** Calls in all. */
  readonly calls: number;
  /** Calls of single tools, by name. Default: as many as there are in all. */
  readonly tools?: Readonly<Record<string, number>>;
  /** Bytes of arguments, as JSON, given to tools whose sink lies outside. Default: no bound. */
  readonly bytesOut?: number;
  /** How deep guarded calls may lie within each other; 1 is a call made by the task itself. Default: 8. */
  readonly depth?: number;
  /** The time during which at least one call may be running, before the task ends. Default: the life of the task. */
  readonly wallTimeMs?: number;
}

const MEMBERS = ['calls', 'tools', 'bytesOut', 'depth', 'wallTimeMs'];
const DEPTH = 8;

/** What is left of a budget. Taking is synchronous and whole, so that parallel calls cannot overdraw it. */
export class Budget {
  readonly wallTimeMs: number | undefined;
  readonly #options: BudgetOptions;
  readonly #depth: number;
  readonly #toolCalls: Map<string, number>;
  #calls: number;
  #bytesOut: number | undefined;

  /** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` */
  constructor(options: BudgetOptions, tools: ReadonlyMap<string, unknown>) {
    const what = 'the budget of a task';
    checkMembers(what, options, MEMBERS);
    const { calls, tools: toolCalls = {}, bytesOut, depth = DEPTH, wallTimeMs } = options;
    checkMembers(`${what}: tools`, toolCalls, Object.keys(toolCalls));
    for (const name of Object.keys(toolCalls)) {
      if (!tools.has(name)) throw optionError(what, `the task has no tool ${quote(name)}`);
    }
    const entries = Object.entries(toolCalls);
    this.#calls = checkCount(`${what}: calls`, calls, 0);
    this.#toolCalls = new Map(
      entries.map(([name, n]) => [name, checkCount(`${what}: ${name}`, n, 0)]),
    );
    this.#bytesOut =
      bytesOut === undefined ? undefined : checkCount(`${what}: bytesOut`, bytesOut, 0);
    this.#depth = checkCount(`${what}: depth`, depth, 1);
    this.wallTimeMs =
      wallTimeMs === undefined ? undefined : checkDuration('wallTimeMs', wallTimeMs);
    this.#options = Object.freeze({ ...options, tools: Object.freeze({ ...toolCalls }), depth });
  }

  /** Takes one call, or says why it cannot be had and takes nothing. */
  take(tool: string, bytesOut: number, depth: number): string | undefined {
    const toolCalls = this.#toolCalls.get(tool);
    if (depth > this.#depth)
      return `it would lie ${depth} calls deep, and ${this.#depth} are allowed`;
    if (this.#calls < 1) return `all ${this.#options.calls} calls of the task are used`;
    if (toolCalls !== undefined && toolCalls < 1)
      return `all ${this.#options.tools?.[tool] ?? 0} calls of this tool are used`;
    if (this.#bytesOut !== undefined && bytesOut > this.#bytesOut)
      return `it would send ${bytesOut} bytes, and ${this.#bytesOut} are left`;
    this.#add(tool, bytesOut, -1);
    return undefined;
  }

  /** Gives back what a call took that was refused afterwards. */
  giveBack(tool: string, bytesOut: number): void {
    this.#add(tool, bytesOut, 1);
  }

  /** What is left, of this tool too. */
  left(tool: string): {
    readonly callsLeft: number;
    readonly toolCallsLeft?: number;
    readonly bytesOutLeft?: number;
  } {
    const toolCallsLeft = this.#toolCalls.get(tool);
    return {
      callsLeft: this.#calls,
      ...(toolCallsLeft !== undefined && { toolCallsLeft }),
      ...(this.#bytesOut !== undefined && { bytesOutLeft: this.#bytesOut }),
    };
  }

  /** What there was at the beginning. */
  get whole(): { readonly calls: number; readonly perTool: Readonly<Record<string, number>> } {
    const { calls, tools = {} } = this.#options;
    return { calls, perTool: tools };
  }

  toJSON(): JsonRecord {
    return { ...this.#options };
  }

  #add(tool: string, bytesOut: number, sign: 1 | -1): void {
    const toolCalls = this.#toolCalls.get(tool);
    this.#calls += sign;
    if (toolCalls !== undefined) this.#toolCalls.set(tool, toolCalls + sign);
    if (this.#bytesOut !== undefined) this.#bytesOut += sign * bytesOut;
  }
}
