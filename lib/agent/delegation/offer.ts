import { SpiffeId } from '../../identity/spiffe-id.js';
import type { Clock } from '../../internal/clock.js';
import { isJsonObject, member } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import { GrantError } from '../grant/grant-error.js';
import { optionError } from '../options.js';
import { TaskKey, type TaskPublicJwk } from '../task-key.js';

/**
 * What whoever is to hold a grant sends to whoever is to give it: as whom it will show itself, and the public half of the
 * key that its task will have. It is no secret, and worth nothing without that key and that SPIFFE ID.
 */
export interface GrantOffer {
  readonly spiffe_id: string;
  readonly cnf: { readonly jwk: TaskPublicJwk };
}

/** An offer as it was sent by the one who has this SPIFFE ID. Gives the key. */
export function parseOffer(what: string, offer: unknown, to: SpiffeId): TaskPublicJwk {
  const id = isJsonObject(offer) ? member(offer, 'spiffe_id') : undefined;
  const cnf = isJsonObject(offer) ? member(offer, 'cnf') : undefined;
  const jwk = isJsonObject(cnf) ? member(cnf, 'jwk') : undefined;
  if (typeof id !== 'string' || !isJsonObject(jwk))
    throw optionError(what, 'it is no offer, as guard.offer() makes them');
  if (id !== to.toString()) throw optionError(what, `it is from ${quote(id)}, and not from ${to}`);
  const [crv, kty, x] = ['crv', 'kty', 'x'].map((name) => member(jwk, name));
  if (crv !== 'Ed25519' || kty !== 'OKP' || typeof x !== 'string')
    throw optionError(what, 'its key is not for Ed25519');
  return Object.freeze({ crv, kty, x });
}

/** A SPIFFE ID as given, as text or parsed. */
export function parseHolder(what: string, to: unknown): SpiffeId {
  if (to instanceof SpiffeId) return to;
  if (typeof to === 'string') return SpiffeId.parse(to);
  throw optionError(what, `${quote(to)} is no SPIFFE ID`);
}

/** How long a key waits for its grant. */
const OFFERED_MS = 60_000;
const MOST = 10_000;

/** The keys that were offered for grants to come: each for one task, and for a minute. */
export class Offers {
  readonly #clock: Clock;
  readonly #keys = new Map<string, { readonly key: TaskKey; readonly until: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` when too many are waiting. */
  make(agent: string): GrantOffer {
    const now = this.#clock.now();
    // Oldest first, and all wait equally long.
    for (const [thumbprint, { until }] of this.#keys) {
      if (until > now) break;
      this.#keys.delete(thumbprint);
    }
    if (this.#keys.size >= MOST)
      throw optionError('another offer', `${MOST} are waiting for their grants already`);
    const key = new TaskKey();
    this.#keys.set(key.thumbprint, { key, until: now + OFFERED_MS });
    return Object.freeze({ spiffe_id: agent, cnf: Object.freeze({ jwk: key.publicJwk }) });
  }

  /** Gives the key away, once. @throws GrantError with the step `offer`. */
  take(thumbprint: string): TaskKey {
    const offered = this.#keys.get(thumbprint);
    this.#keys.delete(thumbprint);
    if (offered !== undefined && offered.until > this.#clock.now()) return offered.key;
    throw new GrantError(
      'offer',
      'its holder is no key that was offered here within the last minute',
    );
  }
}
