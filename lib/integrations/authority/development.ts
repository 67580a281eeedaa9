import { SpiffeError } from '../../errors.js';
import { SYSTEM_CLOCK } from '../../internal/clock.js';
import { MINT_X509_SVID } from '../../sources/spire/proto.js';
import { resolveWorkloadApiAddress } from '../../sources/workload-api/address.js';
import type { WorkloadApiClient } from '../../sources/workload-api/client.js';
import { type ConnectedMint, connectedMint } from './mint.js';

const LARGEST_ANSWER = 1024 * 1024;
const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;

/**
 * Mints by the development Workload API (`agent-spiffe dev`, `WorkloadApiServer`), which signs for whoever reaches its
 * socket. A real SPIRE agent refuses this call: there it is the server that mints, see {@link mintWithSpire}.
 *
 * @param options - `address`: as `SPIFFE_ENDPOINT_SOCKET` has it; that one by default.
 * @throws SpiffeError `ERR_SPIFFE_ADDRESS_INVALID`
 */
export function mintWithDevelopmentServer(
  options: { readonly address?: string } = {},
): ConnectedMint {
  const address = resolveWorkloadApiAddress(options.address);
  let client: WorkloadApiClient | undefined;
  return connectedMint(
    async ({ csr, ttlSeconds, signal }) => {
      const [{ call }, { WorkloadApiClient }] = await Promise.all([
        import('../../sources/workload-api/call.js'),
        import('../../sources/workload-api/client.js'),
      ]);
      client ??= new WorkloadApiClient({ address, messageBytes: LARGEST_ANSWER });
      const answer = await call(
        { client, address, clock: SYSTEM_CLOCK },
        MINT_X509_SVID,
        { csr, ttl: ttlSeconds },
        {
          signal,
          refusal: ({ status, details }) =>
            status === PERMISSION_DENIED || status === INVALID_ARGUMENT
              ? new SpiffeError(
                  'ERR_SPIFFE_CREDENTIAL_DENIED',
                  `the development server mints no SVID: ${details}`,
                  { grpcStatus: status },
                )
              : undefined,
        },
      );
      return answer.svid.certChain;
    },
    () => client?.close(),
  );
}
