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
  /** Two rules with one key are the same; a function is the same as itself alone. */
  readonly key: string;
}

/** @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID`. */
export function parseRule(given: PeerRule): Rule {
  const accepts = parsePeerRule(given);
  return Object.freeze({
    given: Array.isArray(given) ? Object.freeze([...(given as string[])]) : given,
    accepts,
    description: describePeerRule(given),
    key: keyOf(given),
  });
}

const functions = new WeakMap<PeerPredicate, number>();
let lastFunction = 0;

function keyOf(rule: PeerRule): string {
  if (typeof rule !== 'function') return String(rule);
  let number = functions.get(rule);
  if (number === undefined) {
    lastFunction += 1;
    number = lastFunction;
    functions.set(rule, number);
  }
  return `function ${number}`;
}
