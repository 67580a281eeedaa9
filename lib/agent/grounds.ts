import { quote } from '../internal/quote.js';
import type { Denial, DenialReason } from './audit/events.js';
import { DeniedError } from './denied.js';
import type { DecisionRequest } from './policy/request.js';

/** The grounds on which one call is refused; or, where the guard only evaluates, would have been. */
export class Grounds {
  /** What would have been refused, in order. */
  readonly wouldDeny: Denial[] = [];
  /** Gives what the policy engine would be asked, for the record of a refusal that comes before it is; by then the arguments were taken. */
  ask: (() => DecisionRequest) | undefined;
  readonly #tool: string;
  readonly #evaluateOnly: boolean;

  constructor(tool: string, evaluateOnly: boolean) {
    this.#tool = tool;
    this.#evaluateOnly = evaluateOnly;
  }

  /** Throws; or, where the guard only evaluates, notes the ground and goes on. */
  deny(reason: DenialReason, why: string, policies: readonly string[] = [], cause?: unknown): void {
    const error = this.error(reason, why, policies, cause);
    if (!this.#evaluateOnly) throw error;
    const { message } = error;
    // What is looked at twice is one ground.
    if (this.wouldDeny.some((noted) => noted.message === message)) return;
    this.wouldDeny.push({ reason, message, policies });
  }

  /** What to throw for a ground that stands whatever the guard is there for. */
  error(
    reason: DenialReason,
    why: string,
    policies: readonly string[] = [],
    cause?: unknown,
  ): DeniedError {
    const message = `cannot call ${quote(this.#tool)}: ${why}`;
    return new DeniedError({ reason, message, policies }, cause);
  }

  /** Runs code that others wrote; without what it gives there is nothing to judge. */
  attempt<T>(reason: DenialReason, why: string, run: () => T): T {
    try {
      return run();
    } catch (error) {
      throw this.error(reason, why, [], error);
    }
  }
}
