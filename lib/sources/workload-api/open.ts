import type { Clock } from '../../internal/clock.js';
import type { Logger } from '../../log.js';
import { firstState } from '../first-state.js';
import type { WorkloadApiAddress } from './address.js';
import { WorkloadApiClient } from './client.js';
import { LazyJwt } from './lazy-jwt.js';
import type { WorkloadLimits } from './limits.js';
import { openTimeout } from './open-timeout.js';
import type { X509SvidPick } from './pick.js';
import { WorkloadX509Source } from './x509-source.js';

/** What it takes to open a workload, judged already. */
export interface OpenSettings {
  readonly address: WorkloadApiAddress;
  readonly pick: X509SvidPick | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly limits: WorkloadLimits;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** A workload that has its identity. */
export interface OpenedWorkload {
  readonly x509: WorkloadX509Source;
  readonly jwt: LazyJwt;
  readonly close: () => void;
}

/**
 * Calls the Workload API and waits for the first good state.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPEN_TIMEOUT`, or `ERR_SPIFFE_WORKLOAD_API_REJECTED` as soon as the endpoint refuses
 * the call for good; the signal's reason on abort. Nothing is left open then.
 */
export async function openWorkload(settings: OpenSettings): Promise<OpenedWorkload> {
  const { address, limits, signal } = settings;
  signal?.throwIfAborted();
  const client = new WorkloadApiClient({ address, messageBytes: limits.messageBytes });
  const environment = { ...settings, client };
  const x509: WorkloadX509Source = new WorkloadX509Source(environment, () => jwt.follow());
  const jwt = new LazyJwt(environment, x509);
  const close = (): void => {
    x509.close();
    jwt.close();
    client.close();
  };
  try {
    x509.start();
    await firstState(x509, {
      ...settings,
      timedOut: () => openTimeout('X.509-SVID', x509.trouble, settings),
    });
  } catch (error) {
    close();
    throw error;
  }
  return { x509, jwt, close };
}
