/** The mailer: it sends mail for whoever shows a grant for it, and knows that mail leaves the house. */
import {
  DeniedError,
  grantedCall,
  RevocationLists,
  requireGrant,
  tellLabels,
} from 'agent-spiffe/agent';
import { obey, report, started } from './child.js';
import { answer, IDS, type Name, openParty } from './party.js';

const origins = JSON.parse(process.env['STORY_ORIGINS'] ?? '{}') as Record<Name, string>;
let lists: RevocationLists | undefined;
await using party = await openParty('mailer', started(), origins, async (identity, fetch) => {
  const publishers = {
    [IDS.orchestrator]: `${origins.orchestrator}/revoked`,
    [IDS.researcher]: `${origins.researcher}/revoked`,
  };
  lists = await RevocationLists.open({ identity, fetch, publishers });
  return lists;
});

const send = party.guard.tool(
  'send_mail',
  { effect: 'egress', sink: { clearance: 'public' }, destination: 'to' },
  ({ to }: { readonly to: string; readonly body: string }) => `sent to ${to}`,
);
const gate = requireGrant(party.guard, { tool: 'send_mail', issuers: IDS.orchestrator });
report({
  origin: await party.serve((request, response) => {
    gate(request, response, () => {
      const { task, args } = grantedCall(request);
      const sent = task.run(() => send(args as { to: string; body: string }));
      const told = sent.then((text) => {
        tellLabels(response, task);
        return text;
      });
      answer(response, told.catch(say));
    });
  }),
});

/** What a caller is told of a refusal: what it rests on, and no more. */
function say(error: unknown): never {
  throw new Error(error instanceof DeniedError ? error.reason : 'it failed');
}

await obey(async (order) => {
  if (!('do' in order)) return;
  await lists?.refresh();
  report({ done: 'refresh' });
});
await lists?.close();
