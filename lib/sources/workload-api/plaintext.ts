import type { Socket } from 'node:net';
import { CallCredentials, ChannelCredentials, type experimental } from '@grpc/grpc-js';

/**
 * The plaintext of a Workload Endpoint (SPIFFE_Workload_Endpoint 3.1), with the sockets in our hand: a channel that is
 * closed waits for a server that has taken the connection and never answers, and holds the socket for as long.
 */
export class PlaintextCredentials extends ChannelCredentials {
  readonly #sockets = new Set<Socket>();
  #destroyed = false;

  /** Closes every connection made with these, and those still being made. */
  destroy(): void {
    this.#destroyed = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  override _isSecure(): boolean {
    return false;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    _target: unknown,
    _options: unknown,
    callCredentials: CallCredentials = CallCredentials.createEmpty(),
  ): experimental.SecureConnector {
    return {
      connect: (socket) => {
        // On this rejection grpc-js closes the socket; a channel closed meanwhile would forget it.
        if (this.#destroyed) return Promise.reject(new Error('the channel was closed'));
        this.#sockets.add(socket);
        socket.once('close', () => this.#sockets.delete(socket));
        return Promise.resolve({ socket, secure: false });
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials,
      destroy: () => {},
    };
  }
}
