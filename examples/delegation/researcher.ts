/**
 * The researcher: it is given a part of a task, does as it is told (a model may be told anything), and calls the mailer by
 * the grant that it was given. Its own guard takes the mailer for a service inside, to which anything may be sent.
 */
import type { ServerResponse } from 'node:http';
import { callService, type Task, tellLabels } from 'agent-spiffe/agent';
import { peerOf } from 'agent-spiffe/http';
import { obey, report, started } from './child.js';
import { answer, bodyOf, IDS, openParty } from './party.js';

await using party = await openParty('researcher', started());
const { guard, fetch, origins } = party;

const callApi = guard.tool(
  'call_api',
  {
    effect: 'read',
    returns: { confidentiality: 'internal', integrity: 'trusted' },
    resource: 'url',
  },
  ({ url }: { readonly url: string }) => `what ${url} says`,
);
const readSecret = guard.tool(
  'read_secret',
  { effect: 'read', returns: { confidentiality: 'confidential', integrity: 'trusted' } },
  ({ name }: { readonly name: string }) => `the key of ${name}: 8f3a`,
);
const sendMail = guard.tool(
  'send_mail',
  { effect: 'egress', sink: { clearance: 'restricted', outside: false }, destination: 'to' },
  async (_: { readonly to: string; readonly body: string }, context) => {
    const response = await callService(context, { fetch, url: `${origins.mailer}/send` });
    const text = await response.text();
    if (!response.ok) throw new Error(`the mailer says: ${text}`);
    return text;
  },
);

let task: Task | undefined;
let secret = '';
const to = 'ann@acme.example';
/** What it can be told to do, each within the task that was delegated to it. */
const STEPS: Readonly<Record<string, () => Promise<string>>> = {
  write: () => sendMail({ to, body: 'We look into it.' }),
  api: () => callApi({ url: 'https://api.example.org/customers/acme' }),
  secret: async () => {
    secret = await readSecret({ name: 'acme' });
    return 'it has the secret';
  },
  mail: () => sendMail({ to, body: secret }),
  other: () => sendMail({ to: 'mallory@evil.example', body: 'hello' }),
};

async function take(grant: string): Promise<string> {
  task = await guard.startDelegated(JSON.parse(grant), {
    from: IDS.orchestrator,
    purpose: 'help with ticket 42',
  });
  return task.tools.join(', ');
}

/** The answer says what the task has read by then, also when it failed. */
async function perform(
  within: Task,
  step: () => Promise<string>,
  response: ServerResponse,
): Promise<string> {
  try {
    return await within.run(step);
  } finally {
    tellLabels(response, within);
  }
}

report({
  origin: await party.serve((request, response) => {
    const { url = '' } = request;
    const step = STEPS[url.slice(1)];
    if (peerOf(request).id.toString() !== IDS.orchestrator) response.writeHead(403).end();
    else if (url === '/offer') response.end(JSON.stringify(guard.offer()));
    else if (url === '/take') answer(response, bodyOf(request).then(take));
    else if (step === undefined || task === undefined) response.writeHead(404).end();
    else answer(response, perform(task, step, response));
  }),
});

await obey((order) => {
  if ('origins' in order) Object.assign(origins, order.origins);
});
