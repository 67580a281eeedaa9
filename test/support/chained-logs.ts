import { join } from 'node:path';
import { ANY_SPIFFE_ID } from 'agent-spiffe';
import {
  auditLog,
  callService,
  exact,
  grantedCall,
  requireGrant,
  wildcard,
} from 'agent-spiffe/agent';
import { writePem } from '#lib/internal/pem.js';
import {
  DelegationWorld,
  MAILER,
  ORCHESTRATOR,
  RESEARCHER,
  SECRET,
  SEND,
  STRANGER,
} from '../agent/delegation/world.js';
import { taskOf } from '../agent/support.js';

type Letter = { readonly to: string; readonly body: string };

/** The logs of three agents who have worked on one thing together, and what stands in them. */
export interface ChainedLogs {
  readonly directories: readonly [orchestrator: string, researcher: string, mailer: string];
  /** Of the orchestrator's tasks: the one that passed something on, and another. */
  readonly tasks: readonly [string, string];
  /** Of the researcher's task. */
  readonly theirs: string;
  /** The ids of the tokens that the mailer was shown, root first. */
  readonly ids: readonly string[];
  /** PEM of the authorities. */
  readonly bundle: string;
}

/** A purpose that would look like another step, where it is printed as it is. */
export const SOMETHING_ELSE = 'something else\n    grant.revoke: \u001b[2Jforged';

const MAY = taskOf({ secret: { name: wildcard() }, send: { to: wildcard(), body: wildcard() } });

/**
 * Runs three guards over mutual TLS, with logs below `home`: the orchestrator, on behalf of ann, lets the researcher write
 * one letter by the mailer, who is also shown the grant by a stranger; and does something else in another task.
 */
export async function writeChainedLogs(home: string): Promise<ChainedLogs> {
  await using world = await DelegationWorld.open();
  const directories = [
    join(home, 'orchestrator'),
    join(home, 'researcher'),
    join(home, 'mailer'),
  ] as const;
  const orchestrator = await world.party(ORCHESTRATOR, { audit: auditLog(directories[0]) });
  const researcher = await world.party(RESEARCHER, { audit: auditLog(directories[1]) });
  const mailer = await world.party(MAILER, { audit: auditLog(directories[2]) });
  const stranger = await world.party(STRANGER);
  const send = mailer.guard.tool('send', SEND, () => 'sent');
  const gate = requireGrant(mailer.guard, {
    tool: 'send',
    issuers: 'spiffe://example.org/agents/**',
  });
  const origin = await world.serve(mailer, (request, response) => {
    gate(request, response, () => {
      const { task, args } = grantedCall(request);
      void task.run(() => send(args as Letter)).then((text) => response.end(text));
    });
  });
  const secret = orchestrator.guard.tool('secret', SECRET, () => 'a secret');
  orchestrator.guard.tool('send', SEND, () => 'not here');
  const fetch = world.fetch(researcher, { [origin]: MAILER });
  let shown: Readonly<Record<string, string>> = {};
  const remote = researcher.guard.tool('send', SEND, async (_: Letter, context) => {
    const response = await callService(context, {
      fetch: Object.assign(
        (url: string | URL, init: Parameters<typeof fetch>[1] = {}) => {
          shown = init.headers as Readonly<Record<string, string>>;
          return fetch(url, init);
        },
        { peerRule: (url: string | URL) => fetch.peerRule(url) },
      ),
      url: `${origin}/send`,
    });
    return await response.text();
  });
  const task = await orchestrator.guard.startTask({
    ...MAY,
    purpose: 'answer ann',
    endUser: 'ann',
  });
  const other = await orchestrator.guard.startTask({ ...MAY, purpose: SOMETHING_ELSE });
  await other.run(() => secret({ name: 'of the other' }));
  const delegation = await task.delegate({
    to: RESEARCHER,
    offer: researcher.guard.offer(),
    tools: { send: { to: exact('ann@acme.example'), body: wildcard() } },
  });
  const theirs = await researcher.guard.startDelegated(JSON.parse(JSON.stringify(delegation)), {
    from: ANY_SPIFFE_ID,
    purpose: 'write to ann',
  });
  const letter = { to: 'ann@acme.example', body: 'hello' };
  await theirs.run(() => remote(letter));
  // Stolen on its way: another identity shows the same.
  const thief = world.fetch(stranger, { [origin]: MAILER });
  await (
    await thief(`${origin}/send`, { method: 'POST', headers: shown, body: JSON.stringify(letter) })
  ).text();
  for (const each of [theirs, task, other]) await each.end();
  const { authorities } = world.api.ca.bundle;
  const bundle = authorities.map((der) => writePem(der, 'CERTIFICATE')).join('');
  return {
    directories,
    tasks: [task.id, other.id],
    theirs: theirs.id,
    ids: delegation.ids,
    bundle,
  };
}
