/** Lets whatever is under way go on until this holds; fails when that takes longer than 5 s. */
export async function until(holds: () => boolean): Promise<void> {
  const deadline = AbortSignal.timeout(5000);
  while (!holds()) {
    deadline.throwIfAborted();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
