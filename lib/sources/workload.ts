import { SpiffeError } from '../errors.js';
import type { Identity, SourceState, X509Snapshot, X509Source } from '../identity/source.js';
import type { SpiffeId } from '../identity/spiffe-id.js';
import { SYSTEM_CLOCK } from '../internal/clock.js';
import { quote } from '../internal/quote.js';
import { type Logger, SILENT } from '../log.js';
import { describeAddress, resolveWorkloadApiAddress } from './workload-api/address.js';
import { resolveLimits, type WorkloadLimits } from './workload-api/limits.js';
import type { OpenedWorkload, OpenSettings } from './workload-api/open.js';
import type { X509SvidPick } from './workload-api/pick.js';
import type { WorkloadJwt } from './workload-jwt.js';

/** Options of {@link Workload.open}. */
export interface WorkloadOptions {
  /** Where the Workload API is: `unix:///run/spire/agent.sock`. Default: the variable `SPIFFE_ENDPOINT_SOCKET`. */
  readonly address?: string;
  /** Which identity to use where there are several. Default: the first, as SPIFFE_Workload_API 8 has it. */
  readonly pick?: X509SvidPick;
  /** How long to wait for the first identity, in milliseconds. Default: 30 000. */
  readonly timeoutMs?: number;
  /** Ends the wait for the first identity; later it does nothing. */
  readonly signal?: AbortSignal;
  /** What to take from the Workload API at most. */
  readonly limits?: Partial<WorkloadLimits>;
  /** Default: says nothing. A pino logger fits. */
  readonly logger?: Logger;
}

/**
 * This process as a SPIFFE workload: its X.509 identity and the bundles that verify others, kept new by a stream from
 * the Workload API. The stream keeps the process running until {@link Workload.close}.
 */
export class Workload implements Identity {
  readonly x509: X509Source;
  readonly #address: string;
  readonly #jwt: OpenedWorkload['jwt'];
  readonly #close: () => void;

  private constructor(address: string, opened: OpenedWorkload) {
    this.x509 = opened.x509;
    this.#jwt = opened.jwt;
    this.#address = address;
    this.#close = opened.close;
  }

  /**
   * Calls the Workload API and waits for the first identity. From then on nothing throws unasked: what goes wrong is
   * logged, and shows in `state` and in what `svid()` throws.
   *
   * @throws SpiffeError `ERR_SPIFFE_ADDRESS_INVALID` or `ERR_SPIFFE_OPTION_INVALID` before anything is called;
   * `ERR_SPIFFE_OPEN_TIMEOUT`, whose message says what happened last and what to look at;
   * `ERR_SPIFFE_WORKLOAD_API_REJECTED` when the endpoint refuses the call for good. On abort the signal's reason.
   */
  static async open(options: WorkloadOptions = {}): Promise<Workload> {
    const settings = resolve(options);
    settings.signal?.throwIfAborted();
    // grpc-js takes longer to load than everything else here: only who opens a workload pays for it.
    const { openWorkload } = await import('./workload-api/open.js');
    return new Workload(describeAddress(settings.address), await openWorkload(settings));
  }

  /** Its JWT-SVIDs, and the bundles that verify those of others; their stream is opened the first time. */
  get jwt(): WorkloadJwt {
    return this.#jwt.start();
  }

  /** The SPIFFE ID of the identity in use; throws as `x509.svid()` does while there is none. */
  get id(): SpiffeId {
    return this.x509.svid().id;
  }

  get state(): SourceState {
    return this.x509.state;
  }

  /** The states of this workload, the present one first, as {@link X509Source.updates} gives them. */
  updates(options: { readonly signal?: AbortSignal } = {}): AsyncIterable<X509Snapshot> {
    return this.x509.updates(options);
  }

  /** Ends the streams and lets go of everything held. Safe to call twice. */
  close(): Promise<void> {
    this.#close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  toJSON(): object {
    return { address: this.#address, x509: this.x509 };
  }
}

function resolve(options: WorkloadOptions): OpenSettings {
  const { pick } = options;
  if (pick !== undefined && typeof pick !== 'function' && (typeof pick !== 'string' || pick === ''))
    throw invalid(
      'a workload',
      'pick is the hint of an identity, which is not empty, or a function',
    );
  return { ...resolveConnection(options, 'a workload'), pick };
}

/** What every source that is opened takes, judged; `what` it is, for messages. */
export function resolveConnection(
  options: Omit<WorkloadOptions, 'pick'>,
  what: string,
): Omit<OpenSettings, 'pick'> {
  const { address, timeoutMs = 30_000, signal, limits, logger = SILENT } = options;
  if (typeof timeoutMs !== 'number' || !(timeoutMs > 0))
    throw invalid(
      what,
      `timeoutMs is a number of milliseconds above 0, not ${typeof timeoutMs === 'number' ? timeoutMs : quote(timeoutMs)}`,
    );
  for (const method of ['debug', 'info', 'warn', 'error'] as const) {
    if (typeof logger[method] !== 'function')
      throw invalid(
        what,
        `the logger has no method ${method}; it needs debug, info, warn and error`,
      );
  }
  return {
    address: resolveWorkloadApiAddress(address),
    timeoutMs,
    signal,
    limits: resolveLimits(limits),
    logger,
    clock: SYSTEM_CLOCK,
  };
}

function invalid(what: string, why: string): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_OPTION_INVALID', `cannot open ${what}: ${why}`);
}
