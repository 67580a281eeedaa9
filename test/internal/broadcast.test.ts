import { getEventListeners } from 'node:events';
import { expect } from 'chai';
import { Broadcast } from '#lib/internal/broadcast.js';

const cursorOf = <T>(values: AsyncIterable<T, undefined>): AsyncIterator<T, undefined> =>
  values[Symbol.asyncIterator]();

describe('a broadcast', () => {
  it('gives the present value first, then each that comes', async () => {
    const broadcast = new Broadcast('a');
    const cursor = cursorOf(broadcast.values());
    expect(await cursor.next()).to.deep.equal({ done: false, value: 'a' });
    const next = cursor.next();
    broadcast.publish('b');
    expect(await next).to.deep.equal({ done: false, value: 'b' });
  });

  it('gives a slow reader the newest value and none between', async () => {
    const broadcast = new Broadcast(1);
    const cursor = cursorOf(broadcast.values());
    await cursor.next();
    broadcast.publish(2);
    broadcast.publish(3);
    expect(await cursor.next()).to.deep.equal({ done: false, value: 3 });
    expect(broadcast.latest).to.equal(3);
  });

  it('gives every reader every wake-up: none steals that of another', async () => {
    const broadcast = new Broadcast(1);
    const cursors = [cursorOf(broadcast.values()), cursorOf(broadcast.values())];
    await Promise.all(cursors.map((cursor) => cursor.next()));
    const both = Promise.all(cursors.map((cursor) => cursor.next()));
    broadcast.publish(2);
    expect((await both).map(({ value }) => value)).to.deep.equal([2, 2]);
  });

  it('ends every reader after the last value', async () => {
    const broadcast = new Broadcast('a');
    const early = cursorOf(broadcast.values());
    await early.next();
    const waiting = early.next();
    broadcast.publish('last');
    broadcast.end();
    expect(await waiting).to.deep.equal({ done: false, value: 'last' });
    expect(await early.next()).to.deep.equal({ done: true, value: undefined });
    const seen: string[] = [];
    for await (const value of broadcast.values()) seen.push(value);
    expect(seen).to.deep.equal(['last']);
  });

  it('ends a step that waits when its reader leaves, and no other', async () => {
    const broadcast = new Broadcast(1);
    const leaver = cursorOf(broadcast.values());
    const stayer = cursorOf(broadcast.values());
    await Promise.all([leaver.next(), stayer.next()]);
    const left = leaver.next();
    const stayed = stayer.next();
    await leaver.return?.();
    expect(await left).to.deep.equal({ done: true, value: undefined });
    broadcast.publish(2);
    expect(await stayed).to.deep.equal({ done: false, value: 2 });
    expect(await leaver.next()).to.deep.equal({ done: true, value: undefined });
  });

  it('rejects with the reason of the signal, whether aborted before or while it waits', async () => {
    const broadcast = new Broadcast(1);
    const reason = new Error('enough');
    const controller = new AbortController();
    const cursor = cursorOf(broadcast.values(controller.signal));
    await cursor.next();
    const waiting = cursor.next();
    controller.abort(reason);
    for (const step of [
      waiting,
      cursor.next(),
      cursorOf(broadcast.values(controller.signal)).next(),
    ])
      expect(await step.catch((error: unknown) => error)).to.equal(reason);
  });

  it('keeps nothing of readers that were aborted or have left', async () => {
    const broadcast = new Broadcast(1);
    const { signal } = new AbortController();
    for (let reader = 0; reader < 100; reader++) {
      const controller = new AbortController();
      const aborted = cursorOf(broadcast.values(controller.signal));
      await aborted.next();
      const step = aborted.next().catch(() => 'aborted');
      controller.abort();
      expect(await step).to.equal('aborted');
      const leaver = cursorOf(broadcast.values(signal));
      await leaver.next();
      const left = leaver.next();
      await leaver.return?.();
      await left;
    }
    expect(broadcast.waiting).to.equal(0);
    expect(getEventListeners(signal, 'abort')).to.have.lengthOf(0);
  });
});
