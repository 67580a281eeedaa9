import type { Socket } from 'node:net';
import { CallCredentials, ChannelCredentials, type experimental } from '@grpc/grpc-js';
import { SpiffeError } from '../../errors.js';
import type { Identity, Verifier } from '../../identity/source.js';
import { connect } from '../../tls/connect.js';
import type { Rule } from '../../tls/rule.js';

/** As whom a channel is opened, and who must answer. */
export interface MutualTls {
  readonly identity: Identity | Verifier;
  readonly rule: Rule;
  /** For the handshake, in milliseconds. */
  readonly timeoutMs: number;
  /** What each call carries. Default: nothing. */
  readonly each?: CallCredentials;
}

/** The part of a channel's target that its connections have to know. */
interface ChannelTarget {
  readonly scheme?: string;
  readonly path: string;
}

/**
 * Mutual TLS for a channel of gRPC by the gate that every connection of this library passes: with the newest SVID, and
 * no byte of gRPC before the peer is verified. It equals itself alone, so that a connection made under one rule is never
 * shared with a channel under another.
 */
export class MutualTlsCredentials extends ChannelCredentials {
  readonly #tls: MutualTls;
  readonly #sockets = new Set<Socket>();
  #lastFailure: unknown;
  #closed = false;

  constructor(tls: MutualTls) {
    super();
    this.#tls = tls;
  }

  /** Why the newest attempt to connect failed; `undefined` once one has succeeded. */
  get lastFailure(): unknown {
    return this.#lastFailure;
  }

  /** Closes every connection made with these, and those still being made; none is made any more. */
  close(): void {
    this.#closed = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    target: ChannelTarget,
    _options: unknown,
    callCredentials: CallCredentials = CallCredentials.createEmpty(),
  ): experimental.SecureConnector {
    const { each } = this.#tls;
    const carried = each === undefined ? callCredentials : each.compose(callCredentials);
    return {
      connect: async (transport) => {
        try {
          const socket = await this.#connect(target, transport);
          return { socket, secure: true };
        } catch (error) {
          this.#lastFailure = error;
          throw error;
        }
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => carried,
      destroy: () => {},
    };
  }

  async #connect(target: ChannelTarget, transport: Socket): Promise<Socket> {
    if (this.#closed) {
      throw new SpiffeError(
        'ERR_SPIFFE_SOURCE_CLOSED',
        'cannot open a channel: its credentials are closed',
      );
    }
    this.#hold(transport);
    const { identity, rule, timeoutMs } = this.#tls;
    const socket = await connect(identity, {
      ...placeOf(target, transport),
      rule,
      timeoutMs,
      transport,
      alpn: ['h2'],
    });
    this.#lastFailure = undefined;
    this.#hold(socket);
    const destroy = socket.destroy.bind(socket);
    socket.destroy = (reason) => {
      // Withdrawn, or a server that refuses us, which says so only after the handshake, by closing.
      if (reason !== undefined) this.#lastFailure = reason;
      return destroy(reason instanceof SpiffeError ? connectionLost(reason) : reason);
    };
    return socket;
  }

  #hold(socket: Socket): void {
    // Closed meanwhile.
    if (this.#closed) socket.destroy();
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}

/** For any error but a few of Node's own, grpc-js would call it a fault of the client itself: `INTERNAL`. */
function connectionLost(cause: SpiffeError): Error {
  return Object.assign(new Error(cause.message, { cause }), { code: 'ECONNRESET' });
}

const HOST_AND_PORT = /^(?:\[([^\]]*)\]|([^:,]*))(?::(\d+))?$/;

/** What was dialled: by the target, which has the name that is sent as SNI, or else by the connection that was made. */
function placeOf(
  { scheme, path }: ChannelTarget,
  { remoteAddress, remotePort }: Socket,
): { readonly host: string; readonly port: number } {
  const [, ipv6, name, port] = (scheme !== 'unix' && HOST_AND_PORT.exec(path)) || [];
  const host = (ipv6 ?? name) || (remoteAddress ?? path);
  return { host, port: Number(port ?? remotePort ?? 0) };
}
