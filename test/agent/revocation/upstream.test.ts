import { ANY_SPIFFE_ID } from 'agent-spiffe';
import {
  type CallContext,
  createGuard,
  type Delegation,
  exact,
  functionPolicy,
  type Guard,
  type Task,
  wildcard,
} from 'agent-spiffe/agent';
import { expect } from 'chai';
import {
  DelegationWorld,
  ORCHESTRATOR,
  type Party,
  RESEARCHER,
  SEND,
} from '../delegation/world.js';
import { deferred, MemoryLog, rejection, taskOf } from '../support.js';

const LETTER = { to: 'ann@acme.example', body: 'hello' };
const MAY = { send: { to: exact('ann@acme.example'), body: wildcard() } };

describe('a task that works by the grant of another', () => {
  let world: DelegationWorld;
  let orchestrator: Party;
  let researcher: Party;
  let tasks: readonly Task[];
  let theirs: readonly Task[];
  let send: (args: typeof LETTER) => Promise<unknown>;
  let entered: ReturnType<typeof deferred<AbortSignal>>;
  let hold: ReturnType<typeof deferred<string>>;

  beforeEach(async () => {
    world = await DelegationWorld.open();
    orchestrator = await world.party(ORCHESTRATOR);
    researcher = await world.party(RESEARCHER, { revokedBy: [orchestrator] });
    orchestrator.guard.tool('send', SEND, () => 'not here');
    entered = deferred<AbortSignal>();
    hold = deferred<string>();
    send = researcher.guard.tool('send', SEND, (_: typeof LETTER, context: CallContext) => {
      entered.resolve(context.signal);
      return hold.promise;
    });
    tasks = await Promise.all([1, 2].map(() => orchestrator.guard.startTask(taskOf(MAY))));
    theirs = await Promise.all(tasks.map((task) => start(task)));
  });

  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  async function start(task: Task, guard: Guard = researcher.guard): Promise<Task> {
    const offer = guard.offer();
    const delegation: Delegation = await task.delegate({ to: RESEARCHER, offer, tools: MAY });
    const wire: unknown = JSON.parse(JSON.stringify(delegation));
    return await guard.startDelegated(wire, { from: ANY_SPIFFE_ID, purpose: 'write' });
  }

  it('ends, and what runs in it is aborted, when its process learns that the grant was revoked', async () => {
    const [task, other] = theirs as readonly [Task, Task];
    const call = task.run(() => send(LETTER));
    const signal = await entered.promise;
    await tasks[0]?.end();
    expect(signal.aborted).to.equal(false);
    await researcher.lists?.refresh();
    expect(signal.aborted).to.equal(true);
    expect(await rejection(call)).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    expect([task.state, other.state]).to.deep.equal(['revoked', 'open']);
    hold.resolve('sent');
    expect(await other.run(() => send(LETTER))).to.equal('sent');
    await task.end();
    expect(researcher.log.of('task.end')[0]).to.include({
      ending: 'revoked',
      reason: 'the grant that it works by was revoked',
    });
  });

  it('cannot be started by a grant that is known to be revoked', async () => {
    const [task, other] = tasks as readonly [Task, Task];
    const wires = await Promise.all(
      [task, other].map(async (each) => {
        const offer = researcher.guard.offer();
        return JSON.parse(
          JSON.stringify(await each.delegate({ to: RESEARCHER, offer, tools: MAY })),
        ) as unknown;
      }),
    );
    await task.end();
    await researcher.lists?.refresh();
    const begin = (wire: unknown): Promise<Task> =>
      researcher.guard.startDelegated(wire, { from: ANY_SPIFFE_ID, purpose: 'write' });
    expect(await rejection(begin(wires[0]))).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    expect((await begin(wires[1])).state).to.equal('open');
  });

  it('ends in the same moment where the grant is of another guard of its process', async () => {
    await using near = await createGuard({
      identity: researcher.me,
      audit: new MemoryLog(),
      policy: functionPolicy(() => true),
      revocation: orchestrator.guard.revocations,
    });
    near.tool('send', SEND, () => 'sent');
    const started = await Promise.all(tasks.map((each) => start(each, near)));
    void tasks[0]?.end();
    expect(started.map(({ state }) => state)).to.deep.equal(['revoked', 'open']);
  });
});
