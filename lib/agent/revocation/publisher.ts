import type { X509Source } from '../../identity/source.js';
import type { Clock } from '../../internal/clock.js';
import { checkCount, checkMembers, optionError } from '../options.js';
import type { IssuedGrants } from './issued-grants.js';
import { LIST_TYPE, LONGEST_VALID_MS, signList } from './list.js';

/** Options of `guard.revocationHandler`. */
export interface RevocationHandlerOptions {
  /**
   * How long a verifier may believe a list that it cannot replace, cut to whole seconds; 2,000 to 600,000. Default:
   * 15,000.
   */
  readonly validForMs?: number;
}

/** The part of a request that the handler looks at; Node's fits. */
export interface RevocationRequest {
  readonly method?: string | undefined;
}

/** The part of a response that it writes to; Node's fits. */
export interface RevocationResponse {
  writeHead(status: number, headers: Record<string, string>): unknown;
  end(body?: string): unknown;
}

/** Answers with the signed list of what a guard has revoked, whatever the path. */
export type RevocationHandler = (request: RevocationRequest, response: RevocationResponse) => void;

const DEFAULT_VALID_MS = 15_000;
const LEAST_VALID_MS = 2_000;

/** Signs what is revoked now, anew when that or the SVID has changed, and when a third of its time is over. */
export class RevocationPublisher {
  readonly #source: X509Source;
  readonly #grants: IssuedGrants;
  readonly #clock: Clock;
  readonly #validForMs: number;
  #last: { readonly key: string; readonly at: number; readonly text: string } | undefined;

  constructor(
    source: X509Source,
    grants: IssuedGrants,
    clock: Clock,
    options: RevocationHandlerOptions = {},
  ) {
    const what = 'the options of a revocation handler';
    checkMembers(what, options, ['validForMs']);
    const validForMs = checkCount(
      `${what}: validForMs`,
      options.validForMs ?? DEFAULT_VALID_MS,
      LEAST_VALID_MS,
    );
    if (validForMs > LONGEST_VALID_MS)
      throw optionError(`${what}: validForMs`, `no verifier takes more than ${LONGEST_VALID_MS}`);
    this.#source = source;
    this.#grants = grants;
    this.#clock = clock;
    this.#validForMs = validForMs;
  }

  /** The list, as it is now. @throws SpiffeError what `svid()` throws when there is no identity to sign with. */
  list(): string {
    const svid = this.#source.svid();
    const now = this.#clock.now();
    const { sequence, ids, ended } = this.#grants.revoked();
    const key = `${sequence} ${svid.serialNumber}`;
    const last = this.#last;
    const isFresh = last !== undefined && now >= last.at && now - last.at < this.#validForMs / 3;
    if (isFresh && last.key === key) return last.text;
    const text = signList(
      svid,
      { since: this.#grants.since, sequence, ids, ended },
      now,
      this.#validForMs,
    );
    this.#last = { key, at: now, text };
    return text;
  }

  readonly handle: RevocationHandler = ({ method }, response) => {
    if (method !== 'GET' && method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' });
      response.end();
      return;
    }
    let text: string;
    try {
      text = this.list();
    } catch {
      // Without an identity nothing can be said; whoever asked does not learn why.
      response.writeHead(503, { 'cache-control': 'no-store' });
      response.end();
      return;
    }
    response.writeHead(200, {
      'content-type': `application/${LIST_TYPE}`,
      'content-length': String(text.length),
      'cache-control': 'no-store',
    });
    response.end(method === 'HEAD' ? undefined : text);
  };
}
