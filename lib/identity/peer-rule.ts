import { isAsyncFunction, isPromise } from 'node:util/types';
import { SpiffeError } from '../errors.js';
import { quote } from '../internal/quote.js';
import { SpiffeId } from './spiffe-id.js';

/**
 * The rule that lets every peer pass that holds a valid SVID of any trust domain whose bundle is at hand. It must
 * be named: no rule is ever taken by default.
 */
export const ANY_SPIFFE_ID: unique symbol = Symbol('agent-spiffe: any SPIFFE ID');

/**
 * In place of a rule, for one origin among a client's `peers`: whoever answers there shows a certificate of the web's
 * for that host name, and no SPIFFE ID. It is for public services such as the API of a model's provider. Nothing of our
 * own identity is shown there, but for a JWT-SVID where the binding says `jwtAudience`. No server takes it, and it stands
 * in no list.
 */
export const WEB_PKI: unique symbol = Symbol('agent-spiffe: a certificate of the web');

/**
 * In place of a rule, for a server alone: anyone is let in. A client that shows a certificate must still pass with it,
 * as one with {@link ANY_SPIFFE_ID} would; one that shows none is nobody, and `peerOf` throws for it. No client takes
 * it, and it stands in no list.
 */
export const UNAUTHENTICATED_CLIENTS: unique symbol = Symbol(
  'agent-spiffe: clients that show no SVID',
);

/** Answers whether a peer with this verified ID is accepted. */
export type PeerPredicate = (id: SpiffeId) => boolean;

/**
 * Which peers are accepted, written one way everywhere:
 *
 * - an exact SPIFFE ID (`SpiffeId` or text);
 * - a pattern: a segment `*` stands for exactly one segment, a last segment `**` for one or more;
 *   `spiffe://td/**` is every ID below `td`, never the trust domain's own;
 * - a non-empty list of IDs and patterns;
 * - {@link ANY_SPIFFE_ID};
 * - a synchronous function that answers `true` for a peer that is accepted.
 *
 * Comparison is exact and case-sensitive, and a trust domain is always named: none is matched by pattern.
 */
export type PeerRule =
  | string
  | SpiffeId
  | readonly (string | SpiffeId)[]
  | typeof ANY_SPIFFE_ID
  | PeerPredicate;

/**
 * Parses a rule once, so that a bad one fails where it is written and not at the first handshake.
 *
 * @returns a function that answers exactly `true` or `false`. For a rule that is itself a function it passes on
 * what that throws, and throws `ERR_SPIFFE_PEER_RULE_FAILED` when it answers anything but a boolean (a promise, say).
 * @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID`.
 */
export function parsePeerRule(rule: PeerRule): PeerPredicate {
  if (rule === ANY_SPIFFE_ID) return () => true;
  if (typeof rule === 'function') {
    if (isAsyncFunction(rule)) throw invalid('it is an async function; a rule answers at once');
    return strict(rule);
  }
  if (!Array.isArray(rule)) return parseOne(rule as string | SpiffeId);
  if (rule.length === 0)
    throw invalid('an empty list would refuse every peer; name at least one SPIFFE ID');
  // A copy: the rule is what it was when it was given.
  const parts = Array.from(rule as readonly (string | SpiffeId)[], parseOne);
  return (id) => parts.some((part) => part(id));
}

/** A rule as it may stand in a message. */
export function describePeerRule(rule: PeerRule): string {
  if (rule === ANY_SPIFFE_ID) return 'any SPIFFE ID';
  if (typeof rule === 'function') return `the function ${rule.name || '(anonymous)'}`;
  if (Array.isArray(rule)) {
    const shown = rule.slice(0, 5).map(String).join(', ');
    return rule.length > 5 ? `${shown} and ${rule.length - 5} more` : shown;
  }
  return String(rule);
}

function strict(rule: PeerPredicate): PeerPredicate {
  return (id) => {
    const answer: unknown = rule(id);
    if (typeof answer !== 'boolean') {
      // A promise is truthy: taken as an answer it would let everyone in. Nobody waits for it now, and a peer must
      // not be able to end the process by its rejection.
      if (isPromise(answer)) answer.catch(() => undefined);
      throw new SpiffeError(
        'ERR_SPIFFE_PEER_RULE_FAILED',
        `the peer rule ${describePeerRule(rule)} answered ${quote(answer)} for ${id}, not true or false; a rule is synchronous`,
      );
    }
    return answer;
  };
}

function parseOne(rule: string | SpiffeId): PeerPredicate {
  if (rule instanceof SpiffeId) return (id) => id.equals(rule);
  const given: unknown = rule;
  if (given === WEB_PKI)
    throw invalid(
      'WEB_PKI is about no SPIFFE ID; it stands alone, as the rule for one origin among the peers of a client',
    );
  if (given === UNAUTHENTICATED_CLIENTS)
    throw invalid('UNAUTHENTICATED_CLIENTS stands alone, as what a server allows');
  if (typeof rule !== 'string') {
    throw invalid(
      `${quote(rule)} is none of: a SPIFFE ID, a pattern, a list of these, ANY_SPIFFE_ID, a function`,
    );
  }
  if (!rule.includes('*')) {
    const exact = parseId(rule, rule);
    return (id) => id.equals(exact);
  }
  return parsePattern(rule);
}

function parsePattern(pattern: string): PeerPredicate {
  const parts = pattern.split('/');
  const open = parts.at(-1) === '**';
  if (open) parts.pop();
  // With `x` in place of each `*` the pattern must be a SPIFFE ID: every other rule of the standard holds for it.
  const stand = parseId(
    parts.map((part, at) => (part === '*' && at > 2 ? 'x' : part)).join('/'),
    pattern,
  );
  const domain = stand.trustDomain;
  const wanted = parts.slice(3);
  return (id) => {
    if (!id.memberOf(domain)) return false;
    const segments = id.path.split('/').slice(1);
    if (open ? segments.length <= wanted.length : segments.length !== wanted.length) return false;
    return wanted.every((want, at) => want === '*' || want === segments[at]);
  };
}

function parseId(text: string, shown: string): SpiffeId {
  try {
    return SpiffeId.parse(text);
  } catch (cause) {
    throw invalid(
      `${quote(shown)} is neither a SPIFFE ID nor a pattern; a * stands alone for one path segment, a ** alone at the end for all below`,
      cause,
    );
  }
}

function invalid(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_PEER_RULE_INVALID', `cannot use this peer rule: ${why}`, {
    cause,
  });
}
