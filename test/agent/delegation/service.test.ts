import {
  callService,
  cedarPolicy,
  type GuardOptions,
  type Task,
  type TaskCredentials,
  wildcard,
} from 'agent-spiffe/agent';
import { createFetch } from 'agent-spiffe/http';
import { expect } from 'chai';
import { rejection, taskOf } from '../support.js';
import { type Letter, type MailService, mailService } from './mail-service.js';
import { DelegationWorld, MAILER, ORCHESTRATOR, type Party, RESEARCHER, SEND } from './world.js';

const MAY = { send: { to: wildcard(), body: wildcard() } };
const LETTER = { to: 'ann@acme.example', body: 'hello' };

describe('a service that takes grants', () => {
  let world: DelegationWorld;

  beforeEach(async () => {
    world = await DelegationWorld.open();
  });

  afterEach(() => world[Symbol.asyncDispose]());

  function remote(party: Party, mail: MailService): (letter: Letter) => Promise<string> {
    const fetch = world.fetch(party, { [mail.origin]: MAILER });
    return party.guard.tool('send', SEND, async (_: Letter, context) => {
      const response = await callService(context, { fetch, url: mail.url });
      return `${response.status} ${await response.text()}`;
    });
  }

  it('tells its policy who calls, by whose grant, and for which task', async () => {
    const asked: unknown[] = [];
    const mailer = await world.party(MAILER, {
      decide: ({ context }) => {
        asked.push(context.business, context.task.endUser);
        return true;
      },
    });
    const caller = await world.party(ORCHESTRATOR);
    const send = remote(caller, await mailService(world, mailer));
    const id = await caller.guard.task(taskOf(MAY), async (task) => {
      expect(await send(LETTER)).to.equal('200 sent');
      return task.id;
    });
    const [business, endUser] = asked;
    expect(endUser).to.equal(ORCHESTRATOR);
    const ids = caller.log.of('grant.issue')[0]?.grant.chain;
    const grant = { issuer: ORCHESTRATOR, task: id, ids };
    expect(business).to.deep.equal({ caller: ORCHESTRATOR, grant });
  });

  it('lets pass as many calls of a task as that may make, to the last', async () => {
    const mailer = await world.party(MAILER);
    const caller = await world.party(ORCHESTRATOR);
    const send = remote(caller, await mailService(world, mailer));
    const budget = { calls: 2, tools: { send: 2 } };
    await caller.guard.task(taskOf(MAY, { budget }), async () => {
      expect(await Promise.all([send(LETTER), send(LETTER)])).to.deep.equal([
        '200 sent',
        '200 sent',
      ]);
      expect(await rejection(send(LETTER))).to.include({ reason: 'budget' });
    });
    const [issued, ...more] = caller.log.of('grant.issue');
    expect(more).to.deep.equal([]);
    expect(mailer.log.of('grant.accept').map(({ grant }) => grant.jti)).to.deep.equal([
      issued?.grant.jti,
      issued?.grant.jti,
    ]);
  });

  it('decides by Cedar about whose task a call is of', async () => {
    const policy: GuardOptions['policy'] = cedarPolicy(
      {
        policies: {
          mail: `permit(principal, action in Action::"tools/call", resource)
            when { context.business.grant.issuer == "${ORCHESTRATOR}" };`,
        },
      },
      {
        business: {
          type: 'object',
          properties: {
            caller: { type: 'string' },
            grant: {
              type: 'object',
              properties: { issuer: { type: 'string' }, task: { type: 'string' } },
              required: ['issuer', 'task'],
            },
          },
          required: ['caller', 'grant'],
        },
      },
    );
    const mailer = await world.party(MAILER, { policy });
    const mail = await mailService(world, mailer);
    const [own, other] = [await world.party(ORCHESTRATOR), await world.party(RESEARCHER)];
    const [send, sendToo] = [remote(own, mail), remote(other, mail)];
    expect(await own.guard.task(taskOf(MAY), () => send(LETTER))).to.equal('200 sent');
    expect(await other.guard.task(taskOf(MAY), () => sendToo(LETTER))).to.equal('409 policy');
  });

  it('takes the grant of a task that is a workload of its own from that workload alone', async () => {
    const credentials: TaskCredentials = {
      issue: ({ csr, expiresAt }) =>
        Promise.resolve(world.api.mint(csr, { ttlMs: expiresAt.getTime() - Date.now() })),
    };
    const caller = await world.party(ORCHESTRATOR, { credentials });
    const mailer = await world.party(MAILER);
    const mail = await mailService(world, mailer);
    const peers = { [mail.origin]: MAILER };
    let by: Task | undefined;
    const send = caller.guard.tool('send', SEND, async (_: Letter, context) => {
      await using fetch = createFetch((by as Task).identity, { peers });
      return (await callService(context, { fetch, url: mail.url })).text();
    });
    const asAgent = caller.guard.tool('other', SEND, async (_: Letter, context) => {
      const fetch = world.fetch(caller, peers);
      return (await callService(context, { fetch, url: mail.url })).text();
    });
    by = await caller.guard.startTask(taskOf({ ...MAY, other: MAY.send }, { credential: 'svid' }));
    expect(await by.run(() => send(LETTER))).to.equal('sent');
    const [accepted] = mailer.log.of('grant.accept');
    expect(accepted?.grant.holder).to.equal(`${ORCHESTRATOR}/task/${by.id}`);
    expect(accepted?.issuer).to.equal(ORCHESTRATOR);
    expect(await rejection(by.run(() => asAgent(LETTER)))).to.include({ step: 'peer' });
  });
});
