import type { TLSSocket } from 'node:tls';
import { SpiffeError } from '../errors.js';
import type { SpiffeId } from '../identity/spiffe-id.js';

/** RFC 8446 §6.2: the alerts that say that it is our certificate which the peer does not take. */
const ABOUT_OUR_CERTIFICATE =
  /ALERT_(?:BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(?:REVOKED|EXPIRED|UNKNOWN|REQUIRED)|UNKNOWN_CA|ACCESS_DENIED)$/;
const ALERT_OR_RESET = /^(?:ECONNRESET|ECONNABORTED|EPIPE|ERR_SSL_.*ALERT_.*)$/;

/** `code` of what Node or OpenSSL threw, or an empty text. */
export function codeOf(error: unknown): string {
  const code: unknown = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

/** This error of a handshake means that the peer has refused our certificate. */
export function isRefusalAlert(error: unknown): boolean {
  return ABOUT_OUR_CERTIFICATE.test(codeOf(error));
}

/** The other end let the handshake finish, or sent an alert, and closed: we were not let in. */
export function refusedByPeer(
  own: SpiffeId | undefined,
  where: string,
  cause?: unknown,
): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_REFUSED_BY_PEER',
    `${where} closed the connection before any response: does the server allow ${own ?? 'clients without an SVID'}?`,
    { cause },
  );
}

/**
 * Under TLS 1.3 the client's handshake is done before the server has seen its certificate, so a refusal looks like a
 * connection that ends at once. Such an end becomes the error of the socket, whoever holds it by then.
 */
export function explainRefusal(socket: TLSSocket, refused: (cause?: unknown) => SpiffeError): void {
  const emit = socket.emit.bind(socket) as Emit;
  // In `emit`, since a listener could not keep the others from taking the end for an ordinary one.
  const explained: Emit = (event, ...args) => {
    if (socket.bytesRead > 0) {
      Reflect.deleteProperty(socket, 'emit');
    } else if (event === 'end') {
      socket.destroy(refused());
      return true;
    } else if (event === 'error' && ALERT_OR_RESET.test(codeOf(args[0]))) {
      const error = refused(args[0]);
      if (socket.destroyed) return emit('error', error);
      // An alert of TLS comes as an event on a socket that is still open.
      socket.destroy(error);
      return true;
    }
    return emit(event, ...args);
  };
  Object.defineProperty(socket, 'emit', { value: explained, configurable: true, writable: true });
}

type Emit = (event: string | symbol, ...args: unknown[]) => boolean;
