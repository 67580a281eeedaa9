import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { createSecureServer, connect as http2Connect } from 'node:http2';
import { text } from 'node:stream/consumers';
import {
  callService,
  grantedCall,
  type RequireGrantOptions,
  requireGrant,
  type Task,
  wildcard,
} from 'agent-spiffe/agent';
import { protect } from 'agent-spiffe/http';
import { expect } from 'chai';
import { connect } from '#lib/tls/connect.js';
import { parseRule } from '#lib/tls/rule.js';
import { listen } from '../../support/listen.js';
import { rejection } from '../../support/rejection.js';
import { until } from '../../support/until.js';
import { taskOf } from '../support.js';
import {
  DelegationWorld,
  MAILER,
  ORCHESTRATOR,
  type Party,
  RESEARCHER,
  SECRET,
  SEND,
} from './world.js';

const MAY = taskOf({ send: { body: wildcard() } });

const telling =
  (labels: string): RequestListener =>
  (_, response) => {
    response.setHeader('spiffe-labels', labels);
    response.end('a secret');
  };

describe('requireGrant', () => {
  let world: DelegationWorld;
  let caller: Party;
  let service: Party;

  beforeEach(async () => {
    world = await DelegationWorld.open();
    caller = await world.party(ORCHESTRATOR);
    service = await world.party(MAILER);
    service.guard.tool('send', SEND, () => 'sent');
  });

  afterEach(() => world[Symbol.asyncDispose]());

  /** Serves behind the gate. Gives how the caller calls it, and gets the whole answer. */
  async function serve(
    handler: RequestListener,
    options: Partial<RequireGrantOptions> = {},
    follow = false,
  ): Promise<{ readonly url: string; readonly call: () => Promise<string> }> {
    const gate = requireGrant(service.guard, {
      tool: 'send',
      issuers: ORCHESTRATOR,
      ...options,
    });
    const origin = await world.serve(service, (request, response) => {
      gate(request, response, () => handler(request, response));
    });
    const url = `${origin}/send`;
    const redirect = follow ? 'follow' : 'manual';
    const fetch = world.fetch(caller, { [origin]: MAILER, [elsewhere]: RESEARCHER }, { redirect });
    const send = caller.guard.tool('send', SEND, async (_: object, context) => {
      const response = await callService(context, { fetch, url });
      return `${response.status} ${await response.text()}`;
    });
    return { url, call: () => caller.guard.task(MAY, () => send({ body: 'hello' })) };
  }

  let elsewhere = 'https://127.0.0.1:1';

  it('gives the handler a task for this one call, which ends with the response', async () => {
    let task: Task | undefined;
    const { call } = await serve((request, response) => {
      const granted = grantedCall(request);
      ({ task } = granted);
      expect(granted.args).to.deep.equal({ body: 'hello' });
      expect(granted.argsJson).to.equal('{"body":"hello"}');
      expect(task.tools).to.deep.equal(['send']);
      expect(task.callsLeft).to.equal(1);
      response.end(task.state);
    });
    expect(await call()).to.equal('200 open');
    await until(() => task?.state === 'ended');
  });

  it('lets the task call its tool with these arguments alone, and once', async () => {
    const reasons: unknown[] = [];
    const reasonOf = (outcome: Promise<unknown>): Promise<unknown> =>
      outcome.catch((error: unknown) => reasons.push((error as { reason: unknown }).reason));
    const other = await world.party(RESEARCHER);
    const tool = other.guard.tool('send', SEND, () => 'sent');
    const gate = requireGrant(other.guard, { tool: 'send', issuers: ORCHESTRATOR });
    const origin = await world.serve(other, (request, response) => {
      gate(request, response, () => {
        void (async () => {
          const { task } = grantedCall(request);
          await reasonOf(task.run(() => tool({ body: 'another' })));
          await task.run(() => tool({ body: 'hello' }));
          await reasonOf(task.run(() => tool({ body: 'hello' })));
          response.end('done');
        })();
      });
    });
    const fetch = world.fetch(caller, { [origin]: RESEARCHER });
    const send = caller.guard.tool('send', SEND, async (_: object, context) =>
      (await callService(context, { fetch, url: origin })).text(),
    );
    expect(await caller.guard.task(MAY, () => send({ body: 'hello' }))).to.equal('done');
    expect(reasons).to.deep.equal(['argument', 'budget']);
  });

  it('refuses a body that is too long, before anything is judged', async () => {
    const { call } = await serve((_, response) => response.end(), { maxBytes: 15 });
    expect(await call()).to.equal('413 {"error":"too_long"}');
    expect(service.log.kinds).to.deep.equal([]);
    const fits = await world.party(MAILER);
    fits.guard.tool('send', SEND, () => 'sent');
    service = fits;
    caller = await world.party(ORCHESTRATOR);
    const { call: again } = await serve((_, response) => response.end('ok'), { maxBytes: 16 });
    expect(await again()).to.equal('200 ok');
  });

  it('holds a call to what the receiver says itself', async () => {
    const { call } = await serve((_, response) => response.end('ok'), {
      tools: { send: { to: wildcard() } },
    });
    const error = await rejection('ERR_SPIFFE_GRANT_INVALID', call());
    expect(error).to.include({ step: 'receiver' });
  });

  it('takes the grants of those who may issue them for its tool alone', async () => {
    const { call } = await serve((_, response) => response.end('ok'), { issuers: RESEARCHER });
    expect(await rejection('ERR_SPIFFE_GRANT_INVALID', call())).to.include({ step: 'issuer' });
    expect(service.log.of('grant.refuse')[0]?.reason).to.include(ORCHESTRATOR);
    caller = await world.party(ORCHESTRATOR);
    const { call: again } = await serve((_, response) => response.end('ok'), {
      issuers: [RESEARCHER, ORCHESTRATOR],
    });
    expect(await again()).to.equal('200 ok');
  });

  it('lets nothing through that cannot be put on record', async () => {
    const { call } = await serve((_, response) => response.end('ok'));
    service.log.before = () => {
      throw new Error('the disk is full');
    };
    expect(await call()).to.equal('503 {"error":"unavailable"}');
  });

  it('is refused without a tool, and with options that nothing looks at', () => {
    for (const options of [
      {},
      { tool: '' },
      { tool: 'send', purpos: 'x' },
      { tool: 'send', maxBytes: 0 },
    ])
      expect(() => requireGrant(service.guard, options as never))
        .to.throw()
        .with.property('code', 'ERR_SPIFFE_OPTION_INVALID');
    for (const issuers of [[], undefined])
      expect(() => requireGrant(service.guard, { tool: 'send', issuers } as never))
        .to.throw()
        .with.property('code', 'ERR_SPIFFE_PEER_RULE_INVALID');
    expect(() => grantedCall({}))
      .to.throw()
      .with.property('code', 'ERR_SPIFFE_NO_TASK');
  });

  it('is never shown to where a redirect leads, also by a fetch that follows them', async () => {
    const seen: unknown[] = [];
    const other = await world.party(RESEARCHER);
    elsewhere = await world.serve(other, (request, response) => {
      seen.push(request.headers);
      response.end('here');
    });
    const { call } = await serve(
      (_, response) => response.writeHead(307, { location: `${elsewhere}/x` }).end(),
      {},
      true,
    );
    await rejection('ERR_SPIFFE_REDIRECT_REFUSED', call());
    expect(seen).to.deep.equal([]);
  });

  it('what an answer says to have read is in the task of its caller before it has the answer', async () => {
    const { url } = await serve(telling('confidential, trusted'), { issuers: RESEARCHER });
    const holder = await world.party(RESEARCHER);
    const fetch = world.fetch(holder, { [new URL(url).origin]: MAILER });
    const send = holder.guard.tool('send', SEND, async (_: object, context) =>
      (await callService(context, { fetch, url })).text(),
    );
    holder.guard.tool('secret', SECRET, () => 'unused');
    await holder.guard.task(MAY, async (task) => {
      await send({ body: 'hello' });
      expect(task.labels).to.deep.equal({ confidentiality: 'confidential', integrity: 'trusted' });
      const again = send({ body: 'hello' });
      expect(await rejection('ERR_SPIFFE_DENIED', again)).to.include({ reason: 'label' });
    });
  });

  it('an answer that says what nobody understands is taken at the worst', async () => {
    const { url } = await serve(telling('secret, trusted'), { issuers: RESEARCHER });
    const holder = await world.party(RESEARCHER);
    const fetch = world.fetch(holder, { [new URL(url).origin]: MAILER });
    const send = holder.guard.tool('send', SEND, async (_: object, context) =>
      (await callService(context, { fetch, url })).text(),
    );
    await holder.guard.task({ ...MAY, clearance: 'restricted' }, async (task) => {
      await send({ body: 'hello' });
      expect(task.labels).to.deep.equal({ confidentiality: 'restricted', integrity: 'untrusted' });
    });
  });

  it('what an answer says to hold is withheld from a task that is not cleared for it', async () => {
    const { url } = await serve(telling('restricted, trusted'), { issuers: RESEARCHER });
    const holder = await world.party(RESEARCHER);
    const fetch = world.fetch(holder, { [new URL(url).origin]: MAILER });
    const send = holder.guard.tool('send', SEND, async (_: object, context) =>
      (await callService(context, { fetch, url })).text(),
    );
    const error = holder.guard.task(MAY, () => send({ body: 'hello' }));
    expect(await rejection('ERR_SPIFFE_DENIED', error)).to.include({ reason: 'clearance' });
    expect(holder.log.of('call.outcome')[0]?.status).to.equal('failure');
    const cleared = { ...MAY, clearance: 'restricted' } as const;
    expect(await holder.guard.task(cleared, () => send({ body: 'hello' }))).to.equal('a secret');
  });

  it('takes calls by HTTP/2 as well, each stream a call of its own', async () => {
    const show = caller.guard.tool('send', SEND, (_: object, context) =>
      context.showGrant({ audience: MAILER }),
    );
    const gate = requireGrant(service.guard, { tool: 'send', issuers: ORCHESTRATOR });
    const server = createSecureServer({}, (request, response) => {
      gate(request, response, () => response.end(grantedCall(request).task.purpose));
    });
    protect(server, service.me, { allow: ORCHESTRATOR });
    const socket = await connect(caller.me, {
      host: '127.0.0.1',
      port: await listen(server),
      rule: parseRule(MAILER),
      alpn: ['h2'],
    });
    const session = http2Connect('https://mail.internal', { createConnection: () => socket });
    const post = async (headers: Record<string, string>, body: string): Promise<string> => {
      const stream = session.request({ ':method': 'POST', ':path': '/', ...headers });
      const answered = once(stream, 'response');
      stream.end(body);
      const [head] = (await answered) as [{ readonly ':status': number }];
      return `${head[':status']} ${await text(stream)}`;
    };
    await caller.guard.task(MAY, async () => {
      const grant = await show({ body: 'hello' });
      const { argsJson } = grant;
      expect(await post({}, argsJson)).to.equal(
        '401 {"error":"grant_invalid","step":"presentation"}',
      );
      expect(await post(grant.headers(), '{"body":"bye"}')).to.equal(
        '401 {"error":"grant_invalid","step":"7f"}',
      );
      expect(await post(grant.headers(), argsJson)).to.equal('200 serve send');
    });
    await until(() => service.guard.tasks.length === 0);
    session.close();
    server.close();
    await once(server, 'close');
  });
});
