import type { Agent, Dispatcher, Pool } from 'undici';
import { SpiffeError } from '../../errors.js';
import type { Identity, Verifier } from '../../identity/source.js';
import { quote } from '../../internal/quote.js';
import { headersFor, twoAuthorizations, type UndiciHeaders } from './authorization.js';
import { type Client, type ClientOptions, parseClient } from './client-options.js';
import type { Target } from './targets.js';
import { undici } from './undici.js';
import { Waiting } from './waiting.js';

/** How undici pools connections; passed on as it is, in undici's own terms. Its timeouts are milliseconds. */
export type UndiciPoolOptions = Pick<
  Agent.Options,
  | 'bodyTimeout'
  | 'clientTtl'
  | 'connections'
  | 'headersTimeout'
  | 'keepAliveMaxTimeout'
  | 'keepAliveTimeout'
  | 'maxHeaderSize'
  | 'maxResponseSize'
  | 'pipelining'
>;

/** Options of {@link createDispatcher}. */
export interface DispatcherOptions extends ClientOptions {
  /** Default: undici's own. */
  readonly pool?: UndiciPoolOptions;
}

/** The least of each. Spelled out, since undici takes more: ways to connect around the gate. */
const POOL_OPTIONS: Readonly<Record<keyof UndiciPoolOptions, number>> = {
  bodyTimeout: 0,
  clientTtl: 0,
  connections: 1,
  headersTimeout: 0,
  keepAliveMaxTimeout: 1,
  keepAliveTimeout: 1,
  maxHeaderSize: 1,
  maxResponseSize: -1,
  pipelining: 0,
};

/** `pool` as given, or `ERR_SPIFFE_OPTION_INVALID` when it holds anything that does not belong there. */
export function checkPool(pool: UndiciPoolOptions = {}): UndiciPoolOptions {
  for (const [name, value] of Object.entries(pool)) {
    if (!Object.hasOwn(POOL_OPTIONS, name))
      throw invalidPool(
        `${quote(name)} as an option of pool: give any of ${Object.keys(POOL_OPTIONS).join(', ')}`,
      );
    const least = POOL_OPTIONS[name as keyof UndiciPoolOptions];
    // As in undici's own types: no limit.
    if (value === undefined || value === null) continue;
    if (!Number.isSafeInteger(value) || value < least) {
      const shown = typeof value === 'number' ? String(value) : quote(value);
      throw invalidPool(`${shown} as pool.${name}: give a whole number from ${least}`);
    }
  }
  return { ...pool };
}

function invalidPool(why: string): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_OPTION_INVALID', `cannot take ${why}`);
}

/**
 * Makes an undici dispatcher, for `undici.request`, `undici.fetch` and whatever takes one: each connection is verified
 * before a request is written to it, and serves only its own origin under its own rule. Where a caller lets undici
 * follow redirects, each hop is bound by the rule of its own origin.
 *
 * @param identity - a `Verifier`, which has no SVID, makes a client that verifies servers and shows them no certificate.
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` or `ERR_SPIFFE_PEER_RULE_INVALID`.
 */
export function createDispatcher(
  identity: Identity | Verifier,
  options: DispatcherOptions,
): Dispatcher {
  return dispatcherOf(parseClient(identity, options), checkPool(options.pool));
}

/** The dispatcher for options that are parsed already. Loads undici. */
export function dispatcherOf(client: Client, pool: UndiciPoolOptions): Dispatcher {
  classOfDispatcher ??= defineDispatcher();
  return new classOfDispatcher(client, pool);
}

/** For whatever is asked of a client after its end. */
export function closedError(): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_SOURCE_CLOSED',
    'cannot send a request: this client is closed',
  );
}

type DispatcherClass = new (client: Client, pool: UndiciPoolOptions) => Dispatcher;

let classOfDispatcher: DispatcherClass | undefined;

/** undici's own functions put the caller's options through to here; its types do not say so. */
function signalOf(options: object): AbortSignal | undefined {
  return 'signal' in options && options.signal instanceof AbortSignal ? options.signal : undefined;
}

interface Route {
  readonly target: Target;
  /** For a target that wants a token. */
  readonly jwt:
    | { readonly audience: string; readonly headers: (token: string) => UndiciHeaders }
    | undefined;
}

interface Pooled {
  readonly rule: string;
  readonly pool: Pool;
}

