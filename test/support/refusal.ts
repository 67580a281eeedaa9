import { SpiffeError, type SpiffeErrorCode } from 'agent-spiffe';
import { expect } from 'chai';

/** Runs what must be refused and gives the error, having checked that it is ours, of this code, and says so. */
export function refusal(
  code: SpiffeErrorCode,
  says: RegExp | string,
  run: () => unknown,
): SpiffeError {
  let error: unknown;
  let result: unknown;
  try {
    result = run();
  } catch (thrown) {
    error = thrown;
  }
  if (error === undefined) expect.fail(`it was not refused: ${String(result)}`);
  expect(error, 'whatever is thrown on purpose').to.be.instanceOf(SpiffeError);
  const refused = error as SpiffeError;
  expect(refused.code, refused.message).to.equal(code);
  if (typeof says === 'string') expect(refused.message).to.include(says);
  else expect(refused.message).to.match(says);
  return refused;
}
