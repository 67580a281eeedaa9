import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { SpiffeError, type SpiffeErrorCode } from '../errors.js';
import type { Peer, X509BundleSet } from '../identity/source.js';
import type { SpiffeId } from '../identity/spiffe-id.js';
import { VerifiedChains } from '../identity/x509/verified-chains.js';
import { MAX_CHAIN_LENGTH } from '../identity/x509/verify.js';
import type { Rule } from './rule.js';

/**
 * Decides about the other end of a connection whose handshake is done. OpenSSL has proved that it holds the key of
 * the leaf it showed; all else is decided here, in one turn: no byte of the application may move before this returns.
 *
 * @param where - the other end, for messages: `the server at tools.internal:8443`.
 * @throws SpiffeError and nothing else, whatever the rule or the certificates make happen.
 */
export function checkPeer(
  socket: TLSSocket,
  bundles: X509BundleSet,
  rule: Rule,
  where: string,
): Peer {
  const peer = checkPeerIfShown(socket, bundles, rule, where);
  if (peer === undefined)
    throw refusal(rule, where, 'ERR_SPIFFE_PEER_NO_CERTIFICATE', 'it presented no certificate');
  return peer;
}

/**
 * The same for a server that lets in whoever shows no certificate: `undefined` for such a client. One that shows a
 * certificate is judged as ever.
 */
export function checkPeerIfShown(
  socket: TLSSocket,
  bundles: X509BundleSet,
  rule: Rule,
  where: string,
): Peer | undefined {
  const refuse = (code: SpiffeErrorCode, why: string, cause?: unknown): SpiffeError =>
    refusal(rule, where, code, why, cause);
  // A resumed session shows the certificate of the first one, and nothing was proved anew.
  if (socket.isSessionReused())
    throw refuse('ERR_SPIFFE_HANDSHAKE_FAILED', 'it resumed an earlier TLS session');
  let peer: Peer;
  try {
    const chain = presentedChain(socket);
    if (chain.length === 0) return undefined;
    peer = verifiedBy(bundles).verify(chain, bundles);
  } catch (cause) {
    if (cause instanceof SpiffeError)
      throw refuse(cause.code, `its certificates do not verify: ${textOf(cause)}`, cause);
    throw refuse('ERR_SPIFFE_HANDSHAKE_FAILED', 'its certificates could not be judged', cause);
  }
  if (!accepts(rule, peer.id, refuse))
    throw refuse('ERR_SPIFFE_PEER_NOT_ALLOWED', `it is ${peer.id}`);
  return peer;
}

const verified = new WeakMap<X509BundleSet, VerifiedChains>();

/** What was verified by the bundles of one identity; it goes with them. */
function verifiedBy(bundles: X509BundleSet): VerifiedChains {
  const known = verified.get(bundles) ?? new VerifiedChains();
  verified.set(bundles, known);
  return known;
}

type Refuse = (code: SpiffeErrorCode, why: string, cause?: unknown) => SpiffeError;

function refusal(
  rule: Rule,
  where: string,
  code: SpiffeErrorCode,
  why: string,
  cause?: unknown,
): SpiffeError {
  const message = `refused ${where}: expected ${rule.description}, but ${why}`;
  return new SpiffeError(code, message, { cause });
}

function accepts(rule: Rule, id: SpiffeId, refuse: Refuse): boolean {
  try {
    return rule.accepts(id);
  } catch (cause) {
    throw refuse('ERR_SPIFFE_PEER_RULE_FAILED', `the rule failed when asked about ${id}`, cause);
  }
}

/** The message without the code at its end: it goes into another that ends in the same. */
function textOf(error: SpiffeError): string {
  return error.message.replace(/ \[ERR_SPIFFE_[A-Z0-9_]+\]$/, '');
}

/**
 * What the peer presented, leaf first and in its order. `getPeerCertificate` would lose the right one of two
 * intermediates with one name. To be read once: up to Node 24 the reading takes the chain out of the connection.
 */
function presentedChain(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let next: X509Certificate | undefined = socket.getPeerX509Certificate();
  // One more than is allowed, so that the verifier sees that there are too many.
  while (next !== undefined && chain.length <= MAX_CHAIN_LENGTH) {
    chain.push(next.raw);
    next = next.issuerCertificate;
  }
  return chain;
}
