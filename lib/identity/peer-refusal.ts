import { NOBODY } from './peer.js';
import type { PeerPredicate } from './peer-rule.js';
import type { Peer } from './source.js';
import type { SpiffeId } from './spiffe-id.js';

/** What a refusal is called in a log. */
export const REFUSED = 'refused a request';

/** Why a rule does not accept whoever the gate has found, if it has looked; `undefined` when it does. */
export function whyNotPeer(
  peer: Peer | typeof NOBODY | undefined,
  accepts: PeerPredicate,
): string | undefined {
  if (peer === undefined) return 'no gate has verified it';
  if (peer === NOBODY) return 'it showed no SVID';
  return whyNot(accepts, peer.id);
}

/** Why a rule does not accept this ID; `undefined` when it does. */
export function whyNot(accepts: PeerPredicate, id: SpiffeId): string | undefined {
  try {
    return accepts(id) ? undefined : 'the rule says no';
  } catch (error) {
    return error instanceof Error ? error.message : 'the rule failed';
  }
}
