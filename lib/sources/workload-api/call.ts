import { SpiffeError } from '../../errors.js';
import { DEADLINE_EXCEEDED, OK, type StreamEnd, streamFailure } from './failure.js';
import type { RpcMethod } from './proto.js';
import type { SourceEnvironment } from './supervised-state.js';

/** How long an answer is waited for. */
const ANSWER_MS = 10_000;

/** Options of {@link call}. */
export interface CallOptions {
  /** Ends the call, and rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** The error for a status that means something else here than it does elsewhere. */
  readonly refusal?: (end: StreamEnd) => SpiffeError | undefined;
}

/**
 * Calls an RPC that is answered once.
 *
 * @throws SpiffeError `ERR_SPIFFE_WORKLOAD_API_DENIED`, `ERR_SPIFFE_WORKLOAD_API_REJECTED`,
 * `ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE` (also after 10 s without an answer) or
 * `ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID`; what `refusal` gives; on abort the signal's reason.
 */
export function call<Request, Response>(
  { client, address, clock }: Pick<SourceEnvironment, 'client' | 'address' | 'clock'>,
  method: RpcMethod<Request, Response>,
  request: Request,
  { signal, refusal }: CallOptions,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const answers: Uint8Array[] = [];
    const leave = (): void => {
      clock.clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
    const fail = (end: StreamEnd): void => reject(refusal?.(end) ?? streamFailure(end, address));
    const abort = (): void => {
      leave();
      stream.cancel();
      reject(signal?.reason as Error);
    };
    const timer = clock.setTimeout(() => {
      leave();
      stream.cancel();
      const details = `no answer within ${ANSWER_MS} ms`;
      fail({ status: DEADLINE_EXCEEDED, details, unreachable: false });
    }, ANSWER_MS);
    // On the wire a call that is answered once is a stream of one message.
    const stream = client.stream(method, request, {
      message: (bytes) => answers.push(bytes),
      end: (end) => {
        leave();
        if (end.status !== OK) {
          fail(end);
          return;
        }
        try {
          resolve(readOnly(method, answers));
        } catch (error) {
          reject(error);
        }
      },
    });
    signal?.addEventListener('abort', abort);
  });
}

function readOnly<Request, Response>(
  { path, response }: RpcMethod<Request, Response>,
  answers: readonly Uint8Array[],
): Response {
  const [answer] = answers;
  if (answer !== undefined && answers.length === 1) return response.decode(answer);
  throw new SpiffeError(
    'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID',
    `the Workload API answered ${path} with ${answers.length} messages, not with one`,
  );
}
