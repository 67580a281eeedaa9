import type { JwtSource, SourceState } from '../identity/source.js';
import type { SpiffeId } from '../identity/spiffe-id.js';
import type { JsonObject } from '../internal/json.js';

/** Options of {@link WorkloadJwt.validate}. */
export interface JwtValidateOptions {
  /** Who we are to the sender. */
  readonly audience: string;
  readonly signal?: AbortSignal;
}

/** What the Workload API says about a token that it found valid. */
export interface JwtValidation {
  readonly id: SpiffeId;
  /** The claims that it tells; `sub` and `aud` always. */
  readonly claims: JsonObject;
}

/** The JWT-SVIDs of a workload, and the bundles that it was given. */
export interface WorkloadJwt extends JwtSource {
  /** How the stream of bundles is doing. */
  readonly state: SourceState;
  /**
   * Asks the Workload API about a token of another workload. {@link JwtSource.verify} decides the same without a call; this
   * is for where the issuer's word counts.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` without an audience or a token, `ERR_SPIFFE_JWT_UNTRUSTED` when it is
   * not valid, and as {@link JwtSource.fetch} when the call fails. On abort the signal's reason.
   */
  validate(token: string, options: JwtValidateOptions): Promise<JwtValidation>;
}
