import { SpiffeError } from '../../errors.js';
import type { JwtBundles } from '../../identity/jwt/bundles.js';
import type { JwtSvid } from '../../identity/jwt/svid.js';
import { VerifiedTokens } from '../../identity/jwt/verified-tokens.js';
import type {
  JwtBundleSet,
  JwtFetchOptions,
  JwtVerifyOptions,
  SourceState,
  X509Snapshot,
} from '../../identity/source.js';
import { SpiffeId } from '../../identity/spiffe-id.js';
import type { TrustDomain } from '../../identity/trust-domain.js';
import { checkOptions } from '../../internal/options.js';
import { quote } from '../../internal/quote.js';
import { firstState } from '../first-state.js';
import { TokenCache, type TokenRequest } from '../token-cache.js';
import type { JwtValidateOptions, JwtValidation, WorkloadJwt } from '../workload-jwt.js';
import { type BundleContent, jwtBundleReader } from './bundle-streams.js';
import { call } from './call.js';
import { INVALID_ARGUMENT, type StreamEnd } from './failure.js';
import { readJwtSvid, readValidation } from './jwt-content.js';
import { FETCH_JWT_SVID, type JwtBundlesResponse, VALIDATE_JWT_SVID } from './proto.js';
import { type SourceEnvironment, SupervisedState } from './supervised-state.js';

/** How long the first bundles are waited for. */
const FIRST_BUNDLES_MS = 10_000;
const NO_BUNDLES = {
  pending: 'no JWT bundle has come yet',
  revoked: 'the JWT bundles of this process were withdrawn',
};

const EXAMPLE = "{ audience: 'reports' }";

/** The X.509 state on which the tokens depend: whose they are, and whether they may be used. */
export interface FollowedX509 {
  readonly now: X509Snapshot;
}

/** The JWT-SVIDs of a workload, got when they are asked for, and the bundles of others, kept new by a supervised stream. */
export class WorkloadJwtSource implements WorkloadJwt {
  /** A view: it shows the bundles of the newest state, whenever it is asked. */
  readonly bundles: JwtBundleSet = Object.freeze({
    get: (trustDomain: TrustDomain | string) => this.#state.held.now.bundles.get(trustDomain),
  });
  readonly #environment: SourceEnvironment;
  readonly #x509: FollowedX509;
  readonly #state: SupervisedState<JwtBundlesResponse, BundleContent<JwtBundles>>;
  readonly #tokens: TokenCache;
  /** The tokens that are kept apart, and what keeps them. */
  readonly #apart = new Map<AbortSignal, TokenCache>();
  /** What was verified by the bundles of one state goes with them. */
  readonly #verified = new WeakMap<JwtBundles, VerifiedTokens>();
  #followed: X509Snapshot;
  #started = false;

  constructor(environment: SourceEnvironment, x509: FollowedX509) {
    this.#environment = environment;
    this.#x509 = x509;
    this.#followed = x509.now;
    this.#state = new SupervisedState(environment, jwtBundleReader(environment.limits));
    this.#tokens = this.#newCache();
  }

  /** Starts the stream of bundles, on first use. */
  start(): this {
    if (!this.#started && this.state !== 'closed') {
      this.#started = true;
      this.#state.start();
    }
    return this;
  }

  get state(): SourceState {
    return this.#state.held.now.state;
  }

