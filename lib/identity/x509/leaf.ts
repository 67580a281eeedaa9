import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';
import { SpiffeId } from '../spiffe-id.js';
import { type Certificate, CRL_SIGN, DIGITAL_SIGNATURE, KEY_CERT_SIGN } from './certificate.js';

/**
 * The SPIFFE ID of a leaf that meets every rule of the X509-SVID standard for one. The same rules judge our own
 * SVID and a peer's; time, signatures and trust are judged elsewhere.
 *
 * @throws SpiffeError `ERR_SPIFFE_X509_SVID_INVALID`, the cause kept when the URI is no SPIFFE ID.
 */
export function leafId(leaf: Certificate): SpiffeId {
  const [uri, ...more] = leaf.uriNames;
  // X509-SVID §2: exactly one URI SAN; a DNS name or the subject never stands in for it.
  if (uri === undefined)
    throw invalid('the leaf has no URI among its subject alternative names (X509-03)');
  if (more.length > 0)
    throw invalid(
      `the leaf has ${leaf.uriNames.length} URIs among its subject alternative names; one is allowed (X509-02)`,
    );
  const id = parse(uri);
  // X509-SVID §5.2: a path that is not the root's.
  if (id.path === '')
    throw invalid(
      `the leaf's SPIFFE ID ${id} has no path; it names a trust domain, not a workload (X509-07)`,
    );
  if (leaf.ca)
    throw invalid(`the certificate of ${id} is a CA's; a CA never identifies a peer (X509-28)`);
  const usage = leaf.keyUsage ?? 0;
  if ((usage & (KEY_CERT_SIGN | CRL_SIGN)) !== 0)
    throw invalid(`the leaf of ${id} may sign certificates or CRLs by its key usage (X509-29)`);
  // X509-SVID §4.3, an issuer's duty that we hold peers to as well.
  if ((usage & DIGITAL_SIGNATURE) === 0)
    throw invalid(`the key usage of the leaf of ${id} lacks digitalSignature (X509-22)`);
  if (leaf.keyKind === undefined)
    throw invalid(
      `the key of the leaf of ${id} is none of RSA from 2048 bits, P-256, P-384, P-521 (A-30)`,
    );
  // RFC 5280 §4.2: a critical extension that is not understood makes the certificate unusable.
  if (leaf.unknownCritical !== undefined)
    throw invalid(
      `the leaf of ${id} has a critical extension that is not understood: ${leaf.unknownCritical} (X509-27)`,
    );
  return id;
}

function parse(uri: string): SpiffeId {
  try {
    return SpiffeId.parse(uri);
  } catch (cause) {
    throw invalid(`the leaf's URI ${quote(uri)} is not a SPIFFE ID (X509-08)`, cause);
  }
}

function invalid(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_X509_SVID_INVALID', `not a valid X.509-SVID: ${why}`, {
    cause,
  });
}
