import { checkServerIdentity, type TLSSocket } from 'node:tls';
import { SpiffeError, type SpiffeErrorCode } from '../errors.js';
import { type DialOptions, dial, placeOf, verified } from './connect.js';
import { webContextOf } from './context.js';
import type { WebRule } from './rule.js';

/** Options of {@link connectWeb}. */
export interface WebOptions extends DialOptions {
  readonly rule: WebRule;
}

/**
 * Opens a connection to an origin of the web: the server is verified by roots and host name, as a browser would, before
 * a byte of the application moves. Nothing of our identity is shown, whatever the server asks for, and no peer is
 * captured. The connection rests on no identity, so no withdrawal closes it.
 *
 * @throws SpiffeError `ERR_SPIFFE_CONNECT_FAILED`, `ERR_SPIFFE_HANDSHAKE_TIMEOUT`, `ERR_SPIFFE_HANDSHAKE_FAILED`;
 * `ERR_SPIFFE_PEER_NOT_ALLOWED` for another host's certificate, `ERR_SPIFFE_X509_EXPIRED`, or
 * `ERR_SPIFFE_X509_UNTRUSTED`.
 */
export async function connectWeb(options: WebOptions): Promise<TLSSocket> {
  options.signal?.throwIfAborted();
  const socket = dial(options, {
    secureContext: webContextOf(options.rule),
    // Said outright: left out, NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would switch it off.
    rejectUnauthorized: true,
    checkServerIdentity,
  });
  const explain = (cause: unknown): SpiffeError | undefined => {
    // Set by Node when it was the certificate, and only then.
    const code: unknown = socket.authorizationError;
    return typeof code === 'string' ? refused(options, code, cause) : undefined;
  };
  return await verified(socket, { ...options, explain }, () => {});
}

const OUT_OF_TIME = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);

function refused(options: WebOptions, code: string, cause: unknown): SpiffeError {
  const message = `refused the server at ${placeOf(options)}: expected a certificate of the web for ${options.host}, but it ${faultOf(code)}`;
  return new SpiffeError(codeFor(code), message, { cause });
}

function codeFor(code: string): SpiffeErrorCode {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'ERR_SPIFFE_PEER_NOT_ALLOWED';
  return OUT_OF_TIME.has(code) ? 'ERR_SPIFFE_X509_EXPIRED' : 'ERR_SPIFFE_X509_UNTRUSTED';
}

function faultOf(code: string): string {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'showed that of another host';
  return `showed one that does not verify: ${code}`;
}
