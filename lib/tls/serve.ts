import type { Socket } from 'node:net';
import type { Server, TLSSocket } from 'node:tls';
import { SpiffeError } from '../errors.js';
import { capturePeer, NOBODY } from '../identity/peer.js';
import type { Identity } from '../identity/source.js';
import type { X509Svid } from '../identity/x509/svid.js';
import type { Logger } from '../log.js';
import { holdConnection } from './connections.js';
import { secureContextOptions, type TlsFloor } from './context.js';
import { checkPeer, checkPeerIfShown } from './gate.js';
import { codeOf } from './refusal.js';
import type { Rule } from './rule.js';

/** Options of {@link guardServer}. */
export interface GuardOptions {
  /** Who is let in. */
  readonly rule: Rule;
  /** Lets in clients that show no certificate as well. Default: `false`. */
  readonly unauthenticated?: boolean;
  /** Told of each peer that is refused and of each connection withdrawn. */
  readonly logger: Logger;
  /** Default: `TLSv1.2`. */
  readonly minVersion?: TlsFloor;
}

const guarded = new WeakSet<Server>();

/**
 * Puts the gate before a TLS server, whoever made it and whatever it serves: it presents the newest SVID of
 * `identity`, asks every client for one, and lets no listener of the server see a connection before the gate has
 * passed it. What the server was given about certificates before is replaced.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` when the server has a gate already.
 */
export function guardServer(server: Server, identity: Identity, options: GuardOptions): void {
  if (guarded.has(server)) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      'cannot protect this server: it is protected already; give one rule for it',
    );
  }
  guarded.add(server);
  const gate = new ServerGate(server, identity, options);
  // Node reads both for each connection; `setSecureContext` alone would ask no client for a certificate.
  Object.assign(server, { requestCert: true, rejectUnauthorized: false });
  // In `emit` and not in a listener: http2 would announce a session of a peer that was refused, and a listener put in
  // front of ours would run before it.
  const emit = server.emit.bind(server) as (event: string | symbol, ...args: unknown[]) => boolean;
  const gated = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event === 'connection' && !gate.prepare(args[0] as Socket)) return true;
    if (event === 'secureConnection' && !gate.admit(args[0] as TLSSocket)) return true;
    const heard = emit(event, ...args);
    // A plain TLS server leaves the connection of a handshake that took too long open, for as long as its client likes.
    if (event === 'tlsClientError') (args[1] as TLSSocket).destroy();
    return heard;
  };
  Object.defineProperty(server, 'emit', { value: gated, configurable: true, writable: true });
  server.on('tlsClientError', (error, socket) => gate.tellFailure(error, socket));
}

class ServerGate {
  readonly #server: Server;
  readonly #identity: Identity;
  readonly #rule: Rule;
  readonly #check: typeof checkPeerIfShown;
  readonly #minVersion: TlsFloor | undefined;
  readonly #logger: Logger;
  /** The newest, and the one before it: a handshake may have begun under that. */
  #presented: readonly X509Svid[] = [];
  #renamed = false;

  constructor(server: Server, identity: Identity, options: GuardOptions) {
    this.#server = server;
    this.#identity = identity;
    this.#rule = options.rule;
    this.#check = options.unauthenticated === true ? checkPeerIfShown : checkPeer;
    this.#minVersion = options.minVersion;
    this.#logger = options.logger;
  }

  /** Before the handshake: the newest SVID is the one that is presented. Without one there is nobody to talk to. */
  prepare(raw: Socket): boolean {
    try {
      const svid = this.#identity.x509.svid();
      if (svid !== this.#presented[0]) this.#present(svid);
      return true;
    } catch (error) {
      const about = this.#about(raw, error);
      raw.destroy();
      this.#logger.warn(about, 'closed a connection: no SVID to present');
      return false;
    }
  }

  /** After the handshake, before anyone else: in this turn the connection is let in or destroyed. */
  admit(socket: TLSSocket): boolean {
    try {
      const where = `the client at ${socket.remoteAddress}:${socket.remotePort}`;
      const peer = this.#check(socket, this.#identity.x509.bundles, this.#rule, where);
      const local = this.#presentedTo(socket).id;
      capturePeer(socket, peer ?? NOBODY);
      holdConnection(this.#identity.x509, {
        socket,
        local,
        peer: peer?.id,
        withdraw: (reason) => {
          const about = this.#about(socket, reason);
          // Not with the reason as its error: who serves has done nothing wrong, and may not listen.
          socket.destroy();
          this.#logger.info(about, 'closed a connection: trust withdrawn');
        },
      });
      return true;
    } catch (error) {
      const about = this.#about(socket, error);
      socket.destroy();
      this.#logger.warn(about, 'refused a client');
      return false;
    }
  }

  tellFailure(error: Error, socket: TLSSocket): void {
    this.#logger.debug(this.#about(socket, error), 'a TLS handshake failed');
  }

  #present(svid: X509Svid): void {
    this.#server.setSecureContext(secureContextOptions(svid, this.#minVersion));
    // Node keeps the PEM text on the server, where `util.inspect` would show it; it is not read again.
    Object.assign(this.#server, { key: undefined });
    this.#renamed ||= this.#presented.some(({ id }) => !id.equals(svid.id));
    this.#presented = [svid, ...this.#presented.slice(0, 1)];
  }

  /** While there was but one ID it does not matter which it was; else the leaf that was shown says so. */
  #presentedTo(socket: TLSSocket): X509Svid {
    const found = this.#presented.find((svid) => !this.#renamed || showed(socket, svid));
    if (found === undefined) {
      throw new SpiffeError(
        'ERR_SPIFFE_HANDSHAKE_FAILED',
        'refused a client: its handshake was made under an identity that is gone',
      );
    }
    return found;
  }

  #about(socket: Socket, error: unknown): object {
    const { remoteAddress, remotePort } = socket;
    const reason = (error as Partial<Error> | undefined)?.message;
    return { code: codeOf(error), reason, remoteAddress, remotePort };
  }
}

function showed(socket: TLSSocket, { certificates }: X509Svid): boolean {
  const shown = socket.getX509Certificate()?.raw;
  return certificates.slice(0, 1).some((leaf) => shown?.equals(leaf));
}
