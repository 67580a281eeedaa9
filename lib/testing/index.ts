export type { Clock, ClockTimer } from '../internal/clock.js';
export type {
  JwtBundlesResponse,
  JwtSvidEntry,
  JwtSvidResponse,
  ValidateJwtSvidResponse,
  X509BundlesResponse,
  X509SvidEntry,
  X509SvidResponse,
} from '../sources/workload-api/proto.js';
export type { Struct, StructValue } from '../sources/workload-api/struct.js';
export type { Authority } from './authority.js';
export {
  type IssuedSvid,
  type IssueJwtOptions,
  type IssueOptions,
  TestCa,
  type TestCaOptions,
} from './ca.js';
export type { ReceivedCall } from './call-log.js';
export { FakeClock } from './clock.js';
export type { Corruption } from './faulty-messages.js';
export type { IdentityState, ServedIdentity } from './identities.js';
export type { JwtSigningAlgorithm } from './jwt-authority.js';
export type { KeyType } from './keys.js';

export { WorkloadApiServer, type WorkloadApiServerOptions } from './workload-api-server.js';
