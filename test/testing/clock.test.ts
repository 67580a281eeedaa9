import { FakeClock } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { SYSTEM_CLOCK } from '#lib/internal/clock.js';

describe('the clock of tests', () => {
  it('stands still until it is told to advance', () => {
    const clock = new FakeClock(new Date(1000));
    expect(clock.now()).to.equal(1000);
    clock.advance(5);
    expect(clock.now()).to.equal(1005);
  });

  it('runs timers in the order in which they fall due, each at its own instant', () => {
    const clock = new FakeClock(new Date(0));
    const ran: string[] = [];
    const note = (name: string) => (): void => void ran.push(`${name}@${clock.now()}`);
    clock.setTimeout(note('late'), 30);
    clock.setTimeout(note('first of two'), 10);
    clock.setTimeout(note('second of two'), 10);
    clock.setTimeout(note('too late'), 31);
    clock.advance(30);
    expect(ran).to.deep.equal(['first of two@10', 'second of two@10', 'late@30']);
    expect(clock.pendingTimers).to.equal(1);
  });

  it('runs timers that timers set, if they fall due on the way', () => {
    const clock = new FakeClock(new Date(0));
    const ran: number[] = [];
    const again = (): void => {
      ran.push(clock.now());
      clock.setTimeout(again, 10);
    };
    clock.setTimeout(again, 10);
    clock.advance(35);
    expect(ran).to.deep.equal([10, 20, 30]);
    expect(clock.now()).to.equal(35);
  });

  it('does not run a timer that was cleared', () => {
    const clock = new FakeClock();
    const timer = clock.setTimeout(() => expect.fail('it ran'), 10);
    clock.clearTimeout(timer);
    clock.clearTimeout(undefined);
    clock.advance(20);
    expect(clock.pendingTimers).to.equal(0);
  });

  for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    it(`refuses to advance by ${ms} ms`, () => {
      expect(() => new FakeClock().advance(ms)).to.throw('[ERR_SPIFFE_OPTION_INVALID]');
    });
  }
});

describe('the wall clock', () => {
  it('runs a timer, and shows the time', async () => {
    const before = Date.now();
    await new Promise<void>((resolve) => SYSTEM_CLOCK.setTimeout(resolve, 1));
    expect(SYSTEM_CLOCK.now()).to.be.at.least(before);
  });

  it('does not fire at once for a wait that Node cannot hold', async () => {
    let fired = false;
    const timer = SYSTEM_CLOCK.setTimeout(() => {
      fired = true;
    }, 2 ** 31);
    await new Promise<void>((resolve) => SYSTEM_CLOCK.setTimeout(resolve, 5));
    SYSTEM_CLOCK.clearTimeout(timer);
    expect(fired).to.equal(false);
  });
});
