import { isPromise } from 'node:util/types';
import { SpiffeError } from '../errors.js';
import type { Identity, Verifier } from '../identity/source.js';
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

function invalid(shown: string, hint: string): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take ${shown} as the identity: ${hint}`,
  );
}
