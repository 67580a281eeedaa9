import { isPromise } from 'node:util/types';
import { SpiffeError } from '../errors.js';
import type { Identity, JwtSource, Verifier } from '../identity/source.js';
import { quote } from '../internal/quote.js';

/**
 * The identity as given, or `ERR_SPIFFE_OPTION_INVALID` for what is none. Of a forgotten `await` a server would say no
 * more than that each handshake fails.
 */
export function checkIdentity(identity: Identity): Identity {
  checkVerifier(identity);
  if (typeof (identity.x509 as Partial<Identity['x509']>).svid === 'function') return identity;
  throw invalid('what can only verify others', 'a server presents an SVID, give a Workload');
}

/** Throws `ERR_SPIFFE_OPTION_INVALID` for what cannot even verify others. */
export function checkVerifier(verifier: Identity | Verifier): void {
  const { x509 } = (verifier ?? {}) as Partial<Verifier>;
  if (typeof x509?.updates === 'function') return;
  const shown = isPromise(verifier) ? 'a promise' : quote(verifier);
  throw invalid(shown, 'give a Workload that is open, await Workload.open()');
}

/**
 * What gives tokens, if anything does. To be asked anew each time, and only where a token is wanted: it is what opens the
 * stream of a Workload's JWT bundles.
 */
export function jwtSourceOf(identity: Identity | Verifier): JwtSource | undefined {
  const source = 'jwt' in identity ? identity.jwt : undefined;
  // A BundleSource has something of this name as well: bundles, and no tokens.
  return source !== undefined && 'fetch' in source ? source : undefined;
}

function invalid(shown: string, hint: string): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take ${shown} as the identity: ${hint}`,
  );
}
