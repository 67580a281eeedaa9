import type { BoundFetch, X509BundleSource } from '../../identity/source.js';
import type { SpiffeId } from '../../identity/spiffe-id.js';
import { textWithin } from '../../internal/bounded-text.js';
import type { Clock } from '../../internal/clock.js';
import { quote } from '../../internal/quote.js';
import type { GrantStatus } from '../grant/verify.js';
import { invalid, LONGEST_LIST, type RevocationList, verifyList } from './list.js';
import { madeAt, type RevocableLink, timeOf } from './source.js';

/** What the feeds of one source share. */
export interface FeedSetting {
  readonly fetch: BoundFetch;
  readonly x509: X509BundleSource;
  readonly clock: Clock;
  readonly graceMs: number;
  readonly timeoutMs: number;
}

/** One list of one publisher, as it was last got. */
export class Feed {
  readonly publisher: SpiffeId;
  readonly url: string;
  readonly #setting: FeedSetting;
  #list: RevocationList | undefined;
  /** When its time is over, by our clock. */
  #until = 0;

  constructor(publisher: SpiffeId, url: string, setting: FeedSetting) {
    this.publisher = publisher;
    this.url = url;
    this.#setting = setting;
  }

  /** What this list says of a token. */
  status(link: RevocableLink): GrantStatus {
    const list = this.#list;
    if (list === undefined) return 'unknown';
    if (list.revoked.has(link.jti)) return 'revoked';
    return this.#answersFor(list, madeAt(link)) ? 'active' : 'unknown';
  }

  /** What this list says of a task of its publisher. */
  taskStatus(taskId: string): GrantStatus {
    const list = this.#list;
    if (list?.ended === undefined) return 'unknown';
    if (list.ended.has(taskId)) return 'revoked';
    const startedAt = timeOf(taskId);
    return startedAt !== undefined && this.#answersFor(list, startedAt) ? 'active' : 'unknown';
  }

  /** Its time is not over, and what was made then is of the process that signs it: one before is gone, and its tasks with it. */
  #answersFor(list: RevocationList, at: number): boolean {
    const { clock, graceMs } = this.#setting;
    return clock.now() < this.#until + graceMs && at >= list.since;
  }

  /**
   * Gets it anew, and says whether it is another. What it has stays when that fails.
   *
   * @throws SpiffeError `ERR_SPIFFE_REVOCATION_LIST_INVALID`, and what `fetch` throws.
   */
  async poll(signal: AbortSignal): Promise<boolean> {
    const { clock, x509 } = this.#setting;
    const askedAt = clock.now();
    const text = await this.#get(signal);
    // Verified anew though it is the same: its SVID, and our trust in it, may have ended.
    const list = verifyList(text, this.publisher, x509.bundles, clock.now());
    const newest = this.#list;
    if (newest !== undefined && isBefore(list, newest))
      throw invalid(
        `of ${this.publisher}`,
        `it was rolled back: it is number ${list.sequence} since ${list.since}, and number ${newest.sequence} since ${newest.since} was seen`,
      );
    this.#list = list;
    // By our clock from when it was asked for, should the publisher's be ahead.
    const until = Math.min(list.expiresAt, askedAt + (list.expiresAt - list.issuedAt));
    this.#until = Math.max(this.#until, until);
    return newest?.since !== list.since || newest.sequence !== list.sequence;
  }

  async #get(signal: AbortSignal): Promise<string> {
    const { clock, fetch, timeoutMs } = this.#setting;
    const late = new AbortController();
    const timer = clock.setTimeout(() => {
      late.abort(invalid(`of ${this.publisher}`, `${quote(this.url)} did not answer in time`));
    }, timeoutMs);
    try {
      const within = AbortSignal.any([signal, late.signal]);
      const response = await fetch(this.url, { signal: within });
      if (response.status !== 200)
        throw invalid(`of ${this.publisher}`, `${quote(this.url)} answered ${response.status}`);
      const text = await textWithin(response, LONGEST_LIST);
      if (text === undefined)
        throw invalid(`of ${this.publisher}`, `it is longer than ${LONGEST_LIST} characters`);
      return text;
    } finally {
      clock.clearTimeout(timer);
    }
  }
}

/** Of one process, by number; a process that began later comes after. */
function isBefore(a: RevocationList, b: RevocationList): boolean {
  return a.since === b.since ? a.sequence < b.sequence : a.since < b.since;
}
