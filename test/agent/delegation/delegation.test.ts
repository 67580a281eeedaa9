import {
  allArguments,
  type CallContext,
  callService,
  type Delegation,
  exact,
  oneOf,
  optional,
  takeAnswer,
  urlUnder,
  wildcard,
} from 'agent-spiffe/agent';
import { expect } from 'chai';
import { rejection, taskOf } from '../support.js';
import { type Letter, type MailService, mailService } from './mail-service.js';
import {
  AGENTS,
  DelegationWorld,
  MAILER,
  ORCHESTRATOR,
  type Party,
  RESEARCHER,
  SECRET,
  SEND,
  WEB,
} from './world.js';

describe('delegation', () => {
  let world: DelegationWorld;
  let orchestrator: Party;
  let researcher: Party;
  let mailer: Party;
  let mail: MailService;

  beforeEach(async () => {
    world = await DelegationWorld.open();
    orchestrator = await world.party(ORCHESTRATOR);
    researcher = await world.party(RESEARCHER);
    mailer = await world.party(MAILER);
    mail = await mailService(world, mailer);
  });

  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  /** Wraps `send` as a call of the mailer. */
  const remote = (party: Party) => {
    const fetch = world.fetch(party, { [mail.origin]: MAILER });
    return party.guard.tool('send', SEND, async (_: Letter, context) =>
      (await callService(context, { fetch, url: mail.url })).text(),
    );
  };

  it('a task shows its own grant to a service, call by call', async () => {
    const send = remote(orchestrator);
    const may = taskOf({ send: { to: oneOf('ann@acme.example'), body: wildcard() } });
    await orchestrator.guard.task(may, async () => {
      expect(await send({ to: 'ann@acme.example', body: 'one' })).to.equal('sent');
      expect(await send({ to: 'ann@acme.example', body: 'two' })).to.equal('sent');
    });
    expect(mail.sent.map(({ body }) => body)).to.deep.equal(['one', 'two']);
    expect(orchestrator.log.of('grant.issue')).to.have.lengthOf(1);
    const accepted = mailer.log.of('grant.accept');
    expect(accepted).to.have.lengthOf(2);
    expect(accepted[0]?.grant.chain).to.deep.equal(
      orchestrator.log.of('grant.issue')[0]?.grant.chain,
    );
    expect(accepted[0]).to.include({ tool: 'send', issuer: ORCHESTRATOR });
  });

  it('passes a part of a task on to another agent, who calls a service by it', async () => {
    orchestrator.guard.tool('send', SEND, () => 'not here');
    const send = remote(researcher);
    const may = taskOf({
      send: { to: oneOf('ann@acme.example', 'bob@acme.example'), body: wildcard() },
    });
    const task = await orchestrator.guard.startTask(may);
    const delegation = await task.delegate({
      to: RESEARCHER,
      offer: researcher.guard.offer(),
      tools: { send: { to: exact('ann@acme.example'), body: wildcard() } },
      budget: { calls: 2 },
    });
    const wire: unknown = JSON.parse(JSON.stringify(delegation));
    const theirs = await researcher.guard.startDelegated(wire, {
      from: AGENTS,
      purpose: 'write to ann',
    });
    expect(theirs.grantIds).to.deep.equal(delegation.ids);
    await theirs.run(async () => {
      expect(await send({ to: 'ann@acme.example', body: 'hello' })).to.equal('sent');
      expect(await rejection(send({ to: 'bob@acme.example', body: 'hello' }))).to.include({
        reason: 'argument',
      });
    });
    expect(mail.sent).to.deep.equal([{ to: 'ann@acme.example', body: 'hello' }]);
    const [{ grant } = { grant: undefined }] = mailer.log.of('grant.accept');
    expect(grant?.chain)
      .to.have.lengthOf(2)
      .and.to.deep.equal(orchestrator.log.of('grant.derive')[0]?.grant.chain);
    expect(grant?.holder).to.equal(RESEARCHER);
  });

  it('refuses to pass on more than the task has, and names tool and argument', async () => {
    orchestrator.guard.tool('send', SEND, () => 'not here');
    const may = taskOf(
      { send: { to: exact('ann@acme.example'), body: wildcard() } },
      { budget: { calls: 3 } },
    );
    await orchestrator.guard.task(may, async (task) => {
      const send = { to: exact('ann@acme.example'), body: wildcard() };
      const offer = researcher.guard.offer();
      const delegate = (more: object): Promise<unknown> =>
        task.delegate({ to: RESEARCHER, offer, tools: { send }, ...more });
      const wider = await rejection(delegate({ tools: { send: { ...send, to: wildcard() } } }));
      expect(wider.message).to.include('"to" of "send"');
      const other = await rejection(delegate({ tools: { call: allArguments() } }));
      expect(other.message).to.include('"call"');
      const more = await rejection(delegate({ tools: { send: { ...send, cc: wildcard() } } }));
      expect(more.message).to.include('"cc"');
      expect(await rejection(delegate({ ttlMs: 3_600_000 }))).to.include({ step: '4h' });
      expect(await rejection(delegate({ budget: { calls: 4 } }))).to.include({ step: 'budget' });
      expect(await rejection(delegate({ maxDepth: 8 }))).to.include({ step: '4g' });
      expect((await rejection(delegate({ to: MAILER }))).message).to.include(RESEARCHER);
      await delegate({ ttlMs: 1_000, budget: { calls: 3 }, maxDepth: 7 });
    });
  });

  it('passes on a tool under urlUnder by values that it accepts, or not at all', async () => {
    const spec = { ...WEB, returns: { confidentiality: 'internal' } } as const;
    orchestrator.guard.tool('get', spec, () => 'not here');
    const may = taskOf({ get: { url: urlUnder('https://api.example/customers/acme') } });
    await orchestrator.guard.task(may, async (task) => {
      const offer = researcher.guard.offer();
      const get = (url: ReturnType<typeof exact>): Promise<unknown> =>
        task.delegate({ to: RESEARCHER, offer, tools: { get: { url } } });
      await get(exact('https://api.example/customers/acme/orders'));
      await get(
        oneOf('https://api.example/customers/acme', 'https://api.example/customers/acme/1'),
      );
      for (const url of [
        urlUnder('https://api.example/customers/acme'),
        wildcard(),
        exact('https://api.example/customers/globex'),
        oneOf('https://api.example/customers/acme', 'https://evil.example/'),
      ])
        expect((await rejection(get(url))).message).to.include('"url" of "get"');
      // What the task must give, whoever it passes the tool on to must give too.
      const maybe = optional(exact('https://api.example/customers/acme'));
      expect(await rejection(get(maybe))).to.include({ step: '4p3' });
    });
  });

  it('leaves out what is optional under urlUnder where no value is named, unless anything might stand in its place', async () => {
    const show = orchestrator.guard.tool('send', WEB, (_: object, context) =>
      context.showGrant({ audience: MAILER }),
    );
    const where = optional(urlUnder('https://api.example/'));
    const may = { send: { q: wildcard(), where } };
    await orchestrator.guard.task(taskOf(may), async (task) => {
      const { aat_chain: chain } = (await show({ q: 'a' })).toJSON();
      const [, payload = ''] = chain[0]?.split('.') ?? [];
      const claims = Buffer.from(payload, 'base64url').toString();
      expect(claims).to.include('"send":{"q":').and.not.include('where');
      const offer = researcher.guard.offer();
      const tools = { send: { q: exact('a') } };
      expect((await task.delegate({ to: RESEARCHER, offer, tools })).tools).to.deep.equal(['send']);
    });
    const open = taskOf({ send: { '*': wildcard(), where } });
    const error = orchestrator.guard.task(open, () => show({ q: 'a' }));
    expect((await rejection(error)).message).to.include('"where" of "send"');
  });

  it('labels travel: what was read before a delegation, and what an answer says to hold', async () => {
    const read = orchestrator.guard.tool('read', WEB, () => 'orders of a stranger');
    orchestrator.guard.tool('secret', SECRET, () => 'not here');
    const answers: (string | undefined)[] = ['internal, trusted', undefined];
    const theirs = await world.serve(researcher, (_, response) => {
      const labels = answers.shift();
      if (labels !== undefined) response.setHeader('spiffe-labels', labels);
      response.end('an answer');
    });
    const fetch = world.fetch(orchestrator, { [theirs]: RESEARCHER });
    researcher.guard.tool('secret', SECRET, () => 'hunter2');
    let delegation: Delegation | undefined;
    const ask = orchestrator.guard.tool('ask', WEB, async (_: object, context: CallContext) => {
      const response = await fetch(theirs);
      takeAnswer(context, delegation as Delegation, response);
      return response.text();
    });
    const may = taskOf({ read: allArguments(), ask: allArguments(), secret: allArguments() });
    const task = await orchestrator.guard.startTask(may);
    await task.run(() => read({}));
    delegation = await task.delegate({
      to: RESEARCHER,
      offer: researcher.guard.offer(),
      tools: { secret: allArguments() },
    });
    const wire: unknown = JSON.parse(JSON.stringify(delegation));
    const delegated = await researcher.guard.startDelegated(wire, {
      from: AGENTS,
      purpose: 'look',
    });
    expect(delegated.labels).to.deep.equal({ confidentiality: 'public', integrity: 'untrusted' });
    await task.run(() => ask({}));
    expect(task.labels.confidentiality).to.equal('internal');
    await task.run(() => ask({}));
    expect(task.labels.confidentiality).to.equal('confidential');
  });
});