/** A class inside a function, since the class that it extends is loaded late. */
function defineDispatcher(): DispatcherClass {
  const { Agent, Dispatcher, Pool } = undici();
  return class BoundDispatcher extends Dispatcher {
    readonly #client: Client;
    readonly #options: UndiciPoolOptions;
    readonly #byOrigin = new Map<string, Pooled>();
    /** Those that take no more requests, while something is in flight on them. */
    readonly #leaving = new Map<Pool, Promise<void>>();
    readonly #waiting = new Waiting();
    #closed = false;

    constructor(client: Client, options: UndiciPoolOptions) {
      super();
      this.#client = client;
      this.#options = options;
    }

    override dispatch(
      options: Dispatcher.DispatchOptions,
      handler: Dispatcher.DispatchHandler,
    ): boolean {
      let route: Route;
      try {
        route = this.#routeOf(options);
      } catch (error) {
        return refuse(error).dispatch(options, handler);
      }
      const { target, jwt } = route;
      if (jwt === undefined) return this.#send(target, options, handler);
      // Nobody waits for the end of this: the handler is told of everything.
      this.#waiting.add(
        this.#client.token(jwt.audience, signalOf(options)),
        (token) => this.#send(target, { ...options, headers: jwt.headers(token) }, handler),
        (error) => refuse(error).dispatch(options, handler),
      );
      return true;
    }

    #routeOf({ origin, path, headers }: Dispatcher.DispatchOptions): Route {
      if (this.#closed) throw closedError();
      const target = this.#client.targets.at(String(origin), path);
      const { jwtAudience } = target;
      if (jwtAudience === undefined) return { target, jwt: undefined };
      const withToken = headersFor(headers);
      if (withToken === undefined) throw twoAuthorizations(target);
      return { target, jwt: { audience: jwtAudience, headers: withToken } };
    }

    #send(
      target: Target,
      options: Dispatcher.DispatchOptions,
      handler: Dispatcher.DispatchHandler,
    ): boolean {
      let to: Dispatcher;
      try {
        to = this.#pooled(target);
      } catch (error) {
        to = refuse(error);
      }
      return to.dispatch(options, handler);
    }

    override close(callback?: () => void): Promise<void> {
      this.#closed = true;
      return this.#end(callback);
    }

    override destroy(
      error?: Error | null | (() => void),
      callback: (() => void) | undefined = typeof error === 'function' ? error : undefined,
    ): Promise<void> {
      this.#closed = true;
      const reason = error instanceof Error ? error : null;
      this.#waiting.giveUp(reason ?? closedError());
      return this.#end(callback, (pool) => pool.destroy(reason));
    }

    async #end(callback?: () => void, cut?: (pool: Pool) => Promise<void>): Promise<void> {
      await this.#waiting.idle();
      for (const { pool } of this.#byOrigin.values()) this.#leave(pool);
      this.#byOrigin.clear();
      const left = [...this.#leaving.values()];
      if (cut !== undefined) await Promise.all([...this.#leaving.keys()].map(cut));
      await Promise.all(left);
      callback?.();
    }

    /** What is in flight ends, and nothing is added. */
    #leave(pool: Pool): void {
      const left = pool.close().finally(() => this.#leaving.delete(pool));
      this.#leaving.set(pool, left);
    }

    /** One pool an origin, and another when its rule is another than before. */
    #pooled(target: Target): Pool {
      const { origin, rule } = target;
      const before = this.#byOrigin.get(origin);
      if (before?.rule === rule.key) return before.pool;
      if (before !== undefined) this.#leave(before.pool);
      const pool = new Pool(origin, {
        ...this.#options,
        connect: (_, callback) => {
          this.#client.open(target, (error, socket) =>
            error === null ? callback(null, socket) : callback(error, null),
          );
        },
      });
      this.#byOrigin.set(origin, { rule: rule.key, pool });
      const forget = (): void => {
        if (pool.stats.connected > 0 || this.#byOrigin.get(origin)?.pool !== pool) return;
        this.#byOrigin.delete(origin);
        this.#leave(pool);
      };
      pool.on('disconnect', forget).on('connectionError', forget);
      return pool;
    }
  };

  /** An agent that has nothing but this error, and gives it to a handler in whichever form that takes. */
  function refuse(error: unknown): Agent {
    return new Agent({
      factory: () => {
        throw error;
      },
    });
  }
}
