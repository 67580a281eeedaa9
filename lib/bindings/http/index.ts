export {
  type ForbiddenResponse,
  type PeerCarrier,
  type PeerMiddleware,
  peerOf,
  requirePeer,
} from './peer.js';
export { createServer, type ProtectOptions, protect, type ServerOptions } from './server.js';
