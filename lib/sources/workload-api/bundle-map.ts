import type { SpiffeError } from '../../errors.js';
import { SpiffeId } from '../../identity/spiffe-id.js';
import type { TrustDomain } from '../../identity/trust-domain.js';
import { quote } from '../../internal/quote.js';
import { reasonOf } from '../held-state.js';
import type { Comparable } from '../same-bundles.js';
import type { WorkloadLimits } from './limits.js';

/** How the bundles of one message are read. */
export interface BundleReader<Bundle> {
  readonly limits: WorkloadLimits;
  parse(domain: TrustDomain, bytes: Uint8Array): Bundle;
  /** What is held of this trust domain; it is kept where the message says the same. */
  held(domain: TrustDomain): Bundle | undefined;
  /** What a bundle was parsed without. */
  skipped?(bundle: Bundle): readonly string[];
  /** The error that says what is wrong with the message. */
  invalid(why: string, cause?: unknown): SpiffeError;
}

/** Bundles by the name of their trust domain, and what was left out of the message. */
export interface BundleMapReading<Bundle> {
  readonly bundles: Map<string, Bundle>;
  readonly omissions: SpiffeError[];
}

/** Reads bundles that stand under the SPIFFE ID of their trust domain. One that is malformed costs its own domain alone. */
export function readBundleMap<Bundle extends Comparable<Bundle>>(
  entries: ReadonlyMap<string, Uint8Array>,
  reader: BundleReader<Bundle>,
): BundleMapReading<Bundle> {
  const bundles = new Map<string, Bundle>();
  const omissions: SpiffeError[] = [];
  if (entries.size > reader.limits.bundles)
    throw reader.invalid(
      `it holds ${entries.size} bundles, above the limit of ${reader.limits.bundles}`,
    );
  for (const [key, bytes] of entries) {
    const omit = (why: string, cause?: unknown): void => {
      omissions.push(reader.invalid(`the bundle of ${quote(key)}: ${why}`, cause));
    };
    try {
      // WLA-14, WLA-25, WLA-33: the key is the trust domain's own SPIFFE ID.
      const id = SpiffeId.parse(key);
      if (id.path !== '')
        throw reader.invalid('the key is the ID of a workload, not of a trust domain');
      bundles.set(id.trustDomain.name, readBundle(id.trustDomain, bytes, reader, omit));
    } catch (cause) {
      omit(reasonOf(cause), cause);
    }
  }
  return { bundles, omissions };
}

/** Reads one bundle, and gives the one held where it says the same. */
export function readBundle<Bundle extends Comparable<Bundle>>(
  domain: TrustDomain,
  bytes: Uint8Array,
  reader: BundleReader<Bundle>,
  omit: (why: string) => void = () => {},
): Bundle {
  const { limits } = reader;
  if (bytes.length > limits.bundleBytes)
    throw reader.invalid(`${bytes.length} bytes are above the limit of ${limits.bundleBytes}`);
  const bundle = reader.parse(domain, bytes);
  for (const why of reader.skipped?.(bundle) ?? []) omit(`left out ${why}`);
  const held = reader.held(domain);
  return held?.equals(bundle) ? held : bundle;
}
