import type { X509Snapshot } from 'agent-spiffe';

interface Watched {
  updates(options: { readonly signal: AbortSignal }): AsyncIterable<X509Snapshot>;
}

/** The first state from now on that is as asked for; fails when that takes longer than `withinMs`. */
export async function nextState(
  source: Watched,
  as: (snapshot: X509Snapshot) => boolean,
  withinMs = 20_000,
): Promise<X509Snapshot> {
  for await (const snapshot of source.updates({ signal: AbortSignal.timeout(withinMs) }))
    if (as(snapshot)) return snapshot;
  throw new Error('the source ended before the state came');
}
