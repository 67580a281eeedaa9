import { inspect } from 'node:util';
import { SpiffeError, type X509Svid } from 'agent-spiffe';
import type { Task } from 'agent-spiffe/agent';
import { createFetch, peerOf } from 'agent-spiffe/http';
import { expect } from 'chai';
import { httpService } from '../../support/http-service.js';
import { refusal } from '../../support/refusal.js';
import { rejection } from '../../support/rejection.js';
import { staticIdentity } from '../../support/static-identity.js';
import { AGENT, credentialBench, withSvid } from '../../support/task-credential.js';
import { until } from '../../support/until.js';
import { bench, deferred, taskOf } from '../support.js';

const MINUTE = 60_000;
const idOf = (task: Task): string => task.identity.x509.svid().id.toString();

describe('the credential of a task', () => {
  it('is an SVID below the ID of the agent, on record before anyone has it', async () => {
    const { guard, log, credentials } = await credentialBench();
    log.before = (event) => {
      if (event.kind === 'credential' && event.operation === 'issued')
        expect(guard.tasks.map(hasIdentity)).to.deep.equal([false]);
    };
    const task = await guard.startTask(withSvid());
    const svid = task.identity.x509.svid();
    expect(svid.id.toString()).to.equal(`${AGENT}/task/${task.id}`);
    expect(log.kinds).to.deep.equal(['task.start', 'credential']);
    expect(log.of('credential')[0]).to.deep.include({
      operation: 'issued',
      credential: 'x509-svid',
      reference: svid.serialNumber,
      subject: `${AGENT}/task/${task.id}`,
      expiresAt: svid.notAfter.getTime(),
    });
    expect(credentials.asked[0]).to.include({ taskId: task.id, purpose: 'a test' });
    expect(credentials.asked[0]?.expiresAt).to.deep.equal(task.expiresAt);
    await guard.close();
  });

  it('is an identity like any other: to a server it is the task that calls', async () => {
    const { guard, ca } = await credentialBench();
    const service = await httpService(
      staticIdentity(ca, 'spiffe://example.org/tools/search'),
      `${AGENT}/task/*`,
      (req, res) => void res.end(peerOf(req).id.toString()),
    );
    const task = await guard.startTask(withSvid());
    const peers = { [service.origin]: 'spiffe://example.org/tools/search' };
    await using fetch = createFetch(task.identity, { peers });
    expect(await (await fetch(service.origin)).text()).to.equal(idOf(task));
    await task.end();
    await service.close();
    await guard.close();
  });

  it('serves too, and its connections close with the task', async () => {
    const { guard, ca } = await credentialBench();
    const task = await guard.startTask(withSvid());
    const service = await httpService(task.identity, AGENT, (_, res) => void res.end('here'));
    const agent = staticIdentity(ca, AGENT);
    await using fetch = createFetch(agent, { peers: { [service.origin]: idOf(task) } });
    expect(await (await fetch(service.origin)).text()).to.equal('here');
    expect(service.connections).to.have.length(1);
    await task.end();
    await until(() => service.connections.every(({ destroyed }) => destroyed));
    expect(task.identity.x509.state).to.equal('closed');
    await service.close();
    await guard.close();
  });

  it('is gone at the end: no SVID, no bundles, no new connection, and open ones close', async () => {
    const { guard, ca, log } = await credentialBench();
    const id = 'spiffe://example.org/tools/search';
    const service = await httpService(
      staticIdentity(ca, id),
      `${AGENT}/task/*`,
      (_, res) => void res.end('here'),
    );
    const task = await guard.startTask(withSvid());
    const { x509 } = task.identity;
    const { serialNumber } = x509.svid();
    await using fetch = createFetch(task.identity, { peers: { [service.origin]: id } });
    await (await fetch(service.origin)).text();
    await task.end();
    await until(() => service.connections.every(({ destroyed }) => destroyed));
    refusal('ERR_SPIFFE_SOURCE_CLOSED', 'has ended', () => x509.svid());
    refusal('ERR_SPIFFE_SOURCE_CLOSED', 'has ended', () => x509.svids());
    expect(x509.bundles.get('example.org')).to.equal(undefined);
    await rejection('ERR_SPIFFE_SOURCE_CLOSED', fetch(service.origin));
    expect(log.kinds).to.deep.equal(['task.start', 'credential', 'credential', 'task.end']);
    expect(log.of('credential')[1]).to.include({ operation: 'dropped', reference: serialNumber });
    await service.close();
    await guard.close();
  });

  it('is renewed at half of its life while the task lives, with the same key, on record', async () => {
    const { guard, clock, log, credentials } = await credentialBench();
    credentials.ttlMs = 2 * MINUTE;
    const task = await guard.startTask(withSvid());
    const first = task.identity.x509.svid();
    clock.advance(MINUTE - 1_000);
    expect(credentials.asked).to.have.length(1);
    clock.advance(1_000);
    await until(() => task.identity.x509.svid() !== first);
    const second = task.identity.x509.svid();
    expect(second.notAfter.getTime() - first.notAfter.getTime()).to.equal(MINUTE);
    expect(second.privateKey.equals(first.privateKey)).to.equal(true);
    expect(log.of('credential').map(({ operation }) => operation)).to.deep.equal([
      'issued',
      'renewed',
    ]);
    await task.end();
    expect(log.of('credential')[2]).to.include({
      operation: 'dropped',
      reference: second.serialNumber,
    });
    expect(clock.pendingTimers).to.equal(0);
    await guard.close();
  });

  it('is never valid past the end of the task, and not renewed where nothing is to be gained', async () => {
    const { guard, clock, credentials } = await credentialBench();
    const task = await guard.startTask(withSvid({ ttlMs: MINUTE }));
    const { notAfter } = task.identity.x509.svid();
    expect(notAfter.getTime()).to.be.within(clock.now() + MINUTE - 1_000, clock.now() + MINUTE);
    clock.advance(MINUTE - 1);
    expect(credentials.asked).to.have.length(1);
    expect(task.state).to.equal('open');
    clock.advance(1);
    expect(task.state).to.equal('expired');
    expect(task.identity.x509.state).to.equal('closed');
    await guard.close();
  });

  it('serves until it expires while it cannot be renewed, and is back when it can', async () => {
    const { guard, clock, credentials, logger } = await credentialBench();
    credentials.ttlMs = 2 * MINUTE;
    const task = await guard.startTask(withSvid());
    const { x509 } = task.identity;
    const states: string[] = [];
    const reading = (async () => {
      for await (const { state } of x509.updates()) states.push(state);
    })();
    const first = x509.svid();
    credentials.answer = () => Promise.reject(new Error('down'));
    clock.advance(MINUTE);
    await until(() => x509.state === 'stale');
    expect(x509.svid()).to.equal(first);
    expect(logger.at('warn')).to.have.length(1);
    credentials.answer = credentials.sign;
    clock.advance(1_000);
    await until(() => x509.state === 'ready');
    expect(x509.svid()).not.to.equal(first);
    await task.end();
    await reading;
    expect(states[0]).to.equal('ready');
    expect(states.at(-1)).to.equal('closed');
    await guard.close();
  });

  it('expires when it is not renewed; the task goes on without it', async () => {
    const { guard, clock, credentials } = await credentialBench();
    credentials.ttlMs = 2 * MINUTE;
    const task = await guard.startTask(withSvid());
    credentials.answer = () => Promise.reject(new Error('down'));
    clock.advance(2 * MINUTE + 1_000);
    refusal('ERR_SPIFFE_SVID_EXPIRED', 'could not be renewed', () => task.identity.x509.svid());
    expect(task.state).to.equal('open');
    await guard.close();
  });

  it('ends the task with it when its renewal is refused', async () => {
    const { guard, clock, credentials, log } = await credentialBench();
    credentials.ttlMs = 2 * MINUTE;
    const task = await guard.startTask(withSvid());
    credentials.answer = () =>
      Promise.reject(new SpiffeError('ERR_SPIFFE_CREDENTIAL_DENIED', 'no more'));
    clock.advance(MINUTE);
    await until(() => task.state !== 'open');
    expect(task.state).to.equal('revoked');
    await until(() => log.kinds.at(-1) === 'task.end');
    expect(log.of('task.end')[0]?.reason).to.equal('its credential was refused');
    await guard.close();
  });

  it('follows the bundles of the agent', async () => {
    const { guard, identity } = await credentialBench();
    const task = await guard.startTask(withSvid());
    const { x509 } = task.identity;
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const { bundles } of x509.updates()) seen.push(bundles);
    })();
    await until(() => seen.length > 0);
    const bundles = { get: () => undefined };
    identity.x509.set({ bundles });
    await until(() => seen.at(-1) === bundles);
    expect(x509.bundles).to.equal(bundles);
    await task.end();
    await reading;
    await guard.close();
    await until(() => identity.x509.watchers === 0);
  });

  it('is asked for by its name, and where the guard can get it', async () => {
    const { guard } = await bench();
    await rejection('ERR_SPIFFE_OPTION_INVALID', guard.startTask(withSvid()));
    const wrong = { credential: 'jwt' } as unknown as { credential: 'svid' };
    await rejection('ERR_SPIFFE_OPTION_INVALID', guard.startTask(taskOf({}, wrong)));
    const task = await guard.startTask(taskOf({}));
    refusal('ERR_SPIFFE_OPTION_INVALID', 'without credential', () => task.identity);
    await rejection('ERR_SPIFFE_OPTION_INVALID', bench({ credentials: {} as never }));
    await guard.close();
  });

  it('shows its key to nobody who prints it', async () => {
    const { guard } = await credentialBench();
    const task = await guard.startTask(withSvid());
    const { d = '' } = task.identity.x509.svid().privateKey.export({ format: 'jwk' });
    const shown = [task, task.identity, task.identity.x509].flatMap((each) => [
      inspect(each, { depth: 9, showHidden: true }),
      JSON.stringify(each) ?? '',
    ]);
    expect(d.length).to.equal(43);
    for (const text of shown) expect(text).not.to.include(d).and.not.to.include('PRIVATE');
    await guard.close();
  });
});

