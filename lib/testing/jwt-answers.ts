import { JwtBundles } from '../identity/jwt/bundles.js';
import { verifyJwtSvid } from '../identity/jwt/verify.js';
import { SpiffeId } from '../identity/spiffe-id.js';
import type { Clock } from '../internal/clock.js';
import type {
  JwtSvidEntry,
  JwtSvidRequest,
  JwtSvidResponse,
  ValidateJwtSvidRequest,
  ValidateJwtSvidResponse,
} from '../sources/workload-api/proto.js';
import { toStruct } from '../sources/workload-api/struct-json.js';
import type { Issuer } from './issuer.js';
import { PERMISSION_DENIED } from './message-stream.js';
import type { Refused } from './unary-rpc.js';

/** Answers to a call for tokens, one for each identity asked for (WLA-28 to WLA-31). */
export async function issueTokens(
  issuer: Issuer,
  { audience, spiffeId }: JwtSvidRequest,
): Promise<JwtSvidResponse | Refused> {
  if (audience.length === 0 || audience.includes(''))
    return invalid('audience is mandatory, and none of them may be empty');
  const id = spiffeId === '' ? undefined : SpiffeId.parse(spiffeId).toString();
  const identities = issuer.entitled.filter((one) => id === undefined || one.id === id);
  if (identities.length === 0) return { refused: PERMISSION_DENIED };
  const svids = identities.map(async (one): Promise<JwtSvidEntry> => {
    const { token } = await issuer.ca.issueJwt(one.id, { audience, ttlMs: one.jwtTtlMs });
    return { spiffeId: one.id, svid: token, hint: one.hint };
  });
  return { svids: await Promise.all(svids) };
}

/** The verdict on a token (WLA-36, WLA-37), by the bundles that the caller is given. */
export async function validateToken(
  issuer: Issuer,
  { audience, svid }: ValidateJwtSvidRequest,
  clock: Clock,
): Promise<ValidateJwtSvidResponse | Refused> {
  if (audience === '') return invalid('audience is mandatory');
  if (svid === '') return invalid('svid is mandatory');
  if (issuer.entitled.length === 0) return { refused: PERMISSION_DENIED };
  const bundles = JwtBundles.of(...issuer.authorities.map((ca) => ca.jwtBundle));
  const now = new Date(clock.now());
  // no status is named for a token that is refused. INVALID_ARGUMENT, which the error becomes, says: do not try again.
  const { id, claims } = await verifyJwtSvid(svid, bundles, { audience, now });
  return { spiffeId: id.toString(), claims: toStruct(claims) };
}

function invalid(details: string): Refused {
  return { refused: { code: 3, details } };
}
