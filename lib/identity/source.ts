import type { JwtBundle } from './jwt/bundle.js';
import type { JwtSvid } from './jwt/svid.js';
import type { VerifyJwtOptions } from './jwt/verify.js';
import type { PeerRule, WEB_PKI } from './peer-rule.js';
import type { SpiffeId } from './spiffe-id.js';
import type { TrustDomain } from './trust-domain.js';
import type { X509Bundle } from './x509/bundle.js';
import type { X509Svid } from './x509/svid.js';

/**
 * How a source of identity is doing.
 *
 * - `pending`: nothing has come yet.
 * - `ready`: the newest material is at hand and its stream is up.
 * - `stale`: the stream is down; the last material serves until it expires.
 * - `revoked`: the identity was withdrawn by its issuer; it may come back.
 * - `failed`: for good: the address is wrong, or the endpoint does not offer the call.
 * - `closed`: closed by its owner.
 */
export type SourceState = 'pending' | 'ready' | 'stale' | 'revoked' | 'failed' | 'closed';

/** Where a verifier finds the bundle of a trust domain; `undefined` means: not trusted. */
export interface X509BundleSet {
  get(trustDomain: TrustDomain | string): X509Bundle | undefined;
  /** All of them, where the set can be listed. */
  [Symbol.iterator]?(): Iterator<X509Bundle>;
}

/** Where a verifier finds the JWT bundle of a trust domain; `undefined` means: not trusted. */
export interface JwtBundleSet {
  get(trustDomain: TrustDomain | string): JwtBundle | undefined;
  /** How its source is doing, where it has one; it tells a domain that is not trusted from bundles that are not there. */
  readonly state?: SourceState;
}

/** One immutable state of a source of bundles. */
export interface X509BundleSnapshot {
  /** Grows by one with each change; a reader that sees a gap has missed the ones between, which no longer hold. */
  readonly sequence: number;
  readonly state: SourceState;
  readonly bundles: X509BundleSet;
}

/** One immutable state of a source. */
export interface X509Snapshot extends X509BundleSnapshot {
  /** The identity picked; `undefined` while there is none. */
  readonly svid: X509Svid | undefined;
  /** All identities, in the issuer's order. */
  readonly svids: readonly X509Svid[];
}

/** A source of the bundles that verify X.509-SVIDs of others, for a process that need not have one of its own. */
export interface X509BundleSource {
  readonly state: SourceState;
  /** The bundles of the newest state; empty once closed, revoked or failed. */
  readonly bundles: X509BundleSet;
  /**
   * The states of this source, the present one first. Each caller has a cursor of its own; a slow one gets the
   * newest state, not every one. Ends after the state `closed` or `failed`; an abort ends it with the signal's reason.
   */
  updates(options?: { readonly signal?: AbortSignal }): AsyncIterable<X509BundleSnapshot>;
}

/** A source of X.509-SVIDs and of the bundles that verify a peer's. */
export interface X509Source extends X509BundleSource {
  /**
   * The identity to use now. Never waits.
   *
   * @throws SpiffeError `ERR_SPIFFE_SVID_NOT_READY`, `ERR_SPIFFE_SVID_EXPIRED`, `ERR_SPIFFE_SVID_REVOKED`,
   * `ERR_SPIFFE_SOURCE_FAILED` or `ERR_SPIFFE_SOURCE_CLOSED`.
   */
  svid(): X509Svid;
  /** All identities, in the issuer's order; throws as {@link X509Source.svid} does. */
  svids(): readonly X509Svid[];
  updates(options?: { readonly signal?: AbortSignal }): AsyncIterable<X509Snapshot>;
}

/** What a JWT-SVID is wanted for. */
export interface JwtFetchOptions {
  /** Whom the token is for: the name of one service, or several. The token names exactly these; at least one. */
  readonly audience: string | readonly string[];
  /** Which of several identities is to be its subject. Default: the one that `x509.svid()` gives, else the issuer's first. */
  readonly id?: SpiffeId | string;
  /** Ends this wait alone; whoever else waits for the same token still gets it. */
  readonly signal?: AbortSignal;
  /**
   * Keeps the token apart, for those who give the same signal, and drops it when that aborts. Default: it is kept for
   * whoever asks, for as long as it is good.
   */
  readonly during?: AbortSignal;
}

/** How {@link JwtSource.verify} is to verify. */
export interface JwtVerifyOptions extends VerifyJwtOptions {
  /** Ends the wait for the first bundles. */
  readonly signal?: AbortSignal;
}

/** A source of JWT-SVIDs and of the bundles that verify those of others. */
export interface JwtSource {
  /**
   * A token for this audience: one that is at hand and good for a while yet, or a new one. Callers who want the same
   * at the same time wait for one call.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` without an audience, `ERR_SPIFFE_ID_INVALID`,
   * `ERR_SPIFFE_WORKLOAD_API_DENIED` when there is no such identity, `ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE`,
   * `ERR_SPIFFE_WORKLOAD_API_REJECTED`, `ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID`, `ERR_SPIFFE_SVID_REVOKED` when the
   * identity was withdrawn meanwhile, `ERR_SPIFFE_SOURCE_CLOSED`. On abort the signal's reason.
   */
  fetch(options: JwtFetchOptions): Promise<JwtSvid>;
  /**
   * Verifies a token of another workload by the bundles at hand, as `verifyJwtSvid` does; waits for the first ones.
   *
   * @throws SpiffeError as `verifyJwtSvid` does, and `ERR_SPIFFE_SVID_REVOKED`, `ERR_SPIFFE_SOURCE_FAILED` or
   * `ERR_SPIFFE_SOURCE_CLOSED` when there are no bundles any more. On abort the signal's reason.
   */
  verify(token: string, options: JwtVerifyOptions): Promise<JwtSvid>;
  /** The bundles of the newest state; empty until they have come, and once closed, revoked or failed. */
  readonly bundles: JwtBundleSet;
}

/** What the rings above are handed: who this process is, and whom it can verify. */
export interface Identity {
  readonly x509: X509Source;
  readonly jwt?: JwtSource;
}

/**
 * Whom this process can verify, without an identity of its own: a client verifies servers by it and shows them no
 * certificate. That its `x509` has no `svid` is what tells it from an {@link Identity}.
 */
export interface Verifier {
  readonly x509: X509BundleSource;
}

/** The part of a response that every fetch gives, whichever library made it. */
export interface BoundResponse {
  readonly status: number;
  readonly ok: boolean;
  readonly headers: { get(name: string): string | null };
  text(): Promise<string>;
  json(): Promise<unknown>;
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** The part of a request's options that every fetch takes. */
export interface BoundRequestInit {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
  readonly signal?: AbortSignal;
}

/** A fetch in which each origin is bound to the peer that must answer there. */
export interface BoundFetch {
  (url: string | URL, init?: BoundRequestInit): Promise<BoundResponse>;
  /**
   * The rule for whoever answers at this URL, known before anything is sent; `WEB_PKI` where no SPIFFE ID is expected.
   *
   * @throws SpiffeError `ERR_SPIFFE_TARGET_NOT_BOUND` or `ERR_SPIFFE_TARGET_INSECURE`, as the request would.
   */
  peerRule(url: string | URL): PeerRule | typeof WEB_PKI;
}

/** Who is at the other end of a connection, as verified when it was made. */
export interface Peer {
  readonly id: SpiffeId;
  /** The certificates of the path that was verified, leaf first and anchor last, as DER. */
  readonly chain: readonly Uint8Array[];
}
