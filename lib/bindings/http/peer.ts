import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Http2ServerRequest, Http2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import { SpiffeError } from '../../errors.js';
import { carriedPeer, NOBODY } from '../../identity/peer.js';
import { REFUSED, whyNotPeer } from '../../identity/peer-refusal.js';
import { type PeerRule, parsePeerRule } from '../../identity/peer-rule.js';
import type { Peer } from '../../identity/source.js';
import { checkLogger, type Logger, SILENT } from '../../log.js';

/** What a peer can be read from: a request, a socket, or a stream of http2. */
export type PeerCarrier = IncomingMessage | Http2ServerRequest | Http2Stream | Duplex;

/**
 * Who is at the other end, as verified when the connection was made.
 *
 * @throws SpiffeError `ERR_SPIFFE_PEER_UNKNOWN` when no gate of this library has verified the connection, or, for
 * http2, when it is gone; `ERR_SPIFFE_PEER_NO_CERTIFICATE` for a client without an SVID, which only a server meets that
 * allows `UNAUTHENTICATED_CLIENTS`.
 */
export function peerOf(carrier: PeerCarrier): Peer {
  const peer = peerIfAny(carrier);
  if (peer !== undefined) return peer;
  throw new SpiffeError(
    'ERR_SPIFFE_PEER_NO_CERTIFICATE',
    'cannot tell who is at the other end: the client showed no SVID, and the server allows UNAUTHENTICATED_CLIENTS; ask peerIfAny, or put requirePeer before the handler',
  );
}

/**
 * Who is at the other end, where a server allows `UNAUTHENTICATED_CLIENTS`: `undefined` for a client that showed no SVID.
 *
 * @throws SpiffeError `ERR_SPIFFE_PEER_UNKNOWN` as {@link peerOf} does.
 */
export function peerIfAny(carrier: PeerCarrier): Peer | undefined {
  const { peer, cause } = carriedPeer(carrier);
  if (peer === NOBODY) return undefined;
  if (peer !== undefined) return peer;
  throw new SpiffeError(
    'ERR_SPIFFE_PEER_UNKNOWN',
    'cannot tell who is at the other end: the connection is gone, or it did not pass a gate; make the server with createServer, or protect it',
    { cause },
  );
}

/** Middleware for whoever calls handlers as `(req, res, next)`: Express and its kin, or a plain handler. */
export type PeerMiddleware = (
  request: IncomingMessage | Http2ServerRequest,
  response: ForbiddenResponse,
  next: () => void,
) => void;

/** The part of a response that a refusal needs. */
export interface ForbiddenResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(body: string): unknown;
}

/**
 * Narrows a route to some of the peers that the server lets in: all others get a 403 that does not say who would be
 * let through.
 *
 * @param options - `logger`: told of each refusal, with the peer's ID. Default: silent.
 * @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID`, here and not at the first request.
 */
export function requirePeer(
  rule: PeerRule,
  options: { readonly logger?: Logger } = {},
): PeerMiddleware {
  const accepts = parsePeerRule(rule);
  const logger = checkLogger(options.logger ?? SILENT);
  return (request, response, next) => {
    const { peer } = carriedPeer(request);
    const reason = whyNotPeer(peer, accepts);
    if (reason === undefined) {
      next();
      return;
    }
    const shown = peer === NOBODY ? undefined : peer?.id.toString();
    logger.warn({ peer: shown, reason }, REFUSED);
    answer(response, 403);
  };
}

/** Who is at the other end; `undefined` for nobody, and where no gate has looked. */
export function shownPeer(carrier: PeerCarrier): Peer | undefined {
  const { peer } = carriedPeer(carrier);
  return peer === NOBODY ? undefined : peer;
}

/** Answers with a status that says nothing more. */
export function answer(response: ForbiddenResponse, status: number): void {
  response.statusCode = status;
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end(`${STATUS_CODES[status]}\n`);
}
