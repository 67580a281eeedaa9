import type { SpiffeId } from '../../identity/spiffe-id.js';
import type { Labels } from '../flow/labels.js';
import type { GrantLink } from '../grant/link.js';
import { type GrantChainJson, grantToJson } from '../grant/presentation.js';
import type { HeldGrant } from './held-grant.js';

/** What a task has passed on to another agent: send it there as JSON. */
export class Delegation {
  /** Who holds it. */
  readonly to: SpiffeId;
  /**
   * The labels of an answer that does not say what whoever gives it has read: the most that the tools which were passed
   * on return.
   */
  readonly worst: Labels;
  readonly #make: () => Promise<HeldGrant>;
  #grant: HeldGrant;

  /** @internal */
  constructor(to: SpiffeId, worst: Labels, grant: HeldGrant, make: () => Promise<HeldGrant>) {
    this.to = to;
    this.worst = worst;
    this.#grant = grant;
    this.#make = make;
    Object.freeze(this);
  }

  /** The ids of its tokens, root first. */
  get ids(): readonly string[] {
    return this.#grant.ids;
  }

  /** With the task, with the SVID that signed its root, or when it was told to; whichever is first. */
  get expiresAt(): Date {
    return this.#link.expiresAt;
  }

  get tools(): readonly string[] {
    return this.#link.tools;
  }

  get #link(): GrantLink {
    return this.#grant.leaf;
  }

  /**
   * Makes it anew, on the same terms and for the same key: after a rotation of the SVID it lives longer. Send it again;
   * whoever holds it takes it by `task.renewGrant`.
   *
   * @throws SpiffeError as `task.delegate` does.
   */
  async renew(): Promise<void> {
    this.#grant = await this.#make();
  }

  toJSON(): GrantChainJson {
    return grantToJson(this.#grant);
  }
}
