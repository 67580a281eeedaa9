import type { PeerRule } from 'agent-spiffe';
import { grantedCall, requireGrant, tellLabels } from 'agent-spiffe/agent';
import type { DelegationWorld, Party } from './world.js';
import { SEND } from './world.js';

const ISSUERS = 'spiffe://example.org/agents/**';

/** A letter, as the tool `send` takes it. */
export type Letter = { readonly to: string; readonly body: string };

/** A service that sends letters for whoever shows a grant for it. */
export interface MailService {
  readonly origin: string;
  readonly url: string;
  /** What it has sent. */
  readonly sent: readonly Letter[];
}

/** Serves the tool `send` of this party's guard, which must not be sealed. */
export async function mailService(
  world: DelegationWorld,
  party: Party,
  issuers: PeerRule = ISSUERS,
): Promise<MailService> {
  const sent: Letter[] = [];
  const send = party.guard.tool('send', SEND, (letter: Letter) => {
    sent.push(letter);
    return 'sent';
  });
  const gate = requireGrant(party.guard, { tool: 'send', issuers });
  const origin = await world.serve(party, (request, response) => {
    gate(request, response, () => {
      void (async () => {
        const { task, args } = grantedCall(request);
        try {
          const text = await task.run(() => send(args as Letter));
          tellLabels(response, task);
          response.end(text);
        } catch (error) {
          response.statusCode = 409;
          response.end((error as { readonly reason?: string }).reason);
        }
      })();
    });
  });
  return { origin, url: `${origin}/send`, sent };
}
