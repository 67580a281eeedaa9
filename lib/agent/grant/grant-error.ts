import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';

/**
 * A grant, or what was shown beside it, that does not hold. Its code is `ERR_SPIFFE_GRANT_INVALID`; no token is in its
 * message.
 */
export class GrantError extends SpiffeError {
  /**
   * Where it failed; stable across releases. A step of section 8 of the draft, such as `4q`, or one of our profile, as
   * docs/grant.md lists them: `presentation`, `issuer`, `sub`, `task`, `labels`, `budget`, `peer`, `revoked`, `receiver`; and `offer`,
   * `from` of `guard.startDelegated`.
   */
  readonly step: string;

  constructor(step: string, why: string, cause?: unknown) {
    super('ERR_SPIFFE_GRANT_INVALID', `cannot take the grant: ${why} (step ${step})`, { cause });
    this.step = step;
  }
}

/** Refuses unless it holds; `names` are of the token's own choice, and quoted. */
export function demand(
  holds: boolean,
  step: string,
  why: string,
  ...names: readonly string[]
): asserts holds {
  if (holds) return;
  const told = names.length === 0 ? '' : `: ${names.map(quote).join(' of ')}`;
  throw new GrantError(step, why + told);
}
