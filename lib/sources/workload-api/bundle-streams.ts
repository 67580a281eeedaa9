import { SpiffeError } from '../../errors.js';
import { JwtBundle } from '../../identity/jwt/bundle.js';
import { JwtBundles } from '../../identity/jwt/bundles.js';
import type { TrustDomain } from '../../identity/trust-domain.js';
import { X509Bundle } from '../../identity/x509/bundle.js';
import { X509Bundles } from '../../identity/x509/bundles.js';
import { type BundleSet, type Comparable, sameBundles } from '../same-bundles.js';
import { readBundleMap } from './bundle-map.js';
import type { WorkloadLimits } from './limits.js';
import {
  FETCH_JWT_BUNDLES,
  FETCH_X509_BUNDLES,
  type JwtBundlesResponse,
  type RpcMethod,
  type X509BundlesResponse,
} from './proto.js';
import type { StateReader } from './supervised-state.js';

/** What a stream of bundles says: all that may be used. */
export interface BundleContent<Bundles> {
  readonly bundles: Bundles;
}

interface Kind<Response, Bundle, Bundles> {
  readonly method: RpcMethod<object, Response>;
  readonly message: string;
  readonly what: string;
  parse(domain: TrustDomain, bytes: Uint8Array): Bundle;
  skipped?(bundle: Bundle): readonly string[];
  of(...bundles: readonly Bundle[]): Bundles;
}

/** How the stream of X.509 bundles is read (WLA-13: they verify X.509-SVIDs only). */
export function x509BundleReader(
  limits: WorkloadLimits,
): StateReader<X509BundlesResponse, BundleContent<X509Bundles>> {
  return bundleReader<X509BundlesResponse, X509Bundle, X509Bundles>(limits, {
    method: FETCH_X509_BUNDLES,
    message: 'X509BundlesResponse',
    what: 'X.509 bundles',
    parse: (domain, bytes) => X509Bundle.fromDer(domain, bytes),
    of: (...bundles) => X509Bundles.of(...bundles),
  });
}

/** How the stream of JWT bundles is read (WLA-32: they verify JWT-SVIDs only). */
export function jwtBundleReader(
  limits: WorkloadLimits,
): StateReader<JwtBundlesResponse, BundleContent<JwtBundles>> {
  return bundleReader<JwtBundlesResponse, JwtBundle, JwtBundles>(limits, {
    method: FETCH_JWT_BUNDLES,
    message: 'JWTBundlesResponse',
    what: 'JWT bundles',
    // WLA-35: plain JWK sets, in which `use` may be missing.
    parse: (domain, bytes) => JwtBundle.parse(domain, bytes),
    skipped: (bundle) => bundle.skipped,
    of: (...bundles) => JwtBundles.of(...bundles),
  });
}

function bundleReader<
  Response extends { readonly bundles: ReadonlyMap<string, Uint8Array> },
  Bundle extends Comparable<Bundle>,
  Bundles extends BundleSet<Bundle>,
>(
  limits: WorkloadLimits,
  kind: Kind<Response, Bundle, Bundles>,
): StateReader<Response, BundleContent<Bundles>> {
  const invalid = (why: string, cause?: unknown): SpiffeError =>
    new SpiffeError(
      'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID',
      `cannot use all of a ${kind.message} of the Workload API: ${why}`,
      { cause },
    );
  return {
    method: kind.method,
    what: kind.what,
    nothing: Object.freeze({ bundles: kind.of() }),
    read(response, before) {
      // WLA-11, WLA-25, WLA-33: the map is mandatory; that there is none for us is told by PermissionDenied.
      if (response.bundles.size === 0) throw invalid('it holds no bundle (WLA-25, WLA-33)');
      const { bundles, omissions } = readBundleMap<Bundle>(response.bundles, {
        limits,
        parse: (domain, bytes) => kind.parse(domain, bytes),
        held: (domain) => before?.bundles.get(domain),
        skipped: (bundle) => kind.skipped?.(bundle) ?? [],
        invalid,
      });
      return { content: { bundles: kind.of(...bundles.values()) }, omissions };
    },
    same: (one, other) => sameBundles<Bundle>(one.bundles, other.bundles),
  };
}
