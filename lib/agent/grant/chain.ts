import { peekString } from '../../internal/strict-json.js';
import { demand, GrantError } from './grant-error.js';
import { checkAlgorithm, isSigned, type Jws, readHeader, splitJws } from './jws.js';
import type { GrantKey } from './keys.js';
import type { Limits } from './limits.js';
import { readChild, readRoot, type Token } from './token.js';

const TYPE = 'aat+jwt';

/** A key that is trusted to sign roots, and as whom. */
export interface Anchor extends GrantKey {
  readonly issuer: string;
}

/** A chain whose tokens hold, root first, never empty. */
export type Chain = readonly [Token, ...Token[]];

/** What a profile asks of a token beyond the draft; throws to refuse. */
export type CheckLink = (token: Token, parent: Token | undefined) => void;

/** Steps 1 and 2 of section 8: before anything is verified. */
export function splitChain(tokens: readonly string[], limits: Limits): readonly [Jws, ...Jws[]] {
  demand(tokens.length > 0, '1', 'its chain is empty');
  let total = 0;
  for (const { length } of tokens) {
    demand(length <= limits.tokenBytes, '2a', `a token is longer than ${limits.tokenBytes} bytes`);
    total += length;
  }
  demand(total <= limits.chainBytes, '2b', `its chain is longer than ${limits.chainBytes} bytes`);
  const seen = new Set<string>();
  const [root, ...rest] = tokens.map((token) => {
    const jws = splitJws(token, '2c');
    const jti = peekString(jws.payload, 'jti');
    demand(jti !== undefined, '2c', 'a token has no jti');
    demand(!seen.has(jti), '2c', 'a token stands twice in its chain');
    seen.add(jti);
    return jws;
  });
  return [root as Jws, ...rest];
}

/** Steps 3 to 5: each token by its own key, each link narrower than the one before. */
export function verifyChain(
  [first, ...rest]: readonly [Jws, ...Jws[]],
  anchors: readonly Anchor[],
  now: number,
  limits: Limits,
  checkLink: CheckLink = () => {},
): Chain {
  const anchor = anchorOf(first, anchors);
  const root = readRoot(first, anchor.issuer, now, limits);
  checkLink(root, undefined);
  const chain: [Token, ...Token[]] = [root];
  let parent = root;
  for (const jws of rest) {
    checkAlgorithm(jws, TYPE, parent.holder, '4a');
    demand(isSigned(jws, parent.holder), '4b', 'a token was not signed by its parent’s holder');
    const child = readChild(parent, jws, now, limits);
    checkLink(child, parent);
    chain.push(child);
    parent = child;
  }
  demand(chain.length === parent.depth + 1, '5', 'its chain is not as long as its leaf is deep');
  return chain;
}

/** Steps 3a and 3b: of the anchors that the algorithm fits, the one whose key signed the root. */
function anchorOf(root: Jws, anchors: readonly Anchor[]): Anchor {
  const algorithm = readHeader(root, TYPE, '3a');
  const fitting = anchors.filter((anchor) => anchor.algorithm === algorithm);
  demand(fitting.length > 0, '3a', `its alg ${algorithm} fits no key that may sign roots`);
  const anchor = fitting.find((candidate) => isSigned(root, candidate));
  if (anchor === undefined)
    throw new GrantError('3b', 'its root was not signed by a key that may sign roots');
  return anchor;
}
