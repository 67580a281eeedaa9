import type { Logger } from 'agent-spiffe';
import { WorkloadApiServer } from 'agent-spiffe/testing';

/** Where this run gets its identities. */
export interface WorkloadApi extends AsyncDisposable {
  readonly address: string;
  readonly description: string;
}

/** The Workload API that the environment names, or a development one with the identities of these stories. */
export async function workloadApi(logger: Logger): Promise<WorkloadApi> {
  const address = process.env['SPIFFE_ENDPOINT_SOCKET'];
  if (address !== undefined) {
    return { address, description: 'the Workload API at', [Symbol.asyncDispose]: async () => {} };
  }
  const server = await WorkloadApiServer.open({
    trustDomain: 'example.org',
    ttlMs: 6_000, // seconds, so that you see them rotate; an hour is usual
    identities: [
      { id: 'spiffe://example.org/agents/researcher', hint: 'researcher' },
      { id: 'spiffe://example.org/tools/search', hint: 'search' },
      { id: 'spiffe://example.org/tools/mail', hint: 'mail' },
      { id: 'spiffe://example.org/tools/vault', hint: 'vault' },
      { id: 'spiffe://example.org/task-authority', hint: 'task-authority' },
      { id: 'spiffe://example.org/agents/orchestrator', hint: 'orchestrator' },
    ],
    logger,
  });
  return {
    address: server.address,
    description: 'a development Workload API, started here, at',
    [Symbol.asyncDispose]: () => server.close(),
  };
}
