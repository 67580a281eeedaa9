export type { ProtectOptions, ServerOptions } from '../../tls/server-options.js';
export {
  type ChannelCredentialsOptions,
  createChannelCredentials,
  type SpiffeChannelCredentials,
} from './client.js';
export {
  type Method,
  type Methods,
  type PeerCarrier,
  peerIfAny,
  peerOf,
  type RequirePeerOptions,
  requirePeer,
} from './peer.js';
export { createServer } from './server.js';
