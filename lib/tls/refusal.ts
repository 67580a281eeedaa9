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
 * connection that ends at once. While nothing has been received, such an end becomes the error of the socket,
 * whoever holds it.
 */
export function explainRefusal(socket: TLSSocket, refused: (cause?: unknown) => SpiffeError): void {
  const push = socket.push.bind(socket);
  const destroy = socket.destroy.bind(socket);
  const emit = socket.emit.bind(socket);
  // Own methods for as long as nothing has come; then those of the prototype again.
  const settle = (): void => {
    for (const method of ['push', 'destroy', 'emit']) Reflect.deleteProperty(socket, method);
  };
  socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null) {
      socket.destroy(refused());
      return false;
    }
    settle();
    return push(chunk, encoding);
  };
  socket.destroy = (error?: Error): TLSSocket => {
    settle();
    return destroy(ALERT_OR_RESET.test(codeOf(error)) ? refused(error) : error);
  };
  // Node tells of an alert by the event itself, and destroys nothing: whoever listens would see OpenSSL's words.
  socket.emit = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event !== 'error' || !ALERT_OR_RESET.test(codeOf(args[0]))) return emit(event, ...args);
    socket.destroy(args[0] as Error);
    return true;
  };
}
