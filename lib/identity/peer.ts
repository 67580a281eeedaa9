import type { Peer } from './source.js';

const PEER = Symbol('agent-spiffe: the verified peer');

/**
 * Puts the verified peer on a connection, once and for all: a second call for the same one throws a `TypeError`.
 * A symbol and not a WeakMap, since http2 hands out proxies of its socket, which pass properties on but are no key.
 */
export function capturePeer(connection: object, peer: Peer): void {
  const value = Object.freeze({ id: peer.id, chain: Object.freeze([...peer.chain]) });
  Object.defineProperty(connection, PEER, { value });
}

/** The peer that the gate put on this connection, or on the one that it is a proxy of. */
export function capturedPeer(connection: object): Peer | undefined {
  return (connection as { readonly [PEER]?: Peer })[PEER];
}
