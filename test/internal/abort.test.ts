import { expect } from 'chai';
import { waitFor } from '#lib/internal/abort.js';

const reasonOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'it was fulfilled',
    (reason: unknown) => reason,
  );

/** A signal whose listeners can be counted. */
function counted(): { controller: AbortController; listeners: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  let count = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    count++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    count--;
    remove(...args);
  };
  return { controller, listeners: () => count };
}

describe('waiting for a promise under a signal', () => {
  it('gives what the promise gives, and leaves no listener', async () => {
    const { controller, listeners } = counted();
    const { signal } = controller;
    expect(await waitFor(Promise.resolve(1), signal)).to.equal(1);
    const error = new Error('no');
    expect(await reasonOf(waitFor(Promise.reject(error), signal))).to.equal(error);
    expect(listeners()).to.equal(0);
  });

  it('ends with the reason of the signal, before or during', async () => {
    const { controller, listeners } = counted();
    const never = new Promise<never>(() => {});
    const waiting = reasonOf(waitFor(never, controller.signal));
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await waiting).to.equal(reason);
    expect(await reasonOf(waitFor(never, controller.signal))).to.equal(reason);
    expect(listeners()).to.be.below(2);
  });

  it('is the promise itself without a signal', () => {
    const promise = Promise.resolve(1);
    expect(waitFor(promise, undefined)).to.equal(promise);
  });
});