  async fetch(options: JwtFetchOptions): Promise<JwtSvid> {
    const request: TokenRequest = {
      audience: checkAudience(checkOptions(options, EXAMPLE).audience, 'fetch'),
      subject: this.#subject(options.id),
    };
    if (this.#isClosed) throw this.#absence();
    const { during, signal } = options;
    return (during === undefined ? this.#tokens : this.#tokensDuring(during)).get(request, signal);
  }

  async verify(token: string, options: JwtVerifyOptions): Promise<JwtSvid> {
    const { signal, ...rest } = checkOptions(options, EXAMPLE);
    signal?.throwIfAborted();
    if (this.state === 'pending') await this.#firstBundles(signal);
    const { state, bundles } = this.#state.held.now;
    if (state !== 'ready' && state !== 'stale') throw this.#absence();
    const now = rest.now ?? new Date(this.#environment.clock.now());
    return this.#verifiedBy(bundles).verify(token, { ...rest, now });
  }

  async validate(token: string, options: JwtValidateOptions): Promise<JwtValidation> {
    const [audience = ''] = checkAudience([checkOptions(options, EXAMPLE).audience], 'validate');
    if (typeof token !== 'string' || token === '')
      throw invalid('cannot validate a JWT-SVID: the token is a string that is not empty');
    if (this.#isClosed) throw this.#absence();
    try {
      const response = await call(
        this.#environment,
        VALIDATE_JWT_SVID,
        { audience, svid: token },
        { signal: options.signal, refusal: (end) => refused(end, token) },
      );
      return readValidation(response, audience);
    } catch (error) {
      // A connection that is closed under a call looks like one that was lost.
      throw this.#isClosed ? this.#absence() : error;
    }
  }

  /**
   * To be called in the turn in which the X.509 state changes. A withdrawn identity takes its tokens with it, those under
   * way included; loss of the transport does not.
   */
  follow(): void {
    const before = this.#followed;
    const { state, svids } = this.#x509.now;
    this.#followed = this.#x509.now;
    // Whoever closes the one closes the other, and tells so.
    if (state === 'closed') return;
    if (state === 'revoked' || state === 'failed') {
      if (before.state !== state) this.#clear(withdrawn('the identity of this process'));
      return;
    }
    for (const { id } of before.svids) {
      if (svids.some((one) => one.id.equals(id))) continue;
      for (const tokens of this.#caches())
        tokens.forget(id.toString(), withdrawn(`the identity ${id}`));
    }
  }

  /** Ends the stream and lets go of every token; whoever waits for one is told. */
  close(): void {
    this.#state.close();
    this.#clear(this.#absence());
  }

  toJSON(): object {
    return {
      state: this.state,
      bundles: Array.from(this.#state.held.now.bundles, ({ trustDomain }) => trustDomain.name),
    };
  }

  get #isClosed(): boolean {
    return this.state === 'closed';
  }

  #newCache(): TokenCache {
    const load = (request: TokenRequest, signal: AbortSignal): Promise<JwtSvid> =>
      this.#load(request, signal);
    return new TokenCache({ ...this.#environment, load });
  }

  #tokensDuring(signal: AbortSignal): TokenCache {
    signal.throwIfAborted();
    const known = this.#apart.get(signal);
    if (known !== undefined) return known;
    const tokens = this.#newCache();
    this.#apart.set(signal, tokens);
    const drop = (): void => {
      this.#apart.delete(signal);
      tokens.clear(signal.reason);
    };
    signal.addEventListener('abort', drop, { once: true });
    return tokens;
  }

  #caches(): readonly TokenCache[] {
    return [this.#tokens, ...this.#apart.values()];
  }

  #clear(error: SpiffeError): void {
    for (const tokens of this.#caches()) tokens.clear(error);
  }

  #subject(id: SpiffeId | string | undefined): string {
    if (id !== undefined) return (id instanceof SpiffeId ? id : SpiffeId.parse(id)).toString();
    return this.#x509.now.svid?.id.toString() ?? '';
  }

  async #load(request: TokenRequest, signal: AbortSignal): Promise<JwtSvid> {
    const { audience, subject } = request;
    const asked = { audience, spiffeId: subject };
    const response = await call(this.#environment, FETCH_JWT_SVID, asked, { signal });
    return readJwtSvid(response, request, this.#environment.clock.now());
  }

  async #firstBundles(signal: AbortSignal | undefined): Promise<void> {
    this.start();
    const { held } = this.#state;
    await firstState(
      { trouble: undefined, updates: (options) => held.updates(options.signal) },
      {
        clock: this.#environment.clock,
        signal,
        timeoutMs: FIRST_BUNDLES_MS,
        timedOut: () => this.#absence(),
      },
    );
  }

  #verifiedBy(bundles: JwtBundles): VerifiedTokens {
    const known = this.#verified.get(bundles) ?? new VerifiedTokens(bundles);
    this.#verified.set(bundles, known);
    return known;
  }

  #absence(): SpiffeError {
    return this.#state.held.absence(NO_BUNDLES);
  }
}

function checkAudience(audience: unknown, verb: string): readonly string[] {
  // A copy has no holes, which `every` would pass over.
  const list: readonly unknown[] = Array.isArray(audience)
    ? Array.from<unknown>(audience)
    : [audience];
  // WLA-10, WLA-28: at least one.
  if (list.length === 0 || !list.every((name) => typeof name === 'string' && name !== ''))
    throw invalid(
      `cannot ${verb} a JWT-SVID without an audience: name the service that it is for; no name is empty`,
    );
  return [...new Set(list as readonly string[])].toSorted();
}

/** this status, for a call that was well-formed, is the verdict on the token. */
function refused(end: StreamEnd, token: string): SpiffeError | undefined {
  if (end.status !== INVALID_ARGUMENT) return undefined;
  const said = quote(end.details.replaceAll(token, '(the token)'));
  return new SpiffeError(
    'ERR_SPIFFE_JWT_UNTRUSTED',
    `the Workload API does not hold this JWT-SVID to be valid: ${said}`,
    { grpcStatus: end.status },
  );
}

function withdrawn(whose: string): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_SVID_REVOKED',
    `${whose} was withdrawn while a JWT-SVID was on its way`,
  );
}

function invalid(message: string): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_OPTION_INVALID', message);
}
