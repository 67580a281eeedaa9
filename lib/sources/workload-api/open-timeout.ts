import { SpiffeError } from '../../errors.js';
import { reasonOf } from '../held-state.js';
import { describeAddress, type WorkloadApiAddress } from './address.js';

/**
 * Why opening took too long.
 *
 * @param what - what was waited for: `X.509-SVID`.
 * @param cause - what went wrong last, if anything did.
 */
export function openTimeout(
  what: string,
  cause: SpiffeError | undefined,
  { address, timeoutMs }: { readonly address: WorkloadApiAddress; readonly timeoutMs: number },
): SpiffeError {
  const why =
    cause === undefined
      ? 'it has taken the call and sent nothing; is a SPIFFE Workload API at this address?'
      : reasonOf(cause);
  return new SpiffeError(
    'ERR_SPIFFE_OPEN_TIMEOUT',
    `no ${what} came from the Workload API at ${describeAddress(address)} within ${timeoutMs} ms: ${why}`,
    {
      cause,
      ...(cause?.grpcStatus === undefined ? {} : { grpcStatus: cause.grpcStatus }),
    },
  );
}
