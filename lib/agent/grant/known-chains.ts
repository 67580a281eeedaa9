import type { X509BundleSet } from '../../identity/source.js';
import { BoundedMap } from '../../internal/bounded-map.js';
import { type Chain, splitChain, verifyChain } from './chain.js';
import { checkIssued, type GrantIssuer, verifyIssuer } from './issuer.js';
import type { Limits } from './limits.js';
import { GrantLink } from './link.js';
import type { GrantPresentation } from './presentation.js';
import { checkProfile, type ProfileClaims, readProfile } from './profile.js';
import { checkTimes, type Token } from './token.js';

/** How many chains are remembered, and how many bytes one may have for it. */
const MOST_CHAINS = 1000;
const LONGEST = 16_384;

/** A chain that holds, but for the clock. */
export interface KnownChain {
  readonly chain: Chain;
  readonly links: readonly GrantLink[];
  readonly issuer: GrantIssuer;
}

interface Remembered extends KnownChain {
  readonly tokens: readonly string[];
  readonly limits: Limits;
}

/** By leaf. */
const known = new BoundedMap<string, Remembered>(MOST_CHAINS);

/**
 * Steps 1 to 5 and what our profile says of each token. The chain of a task comes with each of its calls: the same
 * tokens, to the character, signed by the same SVID, which is verified each time, hold as they did. Only the clock goes
 * on, and is looked at.
 */
export function readChain(
  { chain: tokens, issuer: certificates }: Omit<GrantPresentation, 'proof'>,
  bundles: X509BundleSet,
  now: Date,
  limits: Limits,
): KnownChain {
  const seconds = Math.floor(now.getTime() / 1000);
  const before = recall(tokens, limits);
  const split = before === undefined ? splitChain(tokens, limits) : undefined;
  const issuer = verifyIssuer(certificates, bundles, now);
  // The very object: another SVID, or the same one verified anew by other bundles, is another.
  if (before?.issuer === issuer) {
    for (const token of before.chain) checkTimes(token, seconds, limits);
    return before;
  }
  const profiles: ProfileClaims[] = [];
  const chain = verifyChain(
    split ?? splitChain(tokens, limits),
    [issuer],
    seconds,
    limits,
    (token, parent) => {
      const profile = readProfile(token);
      if (parent === undefined) checkIssued(token, issuer);
      else checkProfile(profiles.at(-1) as ProfileClaims, profile);
      profiles.push(profile);
    },
  );
  const links = Object.freeze(chain.map((token, at) => linkOf(token, at, profiles, issuer)));
  const read = { chain, links, issuer };
  remember({ ...read, tokens: [...tokens], limits });
  return read;
}

function linkOf(
  token: Token,
  at: number,
  profiles: readonly ProfileClaims[],
  issuer: GrantIssuer,
): GrantLink {
  const by = at === 0 ? issuer.id : (profiles[at - 1] as ProfileClaims).sub;
  return new GrantLink(token, profiles[at] as ProfileClaims, by);
}

function recall(tokens: readonly string[], limits: Limits): Remembered | undefined {
  const before = known.get(tokens.at(-1) ?? '');
  const isSame =
    before?.limits === limits &&
    before.tokens.length === tokens.length &&
    before.tokens.every((token, at) => token === tokens[at]);
  return isSame ? before : undefined;
}

function remember(chain: Remembered): void {
  const total = chain.tokens.reduce((sum, { length }) => sum + length, 0);
  if (total <= LONGEST) known.set(chain.tokens.at(-1) ?? '', chain);
}
