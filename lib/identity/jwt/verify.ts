import type { JwtBundleSet } from '../source.js';
import type { judgeToken } from './judge.js';
import type { JwtSvid } from './svid.js';

/** How a JWT-SVID is to be verified. */
export interface VerifyJwtOptions {
  /** Who we are to the sender: one name or several, compared whole and case-sensitively. At least one. */
  readonly audience: string | readonly string[];
  /** The instant for which to decide; the wall clock unless given. */
  readonly now?: Date;
  /** How much clocks may differ, for `exp` and `nbf`, in milliseconds: 30,000 unless given, 120,000 at most. */
  readonly leewayMs?: number;
}

let judge: typeof judgeToken | undefined;

/**
 * Verifies a JWT-SVID by the bundle of its subject's own trust domain (JWT-SVID §4). `iss` plays no part, and no key
 * or key location is ever taken from the token.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` without an audience or for a `now` that is no instant, `ERR_SPIFFE_JWT_SVID_INVALID` when it is not a
 * JWT-SVID at all, `ERR_SPIFFE_JWT_AUDIENCE` when it is for others, `ERR_SPIFFE_JWT_EXPIRED` when it is not valid at that
 * instant, `ERR_SPIFFE_BUNDLE_NOT_FOUND` when its trust domain is unknown, `ERR_SPIFFE_JWT_UNTRUSTED` when no key of that
 * bundle signed it.
 */
export async function verifyJwtSvid(
  token: string,
  bundles: JwtBundleSet,
  options: VerifyJwtOptions,
): Promise<JwtSvid> {
  judge ??= (await import('./judge.js')).judgeToken;
  return judge(token, bundles, options);
}
