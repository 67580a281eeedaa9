import type { SpiffeError } from '../errors.js';
import type { SourceState } from '../identity/source.js';
import type { Clock } from '../internal/clock.js';

/** A source that is being opened. */
export interface Opening<State> {
  readonly trouble: SpiffeError | undefined;
  updates(options: { readonly signal: AbortSignal }): AsyncIterable<State>;
}

/**
 * Waits until a source is ready, and gives that state.
 *
 * @param options - `timedOut`: the error when that takes longer than `timeoutMs`.
 * @throws SpiffeError what `timedOut` gives, or what made the source fail for good; the signal's reason on abort.
 */
export async function firstState<State extends { readonly state: SourceState }>(
  source: Opening<State>,
  options: {
    readonly clock: Clock;
    readonly signal: AbortSignal | undefined;
    readonly timeoutMs: number;
    readonly timedOut: () => SpiffeError;
  },
): Promise<State> {
  const { clock, signal, timeoutMs, timedOut } = options;
  const deadline = new AbortController();
  const timer = clock.setTimeout(() => deadline.abort(timedOut()), timeoutMs);
  try {
    const until =
      signal === undefined ? deadline.signal : AbortSignal.any([signal, deadline.signal]);
    for await (const now of source.updates({ signal: until }))
      if (now.state === 'ready') return now;
    // The states have ended, and nobody but the endpoint can have ended them.
    throw source.trouble ?? timedOut();
  } finally {
    clock.clearTimeout(timer);
  }
}
