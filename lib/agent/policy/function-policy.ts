import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';
import type { PolicyEngine } from './engine.js';
import type { Decision, DecisionRequest } from './request.js';

/** Decides one request; the signal aborts when the answer is no longer waited for. */
export type PolicyFunction = (
  request: DecisionRequest,
  options: { readonly signal: AbortSignal },
) => boolean | Decision | Promise<boolean | Decision>;

/** Options of {@link functionPolicy}. */
export interface FunctionPolicyOptions {
  /** Names this function in the record; change it with the function. Default: `function`. */
  readonly revision?: string;
}

/**
 * A policy engine that asks a function. A plain boolean will do; an object also gives reasons and obligations.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` unless it is given a function.
 */
export function functionPolicy(
  decide: PolicyFunction,
  options: FunctionPolicyOptions = {},
): PolicyEngine {
  if (typeof decide !== 'function') {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot take ${quote(decide)} as a policy: give a function of the request`,
    );
  }
  return Object.freeze({
    revision: options.revision ?? 'function',
    prepare: () => Promise.resolve(),
    decide: (request: DecisionRequest, context: { readonly signal: AbortSignal }) => {
      const answer = decide(request, context);
      return answer instanceof Promise ? answer.then(decisionOf) : decisionOf(answer);
    },
  });
}

function decisionOf(answer: boolean | Decision): Decision {
  return typeof answer === 'boolean' ? { decision: answer } : answer;
}
