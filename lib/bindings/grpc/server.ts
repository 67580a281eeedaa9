import type { Socket } from 'node:net';
import { type TLSSocket, Server as TlsServer } from 'node:tls';
import {
  type ConnectionInjector,
  experimental,
  type Server,
  ServerCredentials,
} from '@grpc/grpc-js';
import { SpiffeError } from '../../errors.js';
import type { Identity } from '../../identity/source.js';
import { checkIdentity } from '../../tls/identity.js';
import { guardServer } from '../../tls/serve.js';
import {
  parseHandshakeTimeout,
  parseProtect,
  type ServerOptions,
} from '../../tls/server-options.js';
import { withPeer } from './peer.js';

/**
 * Makes the port of a gRPC server, over mutual TLS, in place of `bindAsync`: a `tls.Server` to call `listen` on. It
 * presents the newest SVID of `identity`, and hands a connection to grpc-js only when its client holds a valid SVID and
 * meets `allow`. {@link peerOf} tells a handler who it is. Connections, and the calls on them, end when the identity is
 * withdrawn or the peer's trust domain is no longer trusted.
 *
 * `close()` lets the calls in flight end, and `tryShutdown` and `forceShutdown` of `server` close the port as well.
 *
 * @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID` or `ERR_SPIFFE_OPTION_INVALID`.
 */
export function createServer(
  identity: Identity,
  options: ServerOptions,
  server: Server,
): TlsServer {
  const handshakeTimeout = parseHandshakeTimeout(options);
  const guard = parseProtect(options);
  checkIdentity(identity);
  if (typeof (server as Partial<Server> | undefined)?.createConnectionInjector !== 'function') {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      'cannot serve gRPC by this: give the Server of @grpc/grpc-js that has the services',
    );
  }
  const port = new GrpcPort(server, handshakeTimeout);
  guardServer(port, identity, guard);
  shutDownTogether(server, port);
  return port;
}

class GrpcPort extends TlsServer {
  readonly #injector: ConnectionInjector;
  readonly #sockets = new Set<Socket>();
  #closing = false;

  constructor(server: Server, handshakeTimeout: number) {
    super({ ALPNProtocols: ['h2'], handshakeTimeout, noDelay: true });
    const credentials = ServerCredentials.createInsecure();
    this.#injector = server.createConnectionInjector(
      experimental.createServerCredentialsWithInterceptors(credentials, [withPeer]),
    );
    this.on('connection', (socket: Socket) => this.#hold(socket));
    this.on('secureConnection', (socket) => this.#serve(socket));
  }

  override close(done?: (error?: Error) => void): this {
    this.#closing = true;
    this.#injector.destroy();
    return super.close(done);
  }

  closeAtOnce(): void {
    this.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: TLSSocket): void {
    // The end of a connection is none of a server that serves others.
    socket.on('error', () => {});
    this.#hold(socket);
    // Its handshake was under way when the port was closed: grpc-js would serve it all the same.
    if (this.#closing) socket.destroy();
    else this.#injector.injectConnection(socket);
  }

  #hold(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}

/** grpc-js knows nothing of a port that it did not bind, and goes on to serve what comes from there. */
function shutDownTogether(server: Server, port: GrpcPort): void {
  const tryShutdown = server.tryShutdown.bind(server);
  const forceShutdown = server.forceShutdown.bind(server);
  server.tryShutdown = (callback) => {
    let waiting = 2;
    let failure: Error | undefined;
    const one = (error?: Error): void => {
      failure ??= error;
      waiting -= 1;
      if (waiting === 0) callback(failure);
    };
    // Whether it ever listened is not asked.
    port.close(() => one());
    tryShutdown(one);
  };
  server.forceShutdown = () => {
    port.closeAtOnce();
    forceShutdown();
  };
}
