import type { SpiffeError } from '../errors.js';
import type { JwtSvid } from '../identity/jwt/svid.js';
import { waitFor } from '../internal/abort.js';
import { backoffMs } from '../internal/backoff.js';
import { BoundedMap } from '../internal/bounded-map.js';
import type { Clock } from '../internal/clock.js';
import type { Logger } from '../log.js';
import { reasonOf } from './held-state.js';

/** Which token is wanted. */
export interface TokenRequest {
  /** The SPIFFE ID that is to be its subject; empty for whichever the issuer gives first. */
  readonly subject: string;
  /** Sorted, each name once. */
  readonly audience: readonly string[];
}

/** Options of {@link TokenCache}. */
export interface TokenCacheOptions {
  /** Gets a new token; its signal aborts with the error for whoever waits. */
  readonly load: (request: TokenRequest, signal: AbortSignal) => Promise<JwtSvid>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** From 0 to below 1; default `Math.random`. */
  readonly random?: () => number;
  /** How many tokens are kept at most. Default: 1000. */
  readonly most?: number;
}

interface Held {
  readonly svid: JwtSvid;
  /** Until this instant it is handed out, */
  readonly goodUntilMs: number;
  /** and from this one on another is got meanwhile. */
  refreshAtMs: number;
  failures: number;
}

interface Flight {
  readonly request: TokenRequest;
  readonly token: Promise<JwtSvid>;
  readonly abandon: AbortController;
}

const MOST_TOKENS = 1000;
/** A token must still be good when it arrives: nobody is given one that has less of its life left than this, */
const MARGIN_MS = 5000;
/** or than this part of it, where that is shorter. */
const MARGIN_PART = 0.1;
/** How far past half of its life a refresh may be put off at random, in parts of that life. */
const SPREAD_PART = 0.1;
const RETRY = { firstMs: 1000, longestMs: 30_000 };

/**
 * Tokens by subject and audience. Whoever asks for one that is at hand gets it at once, and past half of its life the next
 * one is got in the background; whoever asks for the same at the same time waits for one call.
 */
export class TokenCache {
  readonly #options: TokenCacheOptions;
  readonly #held: BoundedMap<string, Held>;
  readonly #flights = new Map<string, Flight>();

  constructor(options: TokenCacheOptions) {
    this.#options = options;
    this.#held = new BoundedMap(options.most ?? MOST_TOKENS);
  }

  /** How many tokens are kept. */
  get size(): number {
    return this.#held.size;
  }

  async get(request: TokenRequest, signal: AbortSignal | undefined): Promise<JwtSvid> {
    signal?.throwIfAborted();
    const key = JSON.stringify([request.subject, ...request.audience]);
    const held = this.#held.get(key);
    const now = this.#options.clock.now();
    if (held === undefined || now >= held.goodUntilMs)
      return waitFor(this.#fly(key, request).token, signal);
    if (now >= held.refreshAtMs && !this.#flights.has(key)) this.#refresh(key, request, held);
    return held.svid;
  }

  /** Drops what is kept and under way for one subject. */
  forget(subject: string, error: SpiffeError): void {
    this.#held.drop(({ svid }) => svid.id.toString() === subject);
    this.#abandon(error, ({ request }) => request.subject === subject);
  }

  /** Drops everything; whoever waits gets this error. */
  clear(error: unknown): void {
    this.#held.drop(() => true);
    this.#abandon(error, () => true);
  }

  #abandon(error: unknown, which: (flight: Flight) => boolean): void {
    for (const [key, flight] of this.#flights) {
      if (!which(flight)) continue;
      // Now, and not when it has ended: who asks from here on asks anew.
      this.#flights.delete(key);
      flight.abandon.abort(error);
    }
  }

  #fly(key: string, request: TokenRequest): Flight {
    const under = this.#flights.get(key);
    if (under !== undefined) return under;
    const abandon = new AbortController();
    const flight = { request, abandon, token: this.#load(key, request, abandon.signal) };
    this.#flights.set(key, flight);
    const land = (): void => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    // Whoever waits hears of a failure; where nobody does any more, nobody has to.
    flight.token.then(land, land);
    return flight;
  }

  async #load(key: string, request: TokenRequest, signal: AbortSignal): Promise<JwtSvid> {
    const svid = await waitFor(this.#options.load(request, signal), signal);
    signal.throwIfAborted();
    this.#held.set(key, this.#schedule(svid));
    return svid;
  }

  #refresh(key: string, request: TokenRequest, held: Held): void {
    const { clock, logger, random = Math.random } = this.#options;
    const { token, abandon } = this.#fly(key, request);
    token.catch((error: SpiffeError) => {
      if (abandon.signal.aborted) return;
      // WLA-31: it is no longer ours to use.
      if (error.code === 'ERR_SPIFFE_WORKLOAD_API_DENIED') this.#held.delete(key);
      held.failures++;
      held.refreshAtMs = clock.now() + backoffMs(RETRY, held.failures, random());
      logger.warn(
        { code: error.code, id: held.svid.id.toString(), audience: request.audience },
        `cannot renew a JWT-SVID: ${reasonOf(error)}`,
      );
    });
  }

  #schedule(svid: JwtSvid): Held {
    const { clock, random = Math.random } = this.#options;
    const now = clock.now();
    const ends = svid.expiresAt.getTime();
    const life = ends - issuedAt(svid, now);
    const due = ends - life / 2 + random() * SPREAD_PART * life;
    return {
      svid,
      goodUntilMs: ends - marginMs(svid, now),
      // The issuer may keep tokens too, and give one that is past half of its life: then half of what is left.
      refreshAtMs: due > now ? due : now + (ends - now) / 2,
      failures: 0,
    };
  }
}

/** How much of its life a token must have left to be of use. */
export function marginMs(svid: JwtSvid, now: number): number {
  return Math.min(MARGIN_MS, MARGIN_PART * (svid.expiresAt.getTime() - issuedAt(svid, now)));
}

function issuedAt({ claims }: JwtSvid, now: number): number {
  const { iat } = claims;
  return typeof iat === 'number' ? Math.min(iat * 1000, now) : now;
}
