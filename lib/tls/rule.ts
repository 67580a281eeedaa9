import {
  describePeerRule,
  type PeerPredicate,
  type PeerRule,
  parsePeerRule,
} from '../identity/peer-rule.js';

/** A peer rule parsed once, when it was given, with what messages and pools need to know of it. */
export interface Rule {
  readonly given: PeerRule;
  readonly accepts: PeerPredicate;
  /** For messages. */
  readonly description: string;
}

/** @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID`. */
export function parseRule(given: PeerRule): Rule {
  return Object.freeze({
    given,
    accepts: parsePeerRule(given),
    description: describePeerRule(given),
  });
}
