export { SPIFFE_ERROR_CODES, SpiffeError, type SpiffeErrorCode, type SpiffeErrorOptions } from './errors.js';
export { ANY_SPIFFE_ID, type PeerPredicate, type PeerRule, parsePeerRule } from './identity/peer-rule.js';
export { SpiffeId } from './identity/spiffe-id.js';
export { TrustDomain } from './identity/trust-domain.js';
export type { Logger } from './log.js';
