import { SpiffeError } from 'agent-spiffe';
import { type AuditEvent, allArguments } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { type Bench, bench, deferred, rejection, rotated, taskOf } from './support.js';

const READ = { effect: 'read', returns: { confidentiality: 'public' } } as const;
const MAY = taskOf({ look: allArguments() });

/** A guard whose log fails for one kind of event, and what its logger was told. */
async function failing(
  kind: AuditEvent['kind'],
): Promise<Bench & { readonly told: string[]; readonly next: () => Promise<string> }> {
  const told: string[] = [];
  let heard = deferred<string>();
  const say = (_fields: object, message: string): void => {
    told.push(message);
    heard.resolve(message);
    heard = deferred<string>();
  };
  const made = await bench({ logger: { debug: say, info: say, warn: say, error: say } });
  made.guard.tool('look', READ, () => 'seen');
  made.log.before = (event) => {
    if (event.kind === kind) throw new Error('the disk is full');
  };
  return { ...made, told, next: () => heard.promise };
}

describe('a log that fails', () => {
  it('at the end of a task whose function threw: what it threw says more', async () => {
    const { guard, told } = await failing('task.end');
    const failure = new SpiffeError('ERR_SPIFFE_SOURCE_FAILED', 'a test');
    expect(await rejection(guard.task(MAY, () => Promise.reject(failure)))).to.equal(failure);
    expect(told).to.deep.equal(['the record of a task was not closed']);
  });

  it('at the end of a task that expired: its logger is told', async () => {
    const { guard, clock, next } = await failing('task.end');
    const task = await guard.startTask(MAY);
    const heard = next();
    clock.advance(60_000);
    expect(await heard).to.equal('the record of a task was not closed');
    expect(task.state).to.equal('expired');
    expect(await rejection(task.end())).to.include({ code: 'ERR_SPIFFE_AUDIT_UNAVAILABLE' });
  });

  it('at the signature under a task: the task is not closed well', async () => {
    const { guard, log } = await bench();
    guard.tool('look', READ, () => 'seen');
    log.checkpoint = () => Promise.reject(new Error('no key'));
    const error = await rejection(guard.task(MAY, () => 'ran'));
    expect(error).to.include({ code: 'ERR_SPIFFE_AUDIT_UNAVAILABLE' });
    expect(error.message).to.include('sign');
    log.checkpoint = () => Promise.reject(error);
    expect(await rejection(guard.task(MAY, () => 'ran'))).to.equal(error);
  });

  it('at a rotation: its logger is told, and tasks go on', async () => {
    const { guard, identity, next } = await failing('rotation');
    const task = await guard.startTask(MAY);
    const heard = next();
    identity.x509.set({ svids: [rotated()] });
    expect(await heard).to.equal('a rotation was not put on record');
    expect(task.state).to.equal('open');
  });
});

describe('a source of identity that fails to tell', () => {
  it('revokes the tasks of its guard', async () => {
    const { identity } = await bench();
    const gate = deferred<never>();
    const told = deferred<string>();
    // oxlint-disable-next-line require-yield -- it fails before there is anything to give
    identity.x509.updates = async function* updates() {
      await gate.promise;
    };
    const say = (_fields: object, message: string): void => told.resolve(message);
    const { guard } = await bench({
      identity,
      logger: { debug: say, info: say, warn: say, error: say },
    });
    guard.tool('look', READ, () => 'seen');
    const task = await guard.startTask(MAY);
    gate.reject(new Error('broken'));
    expect(await told.promise).to.equal('the source of the identity failed');
    expect(task.state).to.equal('revoked');
  });
});
