import type { BoundFetch } from 'agent-spiffe';
import { type Delegation, exact, type GrantOffer, type Task, wildcard } from 'agent-spiffe/agent';

const RESEARCHER = 'https://researcher.internal:8443'; // the fetch binds it to the SPIFFE ID below

export async function delegate(task: Task, fetch: BoundFetch): Promise<Delegation> {
  const offered = await fetch(`${RESEARCHER}/offer`);
  const delegation = await task.delegate({
    to: 'spiffe://example.org/agents/researcher',
    offer: (await offered.json()) as GrantOffer,
    tools: { send_mail: { to: exact('ann@acme.example'), body: wildcard() } }, // no wider than the task's
    budget: { calls: 3 },
  });
  await fetch(`${RESEARCHER}/work`, { method: 'POST', body: JSON.stringify(delegation) });
  return delegation; // over with the task
}
