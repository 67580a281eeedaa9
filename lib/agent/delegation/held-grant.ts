import type { X509BundleSet } from '../../identity/source.js';
import type { GrantRef } from '../audit/events.js';
import { demand } from '../grant/grant-error.js';
import { readChain } from '../grant/known-chains.js';
import { DEFAULT_LIMITS } from '../grant/limits.js';
import type { GrantLink } from '../grant/link.js';
import { type GrantChain, grantFromJson } from '../grant/presentation.js';

/** A chain whose last token a key of this process holds. */
export interface HeldGrant extends GrantChain {
  /** The ids of its tokens, root first. */
  readonly ids: readonly string[];
  readonly leaf: GrantLink;
  /** Its tokens, root first. */
  readonly links: readonly GrantLink[];
  /** The SPIFFE ID whose X.509-SVID signed the root. */
  readonly rootIssuer: string;
  /** The id of the task that the root was made for. */
  readonly rootTask: string;
  /** The least budget of calls that a token of it has. */
  readonly calls: number | undefined;
}

/**
 * A grant that was handed to this process, verified as a service would: it is of no use when that would refuse it.
 *
 * @throws GrantError
 */
export function readHeldGrant(
  json: unknown,
  {
    agent,
    bundles,
    now,
  }: { readonly agent: string; readonly bundles: X509BundleSet; readonly now: Date },
): HeldGrant {
  const given = grantFromJson(json);
  const { links, issuer } = readChain(given, bundles, now, DEFAULT_LIMITS);
  const leaf = links.at(-1) as GrantLink;
  demand(
    leaf.sub.toString() === agent,
    'peer',
    `it was given to ${leaf.sub}, and this is ${agent}`,
  );
  return heldGrant(given, links, issuer.id.toString());
}

/** The tokens of a grant that was handed over, as far as it is one. */
export function tokensOf(json: unknown): readonly string[] | undefined {
  try {
    return grantFromJson(json).chain;
  } catch {
    return undefined;
  }
}

/** What is known of a chain. */
export function heldGrant(
  { chain, issuer }: GrantChain,
  links: readonly GrantLink[],
  rootIssuer: string,
): HeldGrant {
  const calls = links.flatMap(({ budget }) => budget?.calls ?? []);
  return Object.freeze({
    chain,
    issuer,
    ids: Object.freeze(links.map(({ jti }) => jti)),
    leaf: links.at(-1) as GrantLink,
    links: Object.freeze([...links]),
    rootIssuer,
    rootTask: (links[0] as GrantLink).taskId,
    calls: calls.length === 0 ? undefined : Math.min(...calls),
  });
}

/** As records name it. */
export function refOf(ids: readonly string[], leaf: GrantLink): GrantRef {
  return {
    jti: leaf.jti,
    chain: ids,
    holder: leaf.sub.toString(),
    tools: leaf.tools,
    expiresAt: leaf.expiresAt.getTime(),
  };
}
