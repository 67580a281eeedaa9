/** The part of a response of Node that tells how it ended. */
interface Outgoing {
  readonly writableFinished: boolean;
  once(event: 'close', listener: () => void): unknown;
}

/** Aborts when the caller is gone before it was answered. */
export function goneSignal(outgoing: Outgoing): AbortSignal {
  const gone = new AbortController();
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) gone.abort();
  });
  return gone.signal;
}
