import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';

/** What is taken from a Workload API at most. A message above a limit is refused and the last good state stays. */
export interface WorkloadLimits {
  /** X.509-SVIDs in one message. Default: 100. */
  readonly svids: number;
  /** Trust domains with a bundle in one message. Default: 200. */
  readonly bundles: number;
  /** Bytes of one bundle; a foreign bundle above it costs its own trust domain alone. Default: 4 MiB. */
  readonly bundleBytes: number;
  /** Certificates of one SVID, the leaf included. Default: 16. */
  readonly chainCertificates: number;
  /** Bytes of one message. Default: 16 MiB. */
  readonly messageBytes: number;
}

const MIB = 2 ** 20;

export const DEFAULT_LIMITS: WorkloadLimits = Object.freeze({
  svids: 100,
  bundles: 200,
  bundleBytes: 4 * MIB,
  chainCertificates: 16,
  messageBytes: 16 * MIB,
});

/** The limits given, and the default where none is. */
export function resolveLimits(given: Partial<WorkloadLimits> = {}): WorkloadLimits {
  if (typeof given !== 'object' || given === null)
    throw invalid(`limits is an object such as { svids: 10 }, not ${describe(given)}`);
  const limits = { ...DEFAULT_LIMITS };
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(DEFAULT_LIMITS, name))
      throw invalid(
        `there is no limit ${quote(name)}; there are ${Object.keys(limits).join(', ')}`,
      );
    if (value === undefined) continue;
    if (!Number.isSafeInteger(value) || value < 1)
      throw invalid(`the limit ${name} is a whole number from 1, not ${describe(value)}`);
    Object.assign(limits, { [name]: value });
  }
  return Object.freeze(limits);
}

function describe(value: unknown): string {
  return typeof value === 'number' ? String(value) : quote(value);
}

function invalid(why: string): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_OPTION_INVALID', `cannot open a workload: ${why}`);
}
