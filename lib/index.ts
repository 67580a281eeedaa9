export {
  SPIFFE_ERROR_CODES,
  SpiffeError,
  type SpiffeErrorCode,
  type SpiffeErrorOptions,
} from './errors.js';
export { JwtBundle, type JwtBundleOptions } from './identity/jwt/bundle.js';
export { JwtBundles } from './identity/jwt/bundles.js';
export type { JwtSvid } from './identity/jwt/svid.js';
export { type VerifyJwtOptions, verifyJwtSvid } from './identity/jwt/verify.js';
export {
  ANY_SPIFFE_ID,
  type PeerPredicate,
  type PeerRule,
  parsePeerRule,
  UNAUTHENTICATED_CLIENTS,
  WEB_PKI,
} from './identity/peer-rule.js';
export type {
  BoundFetch,
  BoundRequestInit,
  BoundResponse,
  Identity,
  JwtBundleSet,
  JwtFetchOptions,
  JwtSource,
  JwtVerifyOptions,
  Peer,
  SourceState,
  Verifier,
  X509BundleSet,
  X509BundleSnapshot,
  X509BundleSource,
  X509Snapshot,
  X509Source,
} from './identity/source.js';
export { SpiffeId } from './identity/spiffe-id.js';
export { TrustDomain } from './identity/trust-domain.js';
export { X509Bundle } from './identity/x509/bundle.js';
export { X509Bundles } from './identity/x509/bundles.js';
export { X509Svid } from './identity/x509/svid.js';
export { verifyX509Svid } from './identity/x509/verify.js';
export type { Logger } from './log.js';
export {
  type BundleSnapshot,
  BundleSource,
  type BundleSourceOptions,
} from './sources/bundle-source.js';
export type { SvidFileNames } from './sources/files/names.js';
export { SvidFileWriter, type SvidFileWriterOptions } from './sources/files/writer.js';
export { Workload, type WorkloadFilesOptions, type WorkloadOptions } from './sources/workload.js';
export {
  parseWorkloadApiAddress,
  type WorkloadApiAddress,
} from './sources/workload-api/address.js';
export type { WorkloadLimits } from './sources/workload-api/limits.js';
export type { X509SvidPick } from './sources/workload-api/pick.js';
export type { JwtValidateOptions, JwtValidation, WorkloadJwt } from './sources/workload-jwt.js';
