import type { SpiffeError } from 'agent-spiffe';
import { FakeClock } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { parseWorkloadApiAddress } from '#lib/sources/workload-api/address.js';
import { FETCH_X509_BUNDLES } from '#lib/sources/workload-api/proto.js';
import { Watcher } from '#lib/sources/workload-api/watcher.js';
import { FakeStreams } from '../../support/fake-streams.js';
import { memoryLogger } from '../../support/memory-logger.js';

const MESSAGE = Uint8Array.of(1, 2, 3);
const OK = 0;
const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
const UNAVAILABLE = 14;
const GONE = { unreachable: true, details: 'connect ENOENT /s' };

function watch(random = 0) {
  const clock = new FakeClock();
  const streams = new FakeStreams();
  const logger = memoryLogger();
  const messages: Uint8Array[] = [];
  const downs: SpiffeError[] = [];
  const failures: SpiffeError[] = [];
  const watcher = new Watcher({
    what: 'bundles',
    address: parseWorkloadApiAddress('unix:/s'),
    start: (events) => streams.stream(FETCH_X509_BUNDLES, {}, events),
    reconnect: streams.reconnect,
    handlers: {
      message: (bytes) => messages.push(bytes),
      down: (error) => downs.push(error),
      failed: (error) => failures.push(error),
    },
    clock,
    logger,
    random: () => random,
  });
  watcher.start();
  /** How long it waits after the present call ends so. */
  const waitAfter = (
    status: number,
    options?: { readonly details?: string; readonly unreachable?: boolean },
  ): number => {
    const calls = streams.calls.length;
    const began = clock.now();
    streams.call.end(status, options);
    while (streams.calls.length === calls) clock.advance(1);
    return clock.now() - began;
  };
  return { clock, streams, logger, messages, downs, failures, watcher, waitAfter };
}

