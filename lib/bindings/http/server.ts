import type { RequestListener } from 'node:http';
import { createServer as createHttpsServer, type Server } from 'node:https';
import { Server as TlsServer } from 'node:tls';
import { SpiffeError } from '../../errors.js';
import type { PeerRule, UNAUTHENTICATED_CLIENTS } from '../../identity/peer-rule.js';
import type { Identity } from '../../identity/source.js';
import { checkDuration } from '../../internal/options.js';
import { quote } from '../../internal/quote.js';
import type { Logger } from '../../log.js';
import { parseAdmission } from '../../tls/rule.js';
import { guardServer } from '../../tls/serve.js';

/** Options of {@link protect}. */
export interface ProtectOptions {
  /**
   * Whom the server lets in. There is no default. `UNAUTHENTICATED_CLIENTS` lets in everyone: a client that shows a
   * certificate must still be a valid peer, whose ID {@link peerOf} tells; for one that shows none, `peerOf` throws.
   */
  readonly allow: PeerRule | typeof UNAUTHENTICATED_CLIENTS;
  /** The oldest version of TLS that is spoken. Default: `TLSv1.2`. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3';
  /**
   * Told of each peer that is refused, with code, reason and address, and of each connection closed because trust was
   * withdrawn. Default: silent.
   */
  readonly logger?: Logger;
}

/** Options of {@link createServer}. */
export interface ServerOptions extends ProtectOptions {
  /** How long a client may take over its TLS handshake, in milliseconds. Default: 10 000. */
  readonly handshakeTimeoutMs?: number;
}

const HANDSHAKE_TIMEOUT_MS = 10_000;

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
  const { handshakeTimeoutMs = HANDSHAKE_TIMEOUT_MS, ...rest } = options;
  const handshakeTimeout = checkDuration('handshakeTimeoutMs', handshakeTimeoutMs);
  const server = createHttpsServer({ handshakeTimeout }, handler);
  protect(server, identity, rest);
  return server;
}

/**
 * Puts the same gate before a server that someone else made: a framework's `https.Server`, an http2 secure server, any
 * `tls.Server`. Call it before the server listens. The certificates and client checks it was made with are replaced;
 * its limits, such as `handshakeTimeout` (120 s unless given to it), stay.
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
  const { allow, minVersion, logger } = options;
  if (minVersion !== undefined && minVersion !== 'TLSv1.2' && minVersion !== 'TLSv1.3') {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot take ${quote(minVersion)} as minVersion: give TLSv1.2 or TLSv1.3`,
    );
  }
  guardServer(server, identity, {
    ...parseAdmission(allow),
    ...(minVersion === undefined ? {} : { minVersion }),
    ...(logger === undefined ? {} : { logger }),
  });
}
