import { AsyncLocalStorage } from 'node:async_hooks';
import { Workload } from 'agent-spiffe';
import {
  type AuditLog,
  createGuard,
  functionPolicy,
  oneOf,
  optional,
  range,
  wildcard,
} from 'agent-spiffe/agent';
import type { Comparison } from './rounds.js';

interface Search {
  readonly q: string;
  readonly limit?: number;
  readonly folder: string;
}

/** What the guard adds to a call, when deciding and recording cost nothing. */
export async function agentComparisons(
  address: string,
): Promise<{ readonly comparisons: readonly Comparison[]; readonly close: () => Promise<void> }> {
  const identity = await Workload.open({ address });
  const guard = await createGuard({
    identity,
    policy: functionPolicy(() => true),
    audit: new NoLog(),
  });
  const tool = async ({ q }: Search): Promise<string> => q;
  const guarded = guard.tool(
    'search',
    { effect: 'read', returns: { confidentiality: 'internal', integrity: 'trusted' } },
    tool,
  );
  const task = await guard.startTask({
    purpose: 'a measurement',
    budget: { calls: Number.MAX_SAFE_INTEGER },
    ttlMs: 3_600_000,
    tools: {
      search: {
        q: wildcard(),
        limit: optional(range({ min: 1, max: 50 })),
        folder: oneOf('inbox', 'sent'),
      },
    },
  });
  const args: Search = { q: 'all about acme', limit: 10, folder: 'inbox' };
  const storage = new AsyncLocalStorage<number>();
  return {
    comparisons: [1, 32].map((inFlight) => ({
      name: `what the guard adds to a call, engine and log aside, ${inFlight} in flight`,
      unit: 'µs',
      ours: () => task.run(() => microseconds(() => guarded(args), inFlight)),
      rivals: [
        {
          name: 'bare',
          mark: { over: 15 },
          run: () => storage.run(1, () => microseconds(() => tool(args), inFlight)),
        },
      ],
    })),
    close: async () => {
      await guard.close();
      await identity.close();
    },
  };
}

/** The time of the processor that one call takes: on a machine that others use too, the clock on the wall shows theirs. */
async function microseconds(step: () => Promise<unknown>, inFlight: number): Promise<number> {
  const calls = 16_384;
  const worker = async (): Promise<void> => {
    for (let i = 0; i < calls / inFlight; i++) await step();
  };
  const start = process.cpuUsage();
  await Promise.all(Array.from({ length: inFlight }, worker));
  const { user, system } = process.cpuUsage(start);
  return (user + system) / calls;
}

/** A log that is durable at once. */
class NoLog implements AuditLog {
  readonly #done = Promise.resolve({ index: 0 });
  open(): Promise<void> {
    return Promise.resolve();
  }
  append(): Promise<{ readonly index: number }> {
    return this.#done;
  }
  checkpoint(): Promise<void> {
    return Promise.resolve();
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
