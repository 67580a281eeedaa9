import type { Socket } from 'node:net';
import { CallCredentials, ChannelCredentials, type experimental } from '@grpc/grpc-js';
import type { Identity } from '../../identity/source.js';
import { connect } from '../../tls/connect.js';
import type { Rule } from '../../tls/rule.js';

/** Who is connected to, and as whom. */
export interface MutualTls {
  readonly identity: Identity;
  readonly host: string;
  readonly port: number;
  readonly rule: Rule;
}

/**
 * Mutual TLS for a channel of gRPC by the gate that every connection of this library passes: with the newest SVID, and
 * no byte of gRPC before the peer is verified. What was verified last failed for {@link trouble}, if it did.
 */
export class MutualTlsCredentials extends ChannelCredentials {
  /** Why the last connection was not made, while that is so. */
  trouble: unknown;
  readonly #tls: MutualTls;
  readonly #sockets = new Set<Socket>();
  #destroyed = false;

  constructor(tls: MutualTls) {
    super();
    this.#tls = tls;
  }

  /** Closes every connection made with these, and those still being made. */
  destroy(): void {
    this.#destroyed = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  override _isSecure(): boolean {
    return true;
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
      connect: async (transport) => {
        this.#hold(transport);
        try {
          const socket = await connect(this.#tls.identity, {
            ...this.#tls,
            transport,
            alpn: ['h2'],
          });
          this.trouble = undefined;
          this.#hold(socket);
          return { socket, secure: true };
        } catch (error) {
          this.trouble = error;
          throw error;
        }
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials,
      destroy: () => {},
    };
  }

  #hold(socket: Socket): void {
    // A channel closed meanwhile would forget it.
    if (this.#destroyed) socket.destroy();
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
