import { SpiffeError } from '../../errors.js';
import type { X509Svid } from '../../identity/x509/svid.js';
import { quote } from '../../internal/quote.js';

/**
 * Which of several identities to use: the hint of one, or a synchronous function that gives one of those it is shown,
 * or `undefined` when none of them will do.
 */
export type X509SvidPick = string | ((svids: readonly X509Svid[]) => X509Svid | undefined);

/**
 * The identity to use; without a `pick`, the first (WLA-48).
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` when the function throws, or gives what it was not shown.
 */
export function pickSvid(
  svids: readonly X509Svid[],
  pick: X509SvidPick | undefined,
): X509Svid | undefined {
  if (pick === undefined) return svids[0];
  if (typeof pick === 'string') return svids.find(({ hint }) => hint === pick);
  let picked: X509Svid | undefined;
  try {
    picked = pick(svids);
  } catch (cause) {
    throw invalid('the function that picks an X.509-SVID threw', cause);
  }
  if (picked !== undefined && !svids.includes(picked))
    throw invalid('the function that picks an X.509-SVID gave none of those it was shown');
  return picked;
}

/** A pick as it may stand in a message, behind "no X.509-SVID". */
export function describePick(pick: X509SvidPick | undefined): string {
  return typeof pick === 'string' ? `with the hint ${quote(pick)}` : 'that the function picks';
}

function invalid(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_OPTION_INVALID', why, { cause });
}