describe('attack: the credential of a task', () => {
  it('is not used when it could not be put on record, though it was minted', async () => {
    const { guard, log, credentials } = await credentialBench();
    log.before = (event) => {
      if (event.kind === 'credential') throw new Error('disk full');
    };
    await rejection('ERR_SPIFFE_AUDIT_UNAVAILABLE', guard.startTask(withSvid()));
    expect(credentials.asked).to.have.length(1);
    await until(() => guard.tasks.length === 0);
    log.before = () => undefined;
    const task = await guard.startTask(withSvid());
    expect(idOf(task)).to.include(task.id);
    await guard.close();
  });

  it('is not renewed by one that could not be put on record', async () => {
    const { guard, log, clock, credentials } = await credentialBench();
    credentials.ttlMs = 2 * MINUTE;
    const task = await guard.startTask(withSvid());
    const first = task.identity.x509.svid();
    log.before = (event) => {
      if (event.kind === 'credential') throw new Error('disk full');
    };
    clock.advance(MINUTE);
    await until(() => task.identity.x509.state === 'stale');
    expect(task.identity.x509.svid()).to.equal(first);
    log.before = () => undefined;
    await guard.close();
  });

  it('that comes after the end of its task is dropped, and on record as that', async () => {
    const { guard, log, credentials } = await credentialBench();
    const minted = deferred<void>();
    const recorded = deferred<void>();
    log.before = (event) => {
      if (event.kind !== 'credential' || event.operation !== 'issued') return undefined;
      minted.resolve();
      return recorded.promise;
    };
    const starting = guard.startTask(withSvid());
    await minted.promise;
    const [task] = guard.tasks;
    const ended = task?.end();
    recorded.resolve();
    await rejection('ERR_SPIFFE_TASK_ENDED', starting);
    await ended;
    expect(credentials.asked).to.have.length(1);
    expect(log.of('credential').map(({ operation }) => operation)).to.deep.equal([
      'issued',
      'dropped',
    ]);
    expect(log.kinds.at(-1)).to.equal('task.end');
    await guard.close();
  });

  const swapped: readonly (readonly [string, string])[] = [
    ['another task', `${AGENT}/task/other`],
    ['the agent itself', AGENT],
    ['another agent', 'spiffe://example.org/agents/other/task/1'],
  ];
  for (const [whose, id] of swapped) {
    it(`is not taken when it is that of ${whose}`, async () => {
      const { guard, ca, credentials } = await credentialBench();
      credentials.answer = () => Promise.resolve(ca.issue(id).certificates);
      await rejection('ERR_SPIFFE_CREDENTIAL_UNAVAILABLE', guard.startTask(withSvid()));
      await guard.close();
    });
  }

  it('is not taken when it is for another key, from another CA, or outlives the task', async () => {
    const { guard, ca, credentials, clock } = await credentialBench();
    const named = ({ taskId }: { taskId: string }): X509Svid => ca.issue(`${AGENT}/task/${taskId}`);
    credentials.answer = (request) => Promise.resolve(named(request).certificates);
    await rejection('ERR_SPIFFE_CREDENTIAL_UNAVAILABLE', guard.startTask(withSvid()));
    const stranger = (await credentialBench()).ca;
    credentials.answer = ({ csr }) => Promise.resolve(stranger.mint(csr));
    await rejection('ERR_SPIFFE_CREDENTIAL_UNAVAILABLE', guard.startTask(withSvid()));
    credentials.answer = ({ csr, expiresAt }) =>
      Promise.resolve(ca.mint(csr, { ttlMs: expiresAt.getTime() - clock.now() + 2_000 }));
    await rejection('ERR_SPIFFE_CREDENTIAL_UNAVAILABLE', guard.startTask(withSvid()));
    credentials.answer = credentials.sign;
    expect(idOf(await guard.startTask(withSvid()))).to.include(AGENT);
    await guard.close();
  });

  it('of one task is not that of another of the same process: each has its own key and ID', async () => {
    const { guard } = await credentialBench();
    const [one, other] = await Promise.all([
      guard.startTask(withSvid()),
      guard.startTask(withSvid()),
    ]);
    const [a, b] = [one.identity.x509.svid(), other.identity.x509.svid()];
    expect(a.id.equals(b.id)).to.equal(false);
    expect(a.privateKey.equals(b.privateKey)).to.equal(false);
    await one.end();
    expect(one.identity.x509.state).to.equal('closed');
    expect(other.identity.x509.svid()).to.equal(b);
    await guard.close();
  });

  it('does not outlive the identity of the agent', async () => {
    const { guard, identity } = await credentialBench();
    const task = await guard.startTask(withSvid());
    identity.x509.set({ state: 'revoked' });
    await until(() => task.state === 'revoked');
    refusal('ERR_SPIFFE_SOURCE_CLOSED', 'has ended', () => task.identity.x509.svid());
    await guard.close();
  });
});

function hasIdentity(task: Task): boolean {
  try {
    return task.identity !== undefined;
  } catch {
    return false;
  }
}