describe('a supervised stream', () => {
  it('calls at once and hands on each message', () => {
    const { streams, messages, clock } = watch();
    expect(streams.calls).to.have.lengthOf(1);
    streams.call.send(MESSAGE);
    streams.call.send(MESSAGE);
    expect(messages).to.deep.equal([MESSAGE, MESSAGE]);
    expect(clock.pendingTimers).to.equal(0);
  });

  it('calls again at once after a clean end (WLA-04)', () => {
    const { clock, streams, downs, waitAfter } = watch();
    clock.advance(1000);
    expect(waitAfter(OK)).to.equal(0);
    expect(streams.calls).to.have.lengthOf(2);
    expect(downs).to.deep.equal([]);
  });

  it('counts a stream that lasted under a second as a failure, however it ended', () => {
    const { clock, streams, downs, waitAfter } = watch();
    streams.call.send(MESSAGE);
    clock.advance(999);
    expect(waitAfter(OK)).to.equal(200);
    expect(waitAfter(OK)).to.equal(400);
    expect(downs.map(({ code, grpcStatus }) => [code, grpcStatus])).to.deep.equal([
      ['ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE', 0],
      ['ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE', 0],
    ]);
  });

  it('waits from 200 ms to 1.5 s while the endpoint is unreachable (WLE-13)', () => {
    for (const [random, waits] of [
      [0, [200, 400, 800, 1000, 1000, 1000]],
      [0.999999, [300, 600, 1200, 1500, 1500, 1500]],
    ] as const) {
      const { waitAfter } = watch(random);
      expect(Array.from({ length: 6 }, () => waitAfter(UNAVAILABLE, GONE))).to.deep.equal(waits);
    }
  });

  it('waits from 200 ms to 10 s when the server itself fails', () => {
    const { waitAfter } = watch(0.999999);
    const waits = Array.from({ length: 8 }, () => waitAfter(UNAVAILABLE));
    expect(waits).to.deep.equal([300, 600, 1200, 2400, 4800, 9600, 10_000, 10_000]);
  });

  it('waits from 1 s to 10 s while it is denied, and never gives up (WLA-23, WLE-15)', () => {
    const { waitAfter, downs } = watch();
    const waits = Array.from({ length: 6 }, () => waitAfter(PERMISSION_DENIED));
    expect(waits).to.deep.equal([1000, 2000, 4000, 6667, 6667, 6667]);
    expect(downs.map(({ code }) => code)).to.deep.equal(
      Array.from({ length: 6 }, () => 'ERR_SPIFFE_WORKLOAD_API_DENIED'),
    );
  });

  it('gives up after InvalidArgument and Unimplemented, and after nothing else (WLE-12, WLE-16, A-25)', () => {
    const terminal = Array.from({ length: 18 }, (_, status) => status).filter((status) => {
      const { clock, streams, failures, downs } = watch();
      streams.call.end(status, { details: 'no' });
      clock.advance(60_000);
      expect(failures.length + downs.length).to.equal(1);
      expect([...failures, ...downs][0]?.grpcStatus).to.equal(status);
      if (failures.length === 0) expect(streams.calls).to.have.lengthOf(2);
      else expect(streams.calls, 'no call follows').to.have.lengthOf(1);
      return failures.length === 1;
    });
    expect(terminal).to.deep.equal([3, 12]);
  });

  it('says of a refusal for good what the server said and what to look at', () => {
    const { streams, failures, logger } = watch();
    streams.call.end(UNIMPLEMENTED, { details: 'unknown service' });
    expect(failures[0]?.code).to.equal('ERR_SPIFFE_WORKLOAD_API_REJECTED');
    expect(failures[0]?.message).to.match(
      /^the Workload API at unix:\/s refused the call for good with UNIMPLEMENTED \(12\): "unknown service"; is a SPIFFE Workload API at this address/,
    );
    expect(logger.at('error')).to.have.lengthOf(1);
  });

  it('begins with a short wait when it fails in a new way: an agent that comes up says no at first', () => {
    const { waitAfter } = watch();
    for (let i = 0; i < 20; i++) waitAfter(UNAVAILABLE, GONE);
    expect(waitAfter(PERMISSION_DENIED)).to.equal(1000);
    expect(waitAfter(UNAVAILABLE, GONE)).to.equal(200);
  });

  it('begins anew after a stream that lasted and brought something', () => {
    const { clock, streams, waitAfter } = watch();
    for (let i = 0; i < 5; i++) waitAfter(INTERNAL);
    streams.call.send(MESSAGE);
    clock.advance(1000);
    expect(waitAfter(INTERNAL)).to.equal(200);
  });

  it('does not begin anew after a stream that hung and brought nothing', () => {
    const { clock, waitAfter } = watch();
    for (let i = 0; i < 5; i++) waitAfter(INTERNAL);
    clock.advance(20_000);
    expect(waitAfter(INTERNAL)).to.equal(6400);
  });

  it('logs a failure once however often it repeats, then how often it was', () => {
    const { streams, logger, waitAfter } = watch();
    for (let i = 0; i < 50; i++) waitAfter(UNAVAILABLE, GONE);
    expect(logger.lines).to.have.lengthOf(1);
    expect(logger.lines[0]).to.deep.include({ level: 'warn' });
    expect(logger.lines[0]?.fields).to.deep.equal({
      stream: 'bundles',
      code: 'ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE',
      grpcStatus: 14,
      retryInMs: 200,
    });
    for (let i = 0; i < 7; i++) waitAfter(PERMISSION_DENIED);
    expect(logger.lines).to.have.lengthOf(2);
    streams.call.send(MESSAGE);
    streams.call.send(MESSAGE);
    expect(logger.lines).to.have.lengthOf(3);
    expect(logger.lines[2]).to.deep.equal({
      level: 'info',
      fields: { stream: 'bundles', failures: 57 },
      message: 'the stream of bundles is up again',
    });
    waitAfter(UNAVAILABLE, GONE);
    expect(logger.lines).to.have.lengthOf(4);
  });

  for (const [word, advice] of [
    ['ENOENT', /is the agent running, and does SPIFFE_ENDPOINT_SOCKET point at its socket\?/],
    ['EACCES', /the socket is closed to this process \(.*pid \d+\)/],
    ['ECONNREFUSED', /nothing listens there: is the agent running\?/],
  ] as const) {
    it(`says what to look at when connecting ends with ${word}`, () => {
      const { streams, downs } = watch();
      streams.call.end(UNAVAILABLE, { unreachable: true, details: `connect ${word} /s` });
      expect(downs[0]?.message).to.match(advice);
    });
  }

  it('ends the call when it is stopped, and hears nothing more of it', () => {
    const { streams, watcher, messages, downs, failures, clock } = watch();
    watcher.stop();
    watcher.stop();
    expect(streams.call.cancelled).to.equal(true);
    streams.call.send(MESSAGE);
    streams.call.end(UNIMPLEMENTED);
    clock.advance(60_000);
    expect([messages, downs, failures]).to.deep.equal([[], [], []]);
    expect(streams.calls).to.have.lengthOf(1);
  });

  it('leaves no timer when it is stopped while it waits', () => {
    const { clock, streams, watcher } = watch();
    streams.call.end(UNAVAILABLE, GONE);
    expect(clock.pendingTimers).to.equal(1);
    watcher.stop();
    expect(clock.pendingTimers).to.equal(0);
  });
});
