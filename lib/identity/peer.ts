import type { JwtSvid } from './jwt/svid.js';
import type { Peer } from './source.js';

/** In place of a peer, on a connection whose other end showed no certificate at a gate that asks for none. */
export const NOBODY: unique symbol = Symbol('agent-spiffe: nobody');

const PEER = Symbol('agent-spiffe: the verified peer');

/**
 * Puts the verified peer on a connection, once and for all: a second call for the same one throws a `TypeError`.
 * A symbol and not a WeakMap, since http2 hands out proxies of its socket, which pass properties on but are no key.
 */
export function capturePeer(connection: object, peer: Peer | typeof NOBODY): void {
  const value =
    peer === NOBODY
      ? NOBODY
      : Object.freeze({ id: peer.id, chain: Object.freeze([...peer.chain]) });
  Object.defineProperty(connection, PEER, { value });
}

/** What the gate put on this connection, or on the one that it is a proxy of; `undefined` when it passed no gate. */
export function capturedPeer(connection: object): Peer | typeof NOBODY | undefined {
  return (connection as { readonly [PEER]?: Peer | typeof NOBODY })[PEER];
}

interface Layers {
  readonly socket?: object | null;
  readonly session?: { readonly socket: object };
}

/** What the gate put on the connection of a request, a socket or a stream of http2; `cause` where that is gone. */
export function carriedPeer(carrier: object): {
  readonly peer?: Peer | typeof NOBODY | undefined;
  readonly cause?: unknown;
} {
  try {
    const { socket, session } = carrier as Layers;
    const peer =
      capturedPeer(carrier) ??
      (socket ? capturedPeer(socket) : undefined) ??
      (session ? capturedPeer(session.socket) : undefined);
    return { peer };
  } catch (cause) {
    // http2 throws when it is asked for the socket of a session that has ended.
    return { cause };
  }
}

const TOKEN = Symbol('agent-spiffe: the verified JWT-SVID');

/** Puts the JWT-SVID of a request on it, once that is verified. */
export function captureJwt(request: object, svid: JwtSvid): void {
  Object.defineProperty(request, TOKEN, { value: svid, configurable: true });
}

/** What was verified of this request, or of the one that it is a proxy of. */
export function capturedJwt(request: object): JwtSvid | undefined {
  return (request as { readonly [TOKEN]?: JwtSvid })[TOKEN];
}
