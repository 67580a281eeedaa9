import { SpiffeError } from 'agent-spiffe';
import { DeniedError, oneOf, wildcard } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { bench, rejection } from './support.js';

describe('a guard', () => {
  it('tells the story of the first fifteen lines', async () => {
    const { guard, log } = await bench();
    const sent: unknown[] = [];
    const search = guard.tool(
      'search',
      { effect: 'read', returns: { confidentiality: 'confidential' } },
      ({ q }: { q: string }) => `all about ${q}`,
    );
    const send = guard.tool(
      'send_email',
      { effect: 'egress', sink: { clearance: 'public' } },
      (mail: { to: string; body: string }) => sent.push(mail),
    );
    let denied: unknown;
    await guard.task(
      {
        purpose: 'answer ticket 42',
        ttlMs: 300_000,
        budget: { calls: 20 },
        tools: {
          search: { q: wildcard() },
          send_email: { to: oneOf('ann@acme.example'), body: wildcard() },
        },
      },
      async () => {
        await send({ to: 'ann@acme.example', body: 'hello' });
        const facts = await search({ q: 'acme' });
        denied = await rejection(send({ to: 'ann@acme.example', body: facts }));
      },
    );
    expect(denied).to.be.instanceOf(DeniedError).and.instanceOf(SpiffeError);
    expect(denied).to.include({ code: 'ERR_SPIFFE_DENIED', reason: 'label' });
    expect(String(denied)).to.include(
      'the task holds confidential data, and the sink takes public',
    );
    expect(sent).to.deep.equal([{ to: 'ann@acme.example', body: 'hello' }]);
    expect(log.kinds).to.deep.equal([
      'task.start',
      'call.intent',
      'call.outcome',
      'call.intent',
      'call.outcome',
      'call.denied',
      'task.end',
    ]);
    await guard.close();
  });
});
