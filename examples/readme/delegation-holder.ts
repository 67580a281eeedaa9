import type { BoundFetch } from 'agent-spiffe';
import { callService, type Guard } from 'agent-spiffe/agent';

/** `offer` answers GET /offer; `work` gets the body of POST /work. */
export function researcher(guard: Guard, fetch: BoundFetch) {
  const sendMail = guard.tool(
    'send_mail',
    { effect: 'egress', sink: { clearance: 'internal' } },
    async (_: { to: string; body: string }, context) => {
      // By POST: the arguments as they were judged, the task's grant, and a proof for this one call.
      const answer = await callService(context, { fetch, url: 'https://mail.internal:8443/send' });
      return await answer.text();
    },
  );
  return {
    offer: () => JSON.stringify(guard.offer()),
    work: async (grant: string) => {
      await using task = await guard.startDelegated(JSON.parse(grant), {
        from: 'spiffe://example.org/agents/orchestrator', // who may give it
        purpose: 'write to Ann',
      });
      return await task.run(() => sendMail({ to: 'ann@acme.example', body: 'Hello' }));
    },
  };
}
