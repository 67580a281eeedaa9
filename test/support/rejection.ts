import { SpiffeError, type SpiffeErrorCode } from 'agent-spiffe';
import { expect } from 'chai';

/** Waits for what must be refused and gives the error, having checked that it is ours and of this code. */
export async function rejection(
  code: SpiffeErrorCode,
  outcome: Promise<unknown>,
): Promise<SpiffeError> {
  const error: unknown = await outcome.then(
    (value) => expect.fail(`it was not refused: ${String(value)}`),
    (reason: unknown) => reason,
  );
  if (!(error instanceof SpiffeError)) throw error;
  expect(error.code, error.message).to.equal(code);
  return error;
}
