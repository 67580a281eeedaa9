import {
  callService,
  type DelegatedTaskOptions,
  type Delegation,
  exact,
  type Task,
  wildcard,
} from 'agent-spiffe/agent';
import { FakeClock } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { until } from '../../support/until.js';
import { rejection, taskOf } from '../support.js';
import { type Letter, type MailService, mailService } from './mail-service.js';
import {
  AGENTS,
  DelegationWorld,
  MAILER,
  ORCHESTRATOR,
  type Party,
  RESEARCHER,
  SEND,
  STRANGER,
} from './world.js';

const LETTER = { to: 'ann@acme.example', body: 'hello' };
const MAY = { send: { to: exact('ann@acme.example'), body: wildcard() } };

async function delegate(task: Task, to: Party, more: object = {}): Promise<Delegation> {
  const offer = to.guard.offer();
  return await task.delegate({ to: to.id, offer, tools: MAY, ...more });
}

const wireOf = (delegation: Delegation): unknown => JSON.parse(JSON.stringify(delegation));

describe('the life of a delegation', () => {
  let world: DelegationWorld;
  let clock: FakeClock;
  let orchestrator: Party;
  let researcher: Party;
  let mailer: Party;
  let mail: MailService;
  let sendHere: (letter: Letter) => Promise<string>;

  beforeEach(async () => {
    world = await DelegationWorld.open();
    clock = new FakeClock(new Date());
    orchestrator = await world.party(ORCHESTRATOR, { clock });
    researcher = await world.party(RESEARCHER, { clock });
    mailer = await world.party(MAILER, { clock });
    mail = await mailService(world, mailer);
    sendHere = orchestrator.guard.tool('send', SEND, ({ to }: Letter) => `not sent to ${to}`);
  });

  afterEach(() => world[Symbol.asyncDispose]());

  function remote(party: Party): (letter: Letter) => Promise<string> {
    const fetch = world.fetch(party, { [mail.origin]: MAILER });
    return party.guard.tool('send', SEND, async (_: Letter, context) =>
      (await callService(context, { fetch, url: mail.url })).text(),
    );
  }

  it('ends with the task that gave it, whatever the delegate wants', async () => {
    const task = await orchestrator.guard.startTask(taskOf(MAY, { ttlMs: 60_000 }));
    const delegation = await delegate(task, researcher);
    const whole = Math.floor(task.expiresAt.getTime() / 1000) * 1000;
    expect(delegation.expiresAt.getTime()).to.equal(whole);
    const theirs = await researcher.guard.startDelegated(wireOf(delegation), {
      from: AGENTS,
      purpose: 'write',
      ttlMs: 600_000,
    });
    expect(theirs.expiresAt.getTime()).to.equal(whole);
    clock.advance(60_000);
    await until(() => theirs.state === 'expired');
  });

  it('is cut to the SVID that signed it, and goes on when it is renewed after a rotation', async () => {
    const send = remote(researcher);
    const svid = orchestrator.me.x509.svid();
    const twoHours = 7_200_000;
    const task = await orchestrator.guard.startTask(taskOf(MAY, { ttlMs: twoHours }));
    const delegation = await delegate(task, researcher);
    expect(delegation.expiresAt.getTime()).to.equal(svid.notAfter.getTime());
    const theirs = await researcher.guard.startDelegated(wireOf(delegation), {
      from: AGENTS,
      purpose: 'write',
    });
    expect(theirs.expiresAt.getTime()).to.equal(svid.notAfter.getTime());
    const [root] = delegation.ids;

    await delegation.renew();
    expect(delegation.ids[0]).to.equal(root);
    const identities = [ORCHESTRATOR, RESEARCHER, MAILER, STRANGER];
    world.api.setIdentities(identities.map((id) => ({ id, hint: id, ttlMs: 5_400_000 })));
    await until(() => orchestrator.me.x509.svid() !== svid);
    await delegation.renew();
    expect(delegation.ids[0]).to.not.equal(root);
    await theirs.renewGrant(wireOf(delegation));
    expect(theirs.expiresAt.getTime()).to.be.greaterThan(svid.notAfter.getTime());
    expect(theirs.grantIds).to.deep.equal(delegation.ids);
    expect(await theirs.run(() => send(LETTER))).to.equal('sent');
    expect(mailer.log.of('grant.accept')[0]?.grant.chain).to.deep.equal(delegation.ids);
    expect(orchestrator.log.of('grant.issue')).to.have.lengthOf(2);
  });

  it('is not renewed by the grant of another task, nor in a task that had none', async () => {
    const [one, two] = await Promise.all([
      orchestrator.guard.startTask(taskOf(MAY)),
      orchestrator.guard.startTask(taskOf(MAY)),
    ]);
    const first = await delegate(one, researcher);
    const offer = researcher.guard.offer();
    const second = await two.delegate({ to: RESEARCHER, offer, tools: MAY });
    const theirs = await researcher.guard.startDelegated(wireOf(first), {
      from: AGENTS,
      purpose: 'write',
    });
    expect(await rejection(theirs.renewGrant(wireOf(second)))).to.include({ step: '4b2' });
    const key = theirs.key.publicJwk;
    const other = await two.delegate({
      to: RESEARCHER,
      offer: { spiffe_id: RESEARCHER, cnf: { jwk: key } },
      tools: MAY,
    });
    expect(await rejection(theirs.renewGrant(wireOf(other)))).to.include({ step: 'task' });
    const refusals = researcher.log.of('grant.refuse');
    expect(refusals.map(({ step, task }) => [step, task?.id])).to.deep.equal([
      ['4b2', theirs.id],
      ['task', theirs.id],
    ]);
    expect(await rejection(one.renewGrant(wireOf(first)))).to.include({
      code: 'ERR_SPIFFE_OPTION_INVALID',
    });
    await theirs.renewGrant(wireOf(first));
  });

  it('goes on from hand to hand as often as was said, each hand narrower', async () => {
    const stranger = await world.party(STRANGER, { clock });
    const send = remote(stranger);
    researcher.guard.tool('send', SEND, () => 'not here');
    const task = await orchestrator.guard.startTask(taskOf(MAY));
    const first = await delegate(task, researcher, { maxDepth: 1, budget: { calls: 5 } });
    const middle = await researcher.guard.startDelegated(wireOf(first), {
      from: AGENTS,
      purpose: 'pass on',
    });
    const second = await delegate(middle, stranger, { budget: { calls: 1 } });
    expect(second.ids).to.deep.equal([...first.ids, second.ids[2]]);
    const last = await stranger.guard.startDelegated(wireOf(second), {
      from: AGENTS,
      purpose: 'write',
    });
    expect(last.callsLeft).to.equal(1);
    expect(await last.run(() => send(LETTER))).to.equal('sent');
    expect(mailer.log.of('grant.accept')[0]?.grant).to.deep.include({
      chain: second.ids,
      holder: STRANGER,
    });
    expect(await rejection(delegate(last, researcher))).to.include({ step: '4e' });
  });

  it('is spent by all who hold a part of it together', async () => {
    const send = remote(researcher);
    const stranger = await world.party(STRANGER, { clock });
    const sendToo = remote(stranger);
    const task = await orchestrator.guard.startTask(taskOf(MAY, { budget: { calls: 2 } }));
    const one = await delegate(task, researcher);
    const two = await delegate(task, stranger);
    const first = await researcher.guard.startDelegated(wireOf(one), {
      from: AGENTS,
      purpose: 'write',
    });
    const second = await stranger.guard.startDelegated(wireOf(two), {
      from: AGENTS,
      purpose: 'write',
    });
    expect(await first.run(() => send({ ...LETTER, body: 'one' }))).to.equal('sent');
    expect(await second.run(() => sendToo({ ...LETTER, body: 'two' }))).to.equal('sent');
    const third = first.run(() => send({ ...LETTER, body: 'three' }));
    expect(await rejection(third)).to.include({ step: 'budget' });
    expect(mail.sent).to.have.lengthOf(2);
  });

  it('is not spent a second time when it is made anew after a rotation', async () => {
    const send = remote(researcher);
    const task = await orchestrator.guard.startTask(taskOf(MAY, { budget: { calls: 2 } }));
    for (const spent of [0, 1, 2]) {
      const theirs = await researcher.guard.startDelegated(
        wireOf(await delegate(task, researcher)),
        { from: AGENTS, purpose: 'write' },
      );
      const sent = theirs.run(() => send(LETTER));
      if (spent < 2) expect(await sent).to.equal('sent');
      else expect(await rejection(sent)).to.include({ step: 'budget' });
      const svid = orchestrator.me.x509.svid();
      world.api.rotateSvids();
      await until(() => orchestrator.me.x509.svid() !== svid);
    }
    expect(orchestrator.log.of('grant.issue')).to.have.lengthOf(3);
    expect(mail.sent).to.have.lengthOf(2);
  });

  it('is renewed with what its giver has left by then', async () => {
    const task = await orchestrator.guard.startTask(taskOf(MAY, { budget: { calls: 3 } }));
    const budget = { calls: 3, callsPerTool: { send: 3 } };
    const delegation = await delegate(task, researcher, { budget });
    await task.run(() => sendHere(LETTER));
    await delegation.renew();
    researcher.guard.tool('send', SEND, () => 'sent');
    const theirs = await researcher.guard.startDelegated(wireOf(delegation), {
      from: AGENTS,
      purpose: 'write',
    });
    expect(theirs.callsLeft).to.equal(2);
    expect(await rejection(delegate(task, researcher, { budget }))).to.include({ step: 'budget' });
  });

  it('is for services that are named, or for any', async () => {
    const task = await orchestrator.guard.startTask(taskOf(MAY));
    for (const audience of ['', [], 5, [MAILER, ''], 'mailer', null])
      expect(await rejection(delegate(task, researcher, { audience })), String(audience))
        .to.have.property('code')
        .that.is.oneOf(['ERR_SPIFFE_OPTION_INVALID', 'ERR_SPIFFE_ID_INVALID']);
    await delegate(task, researcher, { audience: [MAILER] });
  });

  it('is taken up within a minute, once', async () => {
    const task = await orchestrator.guard.startTask(taskOf(MAY, { ttlMs: 600_000 }));
    researcher.guard.tool('send', SEND, () => 'not here');
    const late = await delegate(task, researcher);
    clock.advance(60_000);
    const start = (given: Delegation): Promise<Task> =>
      researcher.guard.startDelegated(wireOf(given), { from: AGENTS, purpose: 'write' });
    expect(await rejection(start(late))).to.include({ step: 'offer' });
    const inTime = await delegate(task, researcher);
    clock.advance(59_999);
    await start(inTime);
    expect(await rejection(start(inTime))).to.include({ step: 'offer' });
  });

  it('is taken from whoever may give it, and from no one else', async () => {
    researcher.guard.tool('send', SEND, () => 'not here');
    const stranger = await world.party(STRANGER, { clock });
    stranger.guard.tool('send', SEND, () => 'not here');
    const start = async (by: Party, from: DelegatedTaskOptions['from']): Promise<Task> => {
      const task = await by.guard.startTask(taskOf(MAY));
      const wire = wireOf(await delegate(task, researcher));
      return await researcher.guard.startDelegated(wire, { from, purpose: 'write' });
    };
    expect(await rejection(start(stranger, ORCHESTRATOR))).to.include({ step: 'from' });
    const [refusal] = researcher.log.of('grant.refuse');
    expect(refusal).to.include({ step: 'from' }).and.not.have.any.keys('peer', 'tool');
    const given = stranger.log.of('grant.derive')[0]?.grant.chain;
    expect(refusal?.claimed).to.deep.equal(given);
    expect(await rejection(start(stranger, undefined as never))).to.include({
      code: 'ERR_SPIFFE_PEER_RULE_INVALID',
    });
    await start(orchestrator, ORCHESTRATOR);
    await start(stranger, AGENTS);
  });

  it('gives a task no tool that it does not hold, and fewer where its owner says so', async () => {
    const send = remote(researcher);
    researcher.guard.tool('delete', { effect: 'privilege' }, () => 'deleted');
    const task = await orchestrator.guard.startTask(taskOf(MAY));
    const start = async (tools: object): Promise<Task> =>
      researcher.guard.startDelegated(wireOf(await delegate(task, researcher)), {
        from: AGENTS,
        purpose: 'write',
        tools: tools as typeof MAY,
      });
    const more = { ...MAY, delete: { what: wildcard() } };
    expect(await rejection(start(more))).to.include({ step: '4p1' });
    expect(await rejection(start({ send: { ...MAY.send, to: wildcard() } }))).to.include({
      step: '4p4',
    });
    const narrow = await start({ send: { ...MAY.send, body: exact('hello') } });
    expect(await narrow.run(() => send(LETTER))).to.equal('sent');
    const other = narrow.run(() => send({ ...LETTER, body: 'other' }));
    expect(await rejection(other)).to.include({ reason: 'argument' });
  });
});
