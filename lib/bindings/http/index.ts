// Not the global types of the same names, which differ a little.
export type { Dispatcher, Response } from 'undici';
export type { PemCertificates } from '../../tls/rule.js';
export type { ProtectOptions, ServerOptions } from '../../tls/server-options.js';
export { type AgentOptions, createAgent } from './agent.js';
export type { ClientOptions } from './client-options.js';
export { createDispatcher, type DispatcherOptions, type UndiciPoolOptions } from './dispatcher.js';
export { acceptEither, type Caller, callerOf } from './either.js';
export {
  createFetch,
  type FetchInit,
  type FetchOptions,
  type Redirects,
  type SpiffeFetch,
} from './fetch.js';
export {
  type JwtCarrier,
  type JwtVerifier,
  jwtOf,
  type RequireJwtOptions,
  requireJwt,
} from './jwt.js';
export {
  type ForbiddenResponse,
  type PeerCarrier,
  type PeerMiddleware,
  peerIfAny,
  peerOf,
  requirePeer,
} from './peer.js';
export { createServer, protect } from './server.js';
export type { JwtBinding, PeerBinding, Peers, SpiffeBinding, WebBinding } from './targets.js';
