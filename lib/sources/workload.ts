import { SpiffeError } from '../errors.js';
import type { Identity, SourceState, X509Snapshot, X509Source } from '../identity/source.js';
import type { SpiffeId } from '../identity/spiffe-id.js';
import { SYSTEM_CLOCK } from '../internal/clock.js';
import { checkOptions, checkSignal } from '../internal/options.js';
import { quote } from '../internal/quote.js';
import { checkLogger, type Logger, SILENT } from '../log.js';
import type { SvidFileNames } from './files/names.js';
import type { OpenedFiles } from './files/open.js';
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

/** Options of {@link Workload.openFiles}. */
export interface WorkloadFilesOptions {
  /** What the files are called. Default: as `SvidFileNames` says. */
  readonly names?: Partial<SvidFileNames>;
  /** How often to look for changes of which the system does not tell, in milliseconds. Default: 10 000. */
  readonly pollMs?: number;
  /** How long to wait for the first identity, in milliseconds. Default: 30 000. */
  readonly timeoutMs?: number;
  /** Ends the wait for the first identity; later it does nothing. */
  readonly signal?: AbortSignal;
  /** Default: says nothing. A pino logger fits. */
  readonly logger?: Logger;
}

/**
 * This process as a SPIFFE workload: its X.509 identity and the bundles that verify others, kept new by a stream from
 * the Workload API, or from files. That keeps the process running until {@link Workload.close}.
 */
export class Workload implements Identity {
  readonly x509: X509Source;
  readonly #address: string;
  readonly #jwt: OpenedWorkload['jwt'] | undefined;
  readonly #close: () => void;

  private constructor(address: string, opened: OpenedWorkload | OpenedFiles) {
    this.x509 = opened.x509;
    this.#jwt = 'jwt' in opened ? opened.jwt : undefined;
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

  /**
   * The same from PEM files, as spiffe-helper and `SvidFileWriter` write them: the SVID, its key in PKCS#8, the bundle
   * of its trust domain alone, and a directory with a bundle for each federated one. They may be replaced at any time,
   * singly or by a swap of the link `..data` as Kubernetes does it: only what fits together is taken up. While they are
   * gone or do not fit, the state is `stale` and the last good ones serve until they expire. There are no JWT-SVIDs in
   * files: `jwt` throws.
   *
   * A key that others may read is warned of, once, and used: a volume of Kubernetes is often mounted so.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` before anything is read; `ERR_SPIFFE_OPEN_TIMEOUT`, whose message
   * says which file is missing or what is wrong with it. On abort the signal's reason.
   */
  static async openFiles(directory: string, options: WorkloadFilesOptions = {}): Promise<Workload> {
    const wait = resolveWait(options, 'a workload from files');
    checkSignal(options.signal)?.throwIfAborted();
    const { openFiles } = await import('./files/open.js');
    const opened = await openFiles(directory, { ...options, ...wait, clock: SYSTEM_CLOCK });
    return new Workload(opened.directory, opened);
  }

  /** Its JWT-SVIDs, and the bundles that verify those of others; their stream is opened the first time. */
  get jwt(): WorkloadJwt {
    if (this.#jwt !== undefined) return this.#jwt.start();
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot give JWT-SVIDs: there are none in the files of ${this.#address}; open the workload with Workload.open`,
    );
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
  const connection = resolveConnection(options, 'a workload');
  const { pick } = options;
  if (pick !== undefined && typeof pick !== 'function' && (typeof pick !== 'string' || pick === ''))
    throw invalid(
      'a workload',
      'pick is the hint of an identity, which is not empty, or a function',
    );
  return { ...connection, pick };
}

/** What every source that is opened takes, judged; `what` it is, for messages. */
export function resolveConnection(
  options: Omit<WorkloadOptions, 'pick'>,
  what: string,
): Omit<OpenSettings, 'pick'> {
  const { address, signal, limits } = checkOptions(
    options,
    "{ address: 'unix:///run/spire/agent.sock' }",
  );
  return {
    ...resolveWait(options, what),
    address: resolveWorkloadApiAddress(address),
    signal: checkSignal(signal),
    limits: resolveLimits(limits),
    clock: SYSTEM_CLOCK,
  };
}

/** What whoever waits for a first state takes, judged. */
export function resolveWait(
  options: { readonly timeoutMs?: number; readonly logger?: Logger },
  what: string,
): { readonly timeoutMs: number; readonly logger: Logger } {
  const { timeoutMs = 30_000, logger = SILENT } = options;
  if (typeof timeoutMs !== 'number' || !(timeoutMs > 0))
    throw invalid(
      what,
      `timeoutMs is a number of milliseconds above 0, not ${typeof timeoutMs === 'number' ? timeoutMs : quote(timeoutMs)}`,
    );
  return { timeoutMs, logger: checkLogger(logger) };
}

function invalid(what: string, why: string): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_OPTION_INVALID', `cannot open ${what}: ${why}`);
}
