import type { RequestListener } from 'node:http';
import { createServer as createHttpsServer, type Server } from 'node:https';
import { Server as TlsServer } from 'node:tls';
import { SpiffeError } from '../../errors.js';
import type { Identity } from '../../identity/source.js';
import { checkIdentity } from '../../tls/identity.js';
import { guardServer } from '../../tls/serve.js';
import {
  type ProtectOptions,
  parseHandshakeTimeout,
  parseProtect,
  type ServerOptions,
} from '../../tls/server-options.js';

/**
 * Makes a server over mutual TLS: an `https.Server`, which presents the newest SVID of `identity` and whose handler is
 * reached by no one but peers that hold a valid SVID and meet `allow`. {@link peerOf} tells the handler who it is.
 * Connections close when the identity is withdrawn or the peer's trust domain is no longer trusted.
 *
 * @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID` or `ERR_SPIFFE_OPTION_INVALID`.
 */
export function createServer(
  identity: Identity,
  options: ServerOptions,
  handler?: RequestListener,
): Server {
  const handshakeTimeout = parseHandshakeTimeout(options);
  const server = createHttpsServer({ handshakeTimeout }, handler);
  protect(server, identity, options);
  return server;
}

/**
 * Puts the same gate before a server that someone else made: a framework's `https.Server`, an http2 secure server, any
 * `tls.Server`. Call it before the server listens. The certificates and client checks it was made with are replaced;
 * its limits, such as `handshakeTimeout` (120 s unless given to it), stay. So does what it presents by `SNICallback` or
 * `addContext` to a client that asks for that name; who the client is, is judged all the same.
 *
 * @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID`, or `ERR_SPIFFE_OPTION_INVALID` when the server does not speak
 * TLS, listens already or is protected already.
 */
export function protect(server: TlsServer, identity: Identity, options: ProtectOptions): void {
  if (!(server instanceof TlsServer)) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      'cannot protect this server: it does not speak TLS, so no peer can be verified; make it with https.createServer or http2.createSecureServer',
    );
  }
  if (server.listening) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      'cannot protect this server: it listens already, so someone may have come in unverified; protect it before',
    );
  }
  guardServer(server, checkIdentity(identity), parseProtect(options));
}
