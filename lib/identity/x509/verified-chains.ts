import { BoundedMap } from '../../internal/bounded-map.js';
import type { Peer, X509BundleSet } from '../source.js';
import type { X509Bundle } from './bundle.js';
import { type Judgement, judgeChain } from './verify.js';

const MOST_PEERS = 1000;

interface Verified extends Judgement {
  /** Its own copy of what was presented. */
  readonly presented: readonly Uint8Array[];
}

/**
 * Verifies as `verifyX509Svid` does, and remembers: a peer that comes again with the same certificates is looked up, and
 * is believed as long as its trust domain's bundle is the very same object and every certificate of the path is valid.
 * Bounded; a chain that was refused is not remembered.
 */
export class VerifiedChains {
  readonly #known: BoundedMap<string, Verified>;
  /** The bundle of each trust domain that was last relied on. */
  readonly #newest: BoundedMap<string, X509Bundle>;

  constructor(most: number = MOST_PEERS) {
    this.#known = new BoundedMap(most);
    this.#newest = new BoundedMap(most);
  }

  /** How many peers are remembered. */
  get size(): number {
    return this.#known.size;
  }

  /** @throws SpiffeError as `verifyX509Svid` does. */
  verify(
    chain: readonly Uint8Array[],
    bundles: X509BundleSet,
    options: { readonly now?: Date } = {},
  ): Peer {
    const now = (options.now ?? new Date()).getTime();
    const key = textOf(chain[0]);
    const known = this.#known.get(key);
    if (known !== undefined) {
      if (holds(known, chain, bundles, now)) return known.peer;
      this.#known.delete(key);
    }
    const presented = chain.map((certificate) => Uint8Array.from(certificate));
    const judgement = judgeChain(presented, bundles, now);
    this.#forget(judgement, bundles);
    this.#known.set(key, { ...judgement, presented });
    return judgement.peer;
  }

  /** What rests on a bundle that was replaced holds no more, and would keep that bundle in memory. */
  #forget({ peer, bundle }: Judgement, bundles: X509BundleSet): void {
    const { name } = peer.id.trustDomain;
    if (this.#newest.get(name) === bundle) return;
    this.#newest.set(name, bundle);
    this.#known.drop((known) => bundles.get(known.peer.id.trustDomain) !== known.bundle);
    this.#newest.drop((newest) => bundles.get(newest.trustDomain) !== newest);
  }
}

function holds(
  { presented, peer, bundle, from, until }: Verified,
  chain: readonly Uint8Array[],
  bundles: X509BundleSet,
  now: number,
): boolean {
  return (
    from <= now &&
    now <= until &&
    bundles.get(peer.id.trustDomain) === bundle &&
    presented.length === chain.length &&
    presented.every((held, at) => Buffer.compare(held, chain[at] as Uint8Array) === 0)
  );
}

function textOf(leaf: Uint8Array = new Uint8Array()): string {
  return Buffer.from(leaf.buffer, leaf.byteOffset, leaf.byteLength).toString('latin1');
}
