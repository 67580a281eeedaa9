import type { SpiffeErrorCode } from '../../errors.js';
import type { Anchors } from './bundle.js';
import { type Certificate, KEY_CERT_SIGN } from './certificate.js';
import { verifySignature } from './signature.js';

/**
 * How many signatures are checked in all: bounds what a stranger's web of cross-signed certificates can cost, at
 * 2 ms for P-521. A path without detours needs no more than there are certificates, of which there are 16.
 */
const MAX_SIGNATURES = 20;

/** A path from the leaf to an authority, or why there is none. */
export type PathResult =
  | { readonly certificates: readonly Certificate[] }
  | { readonly code: SpiffeErrorCode; readonly refusal: string };

/**
 * Finds a path by RFC 5280 §6 from `leaf` to one of `anchors`. `others` may stand in any order, hold what is not
 * needed, and lead to dead ends: every path is tried until one holds. The anchor is held to the same rules as
 * the rest, its validity included.
 */
export function findPath(
  leaf: Certificate,
  others: readonly Certificate[],
  anchors: Anchors,
  now: number,
): PathResult {
  const why = validityRefusal(leaf, now);
  if (why !== undefined) return { code: 'ERR_SPIFFE_X509_EXPIRED', refusal: `the leaf ${why}` };
  return new Search(others, anchors, now).from(leaf);
}

class Search {
  readonly #others: readonly Certificate[];
  readonly #anchors: Anchors;
  readonly #now: number;
  /** What the last authority or intermediate of the right name lacked. */
  #refusal: PathResult | undefined;
  #signatures = 0;

  constructor(others: readonly Certificate[], anchors: Anchors, now: number) {
    this.#others = others;
    this.#anchors = anchors;
    this.#now = now;
  }

  from(leaf: Certificate): PathResult {
    const path = this.#extend([leaf], 0);
    if (path !== undefined) return { certificates: path };
    return (
      this.#refusal ?? {
        code: 'ERR_SPIFFE_X509_UNTRUSTED',
        refusal: `none of the ${[...this.#anchors.values()].flat().length} authorities in the bundle, and no certificate of the chain, has the name of its issuer (X509-30)`,
      }
    );
  }

  /** @param below - how many intermediates that are not self-issued stand below the next certificate (RFC 5280 §6.1.4 (l)). */
  #extend(path: readonly Certificate[], below: number): readonly Certificate[] | undefined {
    const last = path.at(-1) as Certificate;
    for (const anchor of likelyFirst(last, this.#anchors.get(last.issuer) ?? [])) {
      if (this.#issued(anchor, last, below)) return [...path, anchor];
    }
    for (const issuer of likelyFirst(last, this.#others)) {
      if (issuer.subject !== last.issuer || path.includes(issuer)) continue;
      if (!this.#issued(issuer, last, below)) continue;
      const found = this.#extend([...path, issuer], below + (issuer.selfIssued ? 0 : 1));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #issued(issuer: Certificate, subject: Certificate, below: number): boolean {
    const expired = validityRefusal(issuer, this.#now);
    if (expired !== undefined) {
      this.#refusal = {
        code: 'ERR_SPIFFE_X509_EXPIRED',
        refusal: `an issuer in its chain ${expired}`,
      };
      return false;
    }
    const why =
      issuerRefusal(issuer, below) ??
      (++this.#signatures > MAX_SIGNATURES
        ? `${MAX_SIGNATURES} signatures were checked and none leads to an authority`
        : signatureRefusal(issuer, subject));
    if (why !== undefined) this.#refusal = untrusted(why);
    return why === undefined;
  }
}

function untrusted(refusal: string): PathResult {
  return { code: 'ERR_SPIFFE_X509_UNTRUSTED', refusal };
}

/** The issuer that the subject's authority key id names comes first; the id is a hint and decides nothing. */
function likelyFirst(
  subject: Certificate,
  candidates: readonly Certificate[],
): readonly Certificate[] {
  const rank = (one: Certificate): number => Number(one.subjectKeyId !== subject.authorityKeyId);
  return candidates.toSorted((one, other) => rank(one) - rank(other));
}

function validityRefusal(certificate: Certificate, now: number): string | undefined {
  if (now < certificate.notBefore)
    return `is not valid before ${new Date(certificate.notBefore).toISOString()} (now: ${new Date(now).toISOString()}; is a clock wrong?)`;
  // RFC 5280 §4.1.2.5: through notAfter, inclusive.
  if (now > certificate.notAfter)
    return `expired at ${new Date(certificate.notAfter).toISOString()} (now: ${new Date(now).toISOString()})`;
  return undefined;
}

/** RFC 5280 §6.1.4 (k) to (o): whether this certificate may stand above `below` intermediates. */
function issuerRefusal(issuer: Certificate, below: number): string | undefined {
  if (!issuer.ca) return 'an issuer in its chain is not a CA (X509-10)';
  if (issuer.keyUsage !== undefined && (issuer.keyUsage & KEY_CERT_SIGN) === 0)
    return 'an issuer in its chain may not sign certificates by its key usage (X509-27)';
  if (below > issuer.pathLength)
    return `an issuer in its chain allows ${issuer.pathLength} intermediates below it, not ${below} (X509-16)`;
  if (issuer.unknownCritical !== undefined)
    return `an issuer in its chain has a critical extension that is not understood: ${issuer.unknownCritical} (X509-27)`;
  return undefined;
}

function signatureRefusal(issuer: Certificate, subject: Certificate): string | undefined {
  const algorithm = subject.signatureAlgorithm;
  const kind = issuer.keyKind;
  if (kind === undefined)
    return 'the key of an issuer in its chain is none of RSA from 2048 bits, P-256, P-384, P-521 (A-30)';
  if (algorithm === undefined)
    return 'a signature in its chain is none of ECDSA, RSA PKCS#1 and RSA-PSS with SHA-256, SHA-384 or SHA-512 (A-30)';
  try {
    if (verifySignature(algorithm, kind, issuer.publicKey, subject.tbs, subject.signature))
      return undefined;
  } catch {
    // A key that is no point of its curve, or a salt longer than the key allows: it made no signature.
  }
  return 'a signature in its chain was not made by the issuer of that name (X509-27)';
}
