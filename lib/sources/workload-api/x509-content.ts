import { SpiffeError } from '../../errors.js';
import { SpiffeId } from '../../identity/spiffe-id.js';
import type { TrustDomain } from '../../identity/trust-domain.js';
import { X509Bundle } from '../../identity/x509/bundle.js';
import { X509Bundles } from '../../identity/x509/bundles.js';
import { X509Svid } from '../../identity/x509/svid.js';
import { DerReader } from '../../internal/der.js';
import { quote } from '../../internal/quote.js';
import { reasonOf } from '../held-state.js';
import { sameSvid, type X509Content } from '../held-x509-source.js';
import { type BundleReader, readBundle, readBundleMap } from './bundle-map.js';
import type { WorkloadLimits } from './limits.js';
import type { X509SvidEntry, X509SvidResponse } from './proto.js';

/** A message as it was read. */
export interface X509Reading {
  readonly content: X509Content;
  /** What was left out of it, and why. */
  readonly omissions: readonly SpiffeError[];
}

/**
 * Reads a message. What is wrong about our own identity costs the whole message; what is wrong about a foreign trust
 * domain costs that domain.
 *
 * @param before - the content held so far: what has not changed keeps its objects.
 * @throws SpiffeError `ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID`
 */
export function readX509Content(
  response: X509SvidResponse,
  limits: WorkloadLimits,
  now: number,
  before?: X509Content,
): X509Reading {
  const omissions: SpiffeError[] = [];
  // WLA-11, WLA-14: an empty list is not a withdrawal; that is told by PermissionDenied.
  if (response.svids.length === 0) throw invalid('it holds no X509-SVID (WLA-14)');
  if (response.svids.length > limits.svids)
    throw invalid(
      `it holds ${response.svids.length} X509-SVIDs, above the limit of ${limits.svids}`,
    );
  const bundleReader: BundleReader<X509Bundle> = {
    limits,
    parse: (domain, bytes) => X509Bundle.fromDer(domain, bytes),
    held: (domain) => before?.bundles.get(domain),
    invalid,
  };
  const foreign = readBundleMap(response.federatedBundles, bundleReader);

  const svids: X509Svid[] = [];
  const own = new Map<string, X509Bundle>();
  for (const [at, entry] of response.svids.entries()) {
    // WLA-21: of two identities with one hint the first counts.
    if (entry.hint !== '' && svids.some(({ hint }) => hint === entry.hint)) {
      omissions.push(invalid(`${which(entry, at)} repeats the hint ${quote(entry.hint)} (WLA-20)`));
      continue;
    }
    const svid = readSvid(entry, at, limits, now, before);
    svids.push(svid);
    const bundle = readOwnBundle(entry, at, svid.id.trustDomain, bundleReader);
    const other = own.get(bundle.trustDomain.name);
    if (other !== undefined && !other.equals(bundle))
      throw invalid(`it holds two bundles that differ for ${bundle.trustDomain.name}`);
    own.set(bundle.trustDomain.name, other ?? bundle);
  }

  omissions.push(...foreign.omissions);
  // The bundle of our own trust domain is the one beside the SVID.
  const bundles = new Map([...foreign.bundles, ...own]);
  if (bundles.size > limits.bundles)
    throw invalid(`it holds ${bundles.size} bundles, above the limit of ${limits.bundles}`);
  return {
    content: Object.freeze({
      svids: Object.freeze(svids),
      bundles: X509Bundles.of(...bundles.values()),
    }),
    omissions,
  };
}

function readSvid(
  entry: X509SvidEntry,
  at: number,
  limits: WorkloadLimits,
  now: number,
  before: X509Content | undefined,
): X509Svid {
  for (const field of ['spiffeId', 'x509Svid', 'x509SvidKey', 'bundle'] as const) {
    if (entry[field].length === 0) throw invalid(`${which(entry, at)} has no ${field} (WLA-15)`);
  }
  // Counted before anything is decoded: decoding is what the limit spares.
  if (elements(entry.x509Svid, limits.chainCertificates) > limits.chainCertificates)
    throw invalid(
      `${which(entry, at)} has more than ${limits.chainCertificates} certificates, the limit`,
    );
  let svid: X509Svid;
  try {
    const id = SpiffeId.parse(entry.spiffeId);
    svid = X509Svid.fromDer(entry.x509Svid, entry.x509SvidKey, { hint: entry.hint });
    if (!svid.id.equals(id)) throw new Error(`the certificate is that of ${svid.id.toString()}`);
  } catch (cause) {
    throw invalid(`${which(entry, at)}: ${reasonOf(cause)}`, cause);
  }
  if (svid.notAfter.getTime() < now)
    throw invalid(
      `${which(entry, at)} has expired at ${svid.notAfter.toISOString()}, and here it is ${new Date(now).toISOString()}; is a clock wrong?`,
    );
  return before?.svids.find((held) => sameSvid(held, svid)) ?? svid;
}

function readOwnBundle(
  entry: X509SvidEntry,
  at: number,
  domain: TrustDomain,
  reader: BundleReader<X509Bundle>,
): X509Bundle {
  try {
    return readBundle(domain, entry.bundle, reader);
  } catch (cause) {
    throw invalid(`the bundle beside ${which(entry, at)}: ${reasonOf(cause)}`, cause);
  }
}

/** How many DER elements stand one after another, counted to one above `most`; what follows bad bytes is not counted. */
function elements(bytes: Uint8Array, most: number): number {
  const reader = new DerReader(bytes);
  let count = 0;
  try {
    for (; !reader.done && count <= most; count++) reader.any('a certificate');
  } catch {
    // Whoever decodes it says what is wrong with it.
  }
  return count;
}

function which(entry: X509SvidEntry, at: number): string {
  return `X509-SVID ${at + 1} (${quote(entry.spiffeId)})`;
}

function invalid(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID',
    `cannot use all of an X509SVIDResponse of the Workload API: ${why}`,
    { cause },
  );
}
