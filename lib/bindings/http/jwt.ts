import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import { SpiffeError, type SpiffeErrorCode } from '../../errors.js';
import type { JwtSvid } from '../../identity/jwt/svid.js';
import { verifyJwtSvid } from '../../identity/jwt/verify.js';
import { capturedJwt, captureJwt } from '../../identity/peer.js';
import { REFUSED, whyNot } from '../../identity/peer-refusal.js';
import { type PeerPredicate, type PeerRule, parsePeerRule } from '../../identity/peer-rule.js';
import type { JwtBundleSet, JwtSource } from '../../identity/source.js';
import { checkOptions } from '../../internal/options.js';
import { type Logger, SILENT } from '../../log.js';
import { checkRealm, type Fault, readCredentials, refuse } from './bearer.js';
import type { ForbiddenResponse, PeerMiddleware } from './peer.js';

/** Options of {@link requireJwt} and of `acceptEither`. */
export interface RequireJwtOptions {
  /** Who we are to the caller: one name or several, compared whole and case-sensitively. At least one. */
  readonly audience: string | readonly string[];
  /** Who is accepted. There is no default. */
  readonly allow: PeerRule;
  /** What the challenge of a refusal names. Default: `spiffe`. */
  readonly realm?: string;
  /** Told of each refusal, with code, reason and the caller's ID where that is known. Default: silent. */
  readonly logger?: Logger;
}

/** What tokens are verified by: the `jwt` of an identity, or of a `BundleSource`, which has bundles alone. */
export interface JwtVerifier {
  readonly jwt?: Pick<JwtSource, 'verify'> | JwtBundleSet;
}

/** A request to a server, of either version of HTTP. */
export type JwtCarrier = IncomingMessage | Http2ServerRequest;

/**
 * Whose JWT-SVID came with a request, as {@link requireJwt} has verified it.
 *
 * @throws SpiffeError `ERR_SPIFFE_PEER_UNKNOWN` when none was verified.
 */
export function jwtOf(request: JwtCarrier): JwtSvid {
  const svid = capturedJwt(request);
  if (svid !== undefined) return svid;
  throw new SpiffeError(
    'ERR_SPIFFE_PEER_UNKNOWN',
    'cannot tell whose JWT-SVID came with the request: none was verified; put requireJwt before the handler',
  );
}

/**
 * Lets through the requests that carry a JWT-SVID for us, `Authorization: Bearer …`, of a caller whom `allow` accepts;
 * {@link jwtOf} tells the handler whose. It is verified offline by the bundles of `identity`. Refusals are those of
 * RFC 6750: 401, 400 for what is malformed, 403 for a caller who is not allowed. While there is nothing to verify by: 503.
 *
 * Whoever has a token can send it: use it over TLS alone, and give each service an audience of its own.
 *
 * @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID` or `ERR_SPIFFE_OPTION_INVALID`, here and not at the first request.
 */
export function requireJwt(identity: JwtVerifier, options: RequireJwtOptions): PeerMiddleware {
  const gate = new JwtGate(identity, options);
  return (request, response, next) => {
    void (async () => {
      const verdict = await gate.judge(request);
      if ('fault' in verdict) gate.refuse(response, verdict);
      else next();
    })();
  };
}

/** Why a request is refused. */
export interface Refusal {
  readonly fault: Fault;
  /** For the log. */
  readonly reason: string;
  readonly code?: string;
  readonly caller?: string;
}

/** What is wrong with the token; with anything else it is we who cannot verify. */
const OF_THE_TOKEN: ReadonlySet<string> = new Set<SpiffeErrorCode>([
  'ERR_SPIFFE_JWT_SVID_INVALID',
  'ERR_SPIFFE_JWT_AUDIENCE',
  'ERR_SPIFFE_JWT_EXPIRED',
  'ERR_SPIFFE_JWT_UNTRUSTED',
  'ERR_SPIFFE_BUNDLE_NOT_FOUND',
]);

/** Decides about requests by the JWT-SVID that they carry. */
export class JwtGate {
  readonly accepts: PeerPredicate;
  readonly #verify: (token: string) => Promise<JwtSvid>;
  readonly #bundles: JwtBundleSet | undefined;
  readonly #realm: string;
  readonly #logger: Logger;

  /** @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID` or `ERR_SPIFFE_OPTION_INVALID`. */
  constructor(identity: JwtVerifier, options: RequireJwtOptions) {
    checkOptions(options, "{ audience: 'reports', allow: 'spiffe://example.org/agents/*' }");
    const jwt = (identity as JwtVerifier | undefined)?.jwt;
    if (jwt === undefined) {
      throw invalid(
        'this identity has nothing to verify them by; give one with jwt, such as a Workload',
      );
    }
    const audience = checkAudience(options.audience);
    this.#verify = (token) =>
      'verify' in jwt ? jwt.verify(token, { audience }) : verifyJwtSvid(token, jwt, { audience });
    // What verifies by itself says so by what it throws.
    this.#bundles = 'verify' in jwt ? undefined : jwt;
    this.accepts = parsePeerRule(options.allow);
    this.#realm = checkRealm(options.realm ?? 'spiffe');
    this.#logger = options.logger ?? SILENT;
  }

  /** Also captures the token on the request when it is let through. */
  async judge(request: JwtCarrier): Promise<JwtSvid | Refusal> {
    const shown = readCredentials(request);
    if (shown.kind === 'none') return { fault: 'unauthenticated', reason: 'it shows no JWT-SVID' };
    if (shown.kind === 'malformed') return { fault: 'invalid_request', reason: shown.reason };
    const state = this.#bundles?.state ?? 'ready';
    if (state !== 'ready' && state !== 'stale')
      return { fault: 'unavailable', reason: `the source of our JWT bundles is ${state}` };
    let svid: JwtSvid;
    try {
      svid = await this.#verify(shown.token);
    } catch (error) {
      return refusalOf(error);
    }
    const reason = whyNot(this.accepts, svid.id);
    if (reason !== undefined)
      return { fault: 'insufficient_scope', reason, caller: svid.id.toString() };
    captureJwt(request, svid);
    return svid;
  }

  refuse(response: ForbiddenResponse, { fault, ...fields }: Refusal): void {
    this.#logger.warn(fields, REFUSED);
    refuse(response, this.#realm, fault);
  }
}

function refusalOf(error: unknown): Refusal {
  const { code, message: reason } =
    error instanceof SpiffeError ? error : { code: '', message: 'the JWT source failed' };
  return { fault: OF_THE_TOKEN.has(code) ? 'invalid_token' : 'unavailable', code, reason };
}

function checkAudience(audience: unknown): readonly string[] {
  const names: readonly unknown[] = [audience].flat();
  // JWT-12: with nothing that we answer to, nothing validates.
  if (names.length > 0 && names.every((name) => typeof name === 'string' && name !== ''))
    return names as readonly string[];
  throw invalid('name the audience: what this service is called in tokens that are for it');
}

function invalid(why: string): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_OPTION_INVALID', `cannot require JWT-SVIDs: ${why}`);
}
