import type { BoundFetch, Verifier } from '../../identity/source.js';
import { SpiffeId } from '../../identity/spiffe-id.js';
import { type Clock, SYSTEM_CLOCK } from '../../internal/clock.js';
import { checkDuration } from '../../internal/options.js';
import { quote } from '../../internal/quote.js';
import { checkLogger, type Logger, SILENT } from '../../log.js';
import type { GrantStatus } from '../grant/verify.js';
import { checkCount, checkFunction, checkMembers, checkText, optionError } from '../options.js';
import { Feed, type FeedSetting } from './feed.js';
import { Polling } from './polling.js';
import {
  agentOf,
  isTask,
  type RevocableLink,
  type RevocationSource,
  taskIdOf,
  worst,
} from './source.js';
import { Watchers } from './watchers.js';

/** Options of {@link RevocationLists.open}. */
export interface RevocationListsOptions {
  /** By whose bundles the SVIDs that sign lists must verify. */
  readonly identity: Verifier;
  /** Gets the lists. */
  readonly fetch: BoundFetch;
  /**
   * Where each agent publishes what it has revoked, by its SPIFFE ID: an `https:` URL, or one for each of several processes
   * that share the ID, all of which must then answer for it. Tokens that anyone else signed are unknown.
   */
  readonly publishers: Readonly<Record<string, string | readonly string[]>>;
  /** How long to wait after one answer before the next is asked for. Default: 5,000. */
  readonly pollMs?: number;
  /** For how long a list is still believed after its time is over; then all it could speak for is unknown. Default: 15,000. */
  readonly graceMs?: number;
  /** How long a publisher may take. Default: 5,000. */
  readonly timeoutMs?: number;
  /** Told of each list that could not be had, or is not believed. Default: silent. */
  readonly logger?: Logger;
}

const MEMBERS = ['identity', 'fetch', 'publishers', 'pollMs', 'graceMs', 'timeoutMs', 'logger'];

/**
 * What agents say that they have revoked, kept up to date from the lists that they sign. A publisher that answers is at
 * most `pollMs` and its answer behind; what one that does not answer has signed is unknown, and so refused, when the time
 * of its last list and `graceMs` are over. Closed by whoever opened it; from then on all is unknown.
 */
export class RevocationLists implements RevocationSource {
  readonly #feeds = new Map<string, readonly Feed[]>();
  readonly #polls: readonly Polling[];
  readonly #logger: Logger;
  readonly #watchers = new Watchers();
  readonly #closing = new AbortController();

  /** @internal */
  constructor(options: RevocationListsOptions, clock: Clock) {
    const what = 'the options of revocation lists';
    checkMembers(what, options, MEMBERS);
    const { identity, publishers, pollMs = 5_000, graceMs = 15_000, timeoutMs = 5_000 } = options;
    const fetch = checkFunction(`${what}: fetch`, options.fetch);
    const x509 = (identity as Partial<Verifier> | undefined)?.x509;
    if (x509 === undefined) throw optionError(what, 'identity is missing');
    const every = checkDuration('pollMs', pollMs);
    this.#logger = checkLogger(options.logger ?? SILENT);
    const setting: FeedSetting = {
      fetch,
      x509,
      clock,
      graceMs: checkCount(`${what}: graceMs`, graceMs, 0),
      timeoutMs: checkDuration('timeoutMs', timeoutMs),
    };
    checkMembers(`${what}: publishers`, publishers, Object.keys(publishers ?? {}));
    for (const [id, urls] of Object.entries(publishers))
      this.#feeds.set(...feedsOf(id, urls, setting));
    // Each on its own: a publisher that takes its time slows no other down.
    this.#polls = [...this.#feeds.values()]
      .flat()
      .map((feed) => new Polling(() => this.#poll(feed), every, clock));
  }

  /**
   * Opens it: resolves when each publisher has been asked once, whether it has answered or not.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, `ERR_SPIFFE_ID_INVALID`; and what `fetch.peerRule` throws for a URL
   * that it is bound to no peer at.
   */
  static open(options: RevocationListsOptions): Promise<RevocationLists> {
    return openListsWith(options, SYSTEM_CLOCK);
  }

  status(link: RevocableLink): GrantStatus {
    if (this.#closing.signal.aborted) return 'unknown';
    const by = link.by.toString();
    const feeds = this.#feeds.get(by) ?? this.#feeds.get(agentOf(by)) ?? [];
    // Which of several processes signed it is not known: none may have revoked it, and each must know that.
    return worst(feeds.map((feed) => feed.status(link)));
  }

  /** Of a task: `active` when its agent has listed all that have ended, and not this one. */
  taskStatus(id: SpiffeId): GrantStatus {
    const task = id.toString();
    if (this.#closing.signal.aborted || !isTask(task)) return 'unknown';
    const feeds = this.#feeds.get(agentOf(task)) ?? [];
    return worst(feeds.map((feed) => feed.taskStatus(taskIdOf(task))));
  }

  watch(listener: () => void): () => void {
    return this.#watchers.add(listener);
  }

  /** Asks every publisher, not before now, and resolves when each has answered or failed; never rejects. */
  async refresh(): Promise<void> {
    await Promise.all(this.#polls.map((poll) => poll.now()));
  }

  /** Asks no more. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#polls.map((poll) => poll.end()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #poll(feed: Feed): Promise<void> {
    const { signal } = this.#closing;
    try {
      if (await feed.poll(signal)) this.#watchers.tell();
    } catch (err) {
      if (signal.aborted) return;
      const publisher = feed.publisher.toString();
      this.#logger.warn({ err, publisher }, 'a list of revoked grants could not be had');
    }
  }
}

/** As {@link RevocationLists.open}, with the clock in the caller's hand. */
export async function openListsWith(
  options: RevocationListsOptions,
  clock: Clock,
): Promise<RevocationLists> {
  const lists = new RevocationLists(options, clock);
  await lists.refresh();
  return lists;
}

function feedsOf(
  id: string,
  given: string | readonly string[],
  setting: FeedSetting,
): [string, readonly Feed[]] {
  const what = `the publishers of revocation lists: ${quote(id)}`;
  const publisher = SpiffeId.parse(id);
  const urls = typeof given === 'string' ? [given] : given;
  if (!Array.isArray(urls) || urls.length === 0) throw optionError(what, 'it has no URL');
  const feeds = (urls as readonly string[]).map((url) => {
    setting.fetch.peerRule(checkText(what, url));
    return new Feed(publisher, url, setting);
  });
  return [publisher.toString(), feeds];
}
