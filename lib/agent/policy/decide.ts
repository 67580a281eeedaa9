import { isJsonObject, type JsonObject, member } from '../../internal/json.js';
import type { DecisionRecord } from '../audit/events.js';
import type { PolicyEngine } from './engine.js';
import { obligationProblem } from './obligations.js';
import type { Decision, DecisionRequest, Obligation } from './request.js';

/** What the policy engine made of a request, or failed to. */
export interface Verdict {
  readonly record: DecisionRecord;
  /** Why it is a denial; absent for a plain permit whose obligations are all understood. */
  readonly problem?: string;
  readonly cause?: unknown;
}

/** Waits for an answer, no longer than is allowed. */
export type Await = (answer: Promise<Decision>) => Promise<Decision>;

/**
 * Asks the engine. At once where it answers at once. An error, a wait that was cut short, and everything but a
 * well-formed permit is a denial.
 */
export function decide(
  engine: PolicyEngine,
  request: DecisionRequest,
  wait: Await,
): Verdict | Promise<Verdict> {
  const { revision } = engine;
  const patience = new Patience();
  const failed = (cause: unknown): Verdict => ({
    record: { revision, reasons: [], obligations: [] },
    problem: 'the policy engine gave no answer',
    cause,
  });
  try {
    const answer = engine.decide(request, patience);
    if (!(answer instanceof Promise)) return judge(revision, answer);
    return wait(answer).then(
      (late) => judge(revision, late),
      (error: unknown) => {
        patience.abandon();
        return failed(error);
      },
    );
  } catch (error) {
    return failed(error);
  }
}

/** The options of {@link PolicyEngine.decide}. An engine that never looks at the signal pays for none. */
class Patience {
  #controller: AbortController | undefined;

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  abandon(): void {
    this.#controller?.abort();
  }
}

/** The answer comes from code that others write: nothing of its shape is taken for granted. */
function judge(revision: string, answer: unknown): Verdict {
  const given = isJsonObject(answer) ? answer : {};
  // What every object inherits once a prototype is polluted is nobody's decision.
  const decision = member(given, 'decision');
  const { context } = given;
  const told = isJsonObject(context) ? context : {};
  const reasons = Array.isArray(told['reasons']) ? told['reasons'].map(String) : [];
  const problem = problemOf(decision, told);
  if (problem !== undefined) {
    const named = reasons.length === 0 ? '' : ` (${reasons.join(', ')})`;
    return {
      record: { revision, reasons, obligations: [] },
      problem: `${problem}${named}`,
      // What the engine says of its trouble may hold data: it goes to the caller, not into the record.
      ...(typeof told['error'] === 'string' && { cause: new Error(told['error']) }),
    };
  }
  const obligations = (told['obligations'] ?? []) as readonly Obligation[];
  return { record: { revision, reasons, obligations } };
}

function problemOf(decision: unknown, told: JsonObject): string | undefined {
  if (decision === false)
    return told['error'] === undefined
      ? 'a policy refuses it, or none permits it'
      : 'the policy engine could not decide it';
  if (decision !== true) return 'the policy engine gave no decision';
  // An error beside a permit: a policy that might have refused was not evaluated.
  if (told['error'] !== undefined) return 'a policy could not be evaluated';
  const obligations = told['obligations'] ?? [];
  if (!Array.isArray(obligations)) return 'its obligations are no list';
  return obligations.map(obligationProblem).find((problem) => problem !== undefined);
}
