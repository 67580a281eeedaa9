import type { BoundFetch } from 'agent-spiffe';
import type { Guard, GuardedTool } from 'agent-spiffe/agent';
import { z } from 'zod';

/** Where the services are. */
export interface Places {
  readonly desk: string;
  readonly vault: string;
  readonly mail: string;
}

/** What the agent can do at all; a task gives it some of that. */
export interface Tools {
  readonly readTicket: GuardedTool<{ id: string }, string>;
  readonly callApi: GuardedTool<{ url: string }, string>;
  readonly readSecret: GuardedTool<{ name: string }, string>;
  readonly sendMail: GuardedTool<{ to: string; body: string }, string>;
}

/** An address made of names, none of which can be more than one segment. */
const at = (origin: string, ...path: readonly string[]): string =>
  `${origin}/${path.map(encodeURIComponent).join('/')}`;

/** Wraps each tool once, at start-up, and says what it does with data: what it reads, and where it sends. */
export function wrapTools(guard: Guard, fetch: BoundFetch, { desk, vault, mail }: Places): Tools {
  const get = async (url: string, signal: AbortSignal): Promise<string> =>
    (await fetch(url, { signal })).text();
  return {
    readTicket: guard.tool(
      'read_ticket',
      {
        effect: 'read',
        returns: { confidentiality: 'public', integrity: 'untrusted' }, // anyone can write a ticket
        schema: z.object({ id: z.string() }),
      },
      ({ id }, { signal }) => get(at(desk, 'tickets', id), signal),
    ),
    callApi: guard.tool(
      'call_api',
      {
        effect: 'read',
        returns: { confidentiality: 'internal', integrity: 'trusted' },
        resource: 'url',
        schema: z.object({ url: z.string() }),
      },
      ({ url }, { signal }) => get(url, signal),
    ),
    readSecret: guard.tool(
      'read_secret',
      {
        effect: 'read',
        returns: { confidentiality: 'confidential', integrity: 'trusted' },
        resource: 'name',
        schema: z.object({ name: z.string() }),
      },
      ({ name }, { signal }) => get(at(vault, name), signal),
    ),
    sendMail: guard.tool(
      'send_mail',
      {
        effect: 'egress',
        sink: { clearance: 'public' }, // it leaves the house
        destination: 'to',
        schema: z.object({ to: z.string(), body: z.string() }),
      },
      async (letter, { signal }) => {
        const init = { method: 'POST', body: JSON.stringify(letter), signal };
        return (await fetch(at(mail, 'send'), init)).text();
      },
    ),
  };
}
