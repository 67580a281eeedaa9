import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { X509Svid } from '../identity/x509/svid.js';
import { writePem } from '../internal/pem.js';
import type { WebRule } from './rule.js';

/** The oldest version of TLS that is spoken. */
export type TlsFloor = 'TLSv1.2' | 'TLSv1.3';

/**
 * Forward secrecy and authenticated encryption, nothing else; fixed here, so that `--tls-cipher-list` cannot let in
 * a suite in which the peer proves no key.
 */
const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** A resumed session was verified by the bundles of another day; a renegotiated one may show another certificate. */
const SECURE_OPTIONS = constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION;

const contexts = new WeakMap<X509Svid, SecureContext>();

/** What TLS is told, for either role, when it presents `svid`. It holds the private key: let it go at once. */
export function secureContextOptions(
  svid: X509Svid,
  minVersion: TlsFloor = 'TLSv1.2',
): SecureContextOptions {
  return {
    ...protocolOptions(minVersion),
    key: svid.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: svid.certificates.map((der) => writePem(der, 'CERTIFICATE')).join(''),
  };
}

function protocolOptions(minVersion: TlsFloor): SecureContextOptions {
  return {
    // OpenSSL decides about no peer. Left out, this would be the web's roots.
    ca: [],
    ciphers: CIPHERS,
    minVersion,
    secureOptions: SECURE_OPTIONS,
  };
}

let anonymous: SecureContext | undefined;

/** The context in which a client presents no certificate, and the gate decides about the server. */
export function anonymousContext(): SecureContext {
  anonymous ??= createSecureContext(protocolOptions('TLSv1.2'));
  return anonymous;
}

const webContexts = new WeakMap<WebRule, SecureContext>();

/** The context in which a client presents no certificate, and OpenSSL decides about the server by the rule's roots. */
export function webContextOf(rule: WebRule): SecureContext {
  const known = webContexts.get(rule);
  if (known !== undefined) return known;
  const ca = rule.ca === undefined ? undefined : [...rule.ca];
  const context = createSecureContext({ ...protocolOptions('TLSv1.2'), ca });
  webContexts.set(rule, context);
  return context;
}

/** The context in which a client presents `svid`, made once for each. */
export function secureContextOf(svid: X509Svid): SecureContext {
  const known = contexts.get(svid);
  if (known !== undefined) return known;
  const context = createSecureContext(secureContextOptions(svid));
  contexts.set(svid, context);
  return context;
}
