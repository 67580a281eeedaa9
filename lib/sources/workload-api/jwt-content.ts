import { SpiffeError } from '../../errors.js';
import { JwtSvid } from '../../identity/jwt/svid.js';
import { SpiffeId } from '../../identity/spiffe-id.js';
import { member } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import { reasonOf } from '../held-state.js';
import { marginMs, type TokenRequest } from '../token-cache.js';
import type { JwtValidation } from '../workload-jwt.js';
import type { JwtSvidEntry, JwtSvidResponse, ValidateJwtSvidResponse } from './proto.js';
import { fromStruct } from './struct-json.js';

/**
 * The token that was asked for, held against the request (WLA-28, WLA-30): whoever sends it on must not find out at the
 * other end that it says something else.
 *
 * @throws SpiffeError `ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID`; the message holds no part of a token.
 */
export function readJwtSvid(
  { svids }: JwtSvidResponse,
  request: TokenRequest,
  now: number,
): JwtSvid {
  if (svids.length === 0) throw invalid('JWTSVIDResponse', 'it holds no JWT-SVID (WLA-30)');
  const { subject, audience } = request;
  // WLA-48, A-17: without one asked for, the first is the default.
  const entry = subject === '' ? svids[0] : svids.find(({ spiffeId }) => spiffeId === subject);
  if (entry === undefined)
    throw invalid('JWTSVIDResponse', `none of its JWT-SVIDs is one of ${subject} (WLA-29)`);
  const svid = parse(entry);
  if (svid.id.toString() !== entry.spiffeId)
    throw invalid(
      'JWTSVIDResponse',
      `a token beside ${quote(entry.spiffeId)} is one of ${svid.id}`,
    );
  // WLA-28: exactly what was asked for, in whatever order.
  const given = [...new Set(svid.audience)].toSorted();
  if (given.length !== audience.length || !given.every((name, at) => name === audience[at]))
    throw invalid(
      'JWTSVIDResponse',
      `a token of ${svid.id} is not for exactly the audience asked for (WLA-28)`,
    );
  const { expiresAt } = svid;
  if (now >= expiresAt.getTime() - marginMs(svid, now))
    throw invalid(
      'JWTSVIDResponse',
      `a token of ${svid.id} expires at ${quote(String(svid.claims['exp']))} s after 1970, and here it is ${new Date(now).toISOString()}; is a clock wrong?`,
    );
  return svid;
}

/** @throws SpiffeError `ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID` */
export function readValidation(response: ValidateJwtSvidResponse, audience: string): JwtValidation {
  const what = 'ValidateJWTSVIDResponse';
  const claims = fromStruct(response.claims);
  // WLA-37: both are mandatory, and the claims of the standard always among them.
  if (response.spiffeId === '') throw invalid(what, 'it has no spiffe_id (WLA-37)');
  if (member(claims, 'sub') !== response.spiffeId)
    throw invalid(what, 'its spiffe_id is not the sub of its claims (WLA-37)');
  // WLA-39: aud is a string or a list.
  const aud = member(claims, 'aud');
  if (!(Array.isArray(aud) ? aud : [aud]).includes(audience))
    throw invalid(what, 'the aud of its claims does not name the audience asked about (WLA-37)');
  try {
    return { id: SpiffeId.parse(response.spiffeId), claims };
  } catch (cause) {
    throw invalid(what, `its spiffe_id is none: ${reasonOf(cause)}`, cause);
  }
}

function parse({ svid, spiffeId, hint }: JwtSvidEntry): JwtSvid {
  try {
    return JwtSvid.parseUnverified(svid, { hint });
  } catch (cause) {
    throw invalid(
      'JWTSVIDResponse',
      `the token beside ${quote(spiffeId)}: ${reasonOf(cause)}`,
      cause,
    );
  }
}

function invalid(message: string, why: string, cause?: unknown): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID',
    `cannot use a ${message} of the Workload API: ${why}`,
    { cause },
  );
}
