/**
 * Every stable error code. Adding one is a minor change, renaming or removing one a major change;
 * decide on the code, never on the text of a message.
 */
const CODES = [
  // What the caller gave
  'ERR_SPIFFE_OPTION_INVALID',
  'ERR_SPIFFE_ID_INVALID',
  'ERR_SPIFFE_TRUST_DOMAIN_INVALID',
  'ERR_SPIFFE_PEER_RULE_INVALID',
  'ERR_SPIFFE_ADDRESS_INVALID',
  // Documents
  'ERR_SPIFFE_X509_SVID_INVALID',
  'ERR_SPIFFE_X509_BUNDLE_INVALID',
  'ERR_SPIFFE_X509_EXPIRED',
  'ERR_SPIFFE_X509_UNTRUSTED',
  'ERR_SPIFFE_JWT_SVID_INVALID',
  'ERR_SPIFFE_JWT_BUNDLE_INVALID',
  'ERR_SPIFFE_JWT_AUDIENCE',
  'ERR_SPIFFE_JWT_EXPIRED',
  'ERR_SPIFFE_JWT_UNTRUSTED',
  'ERR_SPIFFE_BUNDLE_NOT_FOUND',
  // The Workload API, or files, and what they give
  'ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE',
  'ERR_SPIFFE_WORKLOAD_API_DENIED',
  'ERR_SPIFFE_WORKLOAD_API_REJECTED',
  'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID',
  'ERR_SPIFFE_FILES_INVALID',
  'ERR_SPIFFE_FILES_NOT_WRITTEN',
  'ERR_SPIFFE_OPEN_TIMEOUT',
  'ERR_SPIFFE_SVID_NOT_READY',
  'ERR_SPIFFE_SVID_EXPIRED',
  'ERR_SPIFFE_SVID_REVOKED',
  'ERR_SPIFFE_SVID_NOT_FOUND',
  'ERR_SPIFFE_SOURCE_FAILED',
  'ERR_SPIFFE_SOURCE_CLOSED',
  // Connections
  'ERR_SPIFFE_CONNECT_FAILED',
  'ERR_SPIFFE_HANDSHAKE_TIMEOUT',
  'ERR_SPIFFE_HANDSHAKE_FAILED',
  'ERR_SPIFFE_PEER_NO_CERTIFICATE',
  'ERR_SPIFFE_PEER_NOT_ALLOWED',
  'ERR_SPIFFE_PEER_RULE_FAILED',
  'ERR_SPIFFE_PEER_UNKNOWN',
  'ERR_SPIFFE_REFUSED_BY_PEER',
  'ERR_SPIFFE_TRUST_WITHDRAWN',
  // Requests
  'ERR_SPIFFE_TARGET_NOT_BOUND',
  'ERR_SPIFFE_TARGET_INSECURE',
  'ERR_SPIFFE_REDIRECT_REFUSED',
  // Credentials of a task
  'ERR_SPIFFE_CREDENTIAL_DENIED',
  'ERR_SPIFFE_CREDENTIAL_UNAVAILABLE',
  // What a task may do
  'ERR_SPIFFE_DENIED',
  'ERR_SPIFFE_NO_TASK',
  'ERR_SPIFFE_TASK_NESTED',
  'ERR_SPIFFE_TASK_ENDED',
  'ERR_SPIFFE_GUARD_SEALED',
  'ERR_SPIFFE_GRANT_INVALID',
  'ERR_SPIFFE_REVOCATION_LIST_INVALID',
  'ERR_SPIFFE_POLICY_INVALID',
  'ERR_SPIFFE_AUDIT_UNAVAILABLE',
  'ERR_SPIFFE_AUDIT_INVALID',
] as const;

/** All of them, frozen. */
export const SPIFFE_ERROR_CODES: readonly SpiffeErrorCode[] = Object.freeze([...CODES]);

/** A stable error code of this library. */
export type SpiffeErrorCode = (typeof CODES)[number];

/** What a {@link SpiffeError} carries beside its code and message. */
export interface SpiffeErrorOptions {
  /** What led to this error, kept whole. */
  readonly cause?: unknown;
  /** The gRPC status number, where a Workload API call ended with one. */
  readonly grpcStatus?: number;
}

/**
 * Everything that this library throws on purpose, a caller's bad options included. Only an abort rejects with
 * something else: the `reason` of the signal.
 */
export class SpiffeError extends Error {
  override readonly name: string = 'SpiffeError';
  /** Which kind of failure this is; stable across releases. */
  readonly code: SpiffeErrorCode;
  /** The gRPC status number, where a Workload API call ended with one. */
  declare readonly grpcStatus?: number;

  /** @param message - what was attempted, with which input, what is wrong with it, what to do. */
  constructor(code: SpiffeErrorCode, message: string, options: SpiffeErrorOptions = {}) {
    super(
      `${message} [${code}]`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    if (options.grpcStatus !== undefined) this.grpcStatus = options.grpcStatus;
  }
}
