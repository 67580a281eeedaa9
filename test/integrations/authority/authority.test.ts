import { once } from 'node:events';
import { createServer } from 'node:http';
import {
  ANY_SPIFFE_ID,
  type BoundFetch,
  type BoundResponse,
  SpiffeError,
  verifyX509Svid,
} from 'agent-spiffe';
import { type TaskCredentialRequest, taskCredentials } from 'agent-spiffe/agent';
import {
  createTaskAuthority,
  type TaskAuthorityOptions,
  type TaskCredentialQuestion,
} from 'agent-spiffe/authority';
import { createFetch } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { craftRequest } from '../../support/certificate-request.js';
import { listen } from '../../support/listen.js';
import { rejection } from '../../support/rejection.js';
import { staticIdentity } from '../../support/static-identity.js';
import { AUTHORITY, AuthorityBench } from '../../support/task-authority.js';

const AGENT = 'spiffe://example.org/agents/researcher';
const TASK = `${AGENT}/task/1`;
const csr = craftRequest({ uris: [TASK] });

describe('a task authority', () => {
  it('gives the agent an SVID of its task, on record first', async () => {
    await using bench = await AuthorityBench.open();
    const agent = staticIdentity(bench.ca, AGENT);
    const { status, certificates = [] } = await bench.ask(agent, { csr });
    expect(status).to.equal(200);
    const { id } = verifyX509Svid(certificates, agent.x509.bundles);
    expect(id.toString()).to.equal(TASK);
    expect(bench.log.of('credential')).to.have.length(1);
    expect(bench.log.of('credential')[0]).to.deep.include({
      agent: AUTHORITY,
      task: { id: '1', purpose: 'a test' },
      operation: 'issued',
      subject: TASK,
    });
    expect(bench.logger.at('info')[0]?.fields).to.include({ agent: AGENT, id: TASK });
  });

  it('gives a life of minutes, and none past the end of the task', async () => {
    await using bench = await AuthorityBench.open({ maxTtlMs: 120_000 });
    const agent = staticIdentity(bench.ca, AGENT);
    for (const ttlMs of [3_600_000, 90_500, 1_000, 999])
      await bench.ask(agent, { csr: craftRequest({ uris: [`${AGENT}/task/${ttlMs}`] }), ttlMs });
    expect(bench.minted.map(({ ttlSeconds }) => ttlSeconds)).to.deep.equal([120, 90, 1]);
  });

  it('asks the policy, which knows all and must say true', async () => {
    const asked: TaskCredentialQuestion[] = [];
    const answers: unknown[] = [true, 'yes', false, Promise.resolve(false)];
    await using bench = await AuthorityBench.open({
      policy: (question) => {
        asked.push(question);
        if (answers.length === 0) throw new Error('lost');
        return answers.shift() as boolean;
      },
    });
    const agent = staticIdentity(bench.ca, AGENT);
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) statuses.push((await bench.ask(agent, { csr })).status);
    expect(statuses).to.deep.equal([200, 403, 403, 403, 403]);
    const [first, second] = asked;
    expect(first?.agent.toString()).to.equal(AGENT);
    expect(first).to.include({ taskId: '1', purpose: 'a test', renewal: false });
    expect(first?.expiresAt).to.deep.equal(new Date(bench.clock.now() + 60_000));
    expect(second?.renewal).to.equal(true);
    expect(bench.minted).to.have.length(1);
    expect(bench.log.of('credential').map(({ operation }) => operation)).to.deep.equal([
      'issued',
      ...Array.from({ length: 4 }, () => 'refused'),
    ]);
  });

  it('waits for a policy as long as its caller does, and no longer', async () => {
    let asked = 0;
    await using bench = await AuthorityBench.open({
      policy: () => {
        asked += 1;
        return new Promise<boolean>(() => {});
      },
    });
    const { origin } = bench.service;
    const agent = staticIdentity(bench.ca, AGENT);
    await using fetch = createFetch(agent, { peers: { [origin]: AUTHORITY } });
    const impatient = taskCredentials({ authority: origin, fetch, timeoutMs: 100 });
    await rejection('ERR_SPIFFE_CREDENTIAL_UNAVAILABLE', impatient.issue(wanted(bench)));
    expect(asked).to.equal(1);
    // What is under way would keep it from closing.
    await bench.close();
    expect(bench.log.of('credential')[0]).to.include({
      operation: 'refused',
      reason: 'the caller did not wait for the policy',
    });
  });

  it('records a renewal as that', async () => {
    await using bench = await AuthorityBench.open();
    const agent = staticIdentity(bench.ca, AGENT);
    await bench.ask(agent, { csr });
    bench.clock.advance(30_000);
    await bench.ask(agent, { csr, ttlMs: 30_000 });
    expect(bench.log.of('credential').map(({ operation }) => operation)).to.deep.equal([
      'issued',
      'renewed',
    ]);
  });

  const senseless: readonly (readonly [string, string, number])[] = [
    ['no JSON', 'csr=', 400],
    ['another kind of JSON', '[]', 400],
    ['no request in it', '{}', 400],
    ['base64 that is none', JSON.stringify({ csr: 'a!', purpose: '', expiresAt: 1 }), 400],
    ['no purpose', JSON.stringify({ csr: '', expiresAt: 1 }), 400],
    [
      'a purpose without end',
      JSON.stringify({ csr: '', purpose: 'x'.repeat(1025), expiresAt: 1 }),
      400,
    ],
    ['an end that is no time', JSON.stringify({ csr: '', purpose: '', expiresAt: '1' }), 400],
    ['an empty request', JSON.stringify({ csr: '', purpose: '', expiresAt: 1 }), 400],
    ['more than anyone needs', ' '.repeat(17 * 1024), 413],
  ];
  for (const [what, body, status] of senseless) {
    it(`answers ${status} to a body with ${what}`, async () => {
      await using bench = await AuthorityBench.open();
      expect((await bench.send(staticIdentity(bench.ca, AGENT), body)).status).to.equal(status);
    });
  }

  it('answers 405 to anything but a POST', async () => {
    await using bench = await AuthorityBench.open();
    expect((await bench.send(staticIdentity(bench.ca, AGENT), '', 'GET')).status).to.equal(405);
  });

  it('tells a failure of the issuer from its refusal, and no more of it', async () => {
    for (const [error, status] of [
      [new Error('secret of the issuer'), 503],
      [new SpiffeError('ERR_SPIFFE_CREDENTIAL_UNAVAILABLE', 'down'), 503],
      [new SpiffeError('ERR_SPIFFE_CREDENTIAL_DENIED', 'secret policy'), 403],
    ] as const) {
      await using bench = await AuthorityBench.open({ mint: () => Promise.reject(error) });
      const answer = await bench.ask(staticIdentity(bench.ca, AGENT), { csr });
      expect(answer.status).to.equal(status);
      expect(answer.error).not.to.include('secret');
      expect(bench.logger.at('warn')[0]?.fields).to.include({ peer: AGENT, status });
    }
  });

  it("forgets a task that got no credential, so that it is in nobody's way", async () => {
    let isDown = true;
    await using bench = await AuthorityBench.open({
      maxTasks: 1,
      mint: (request) =>
        isDown
          ? Promise.reject(new Error('down'))
          : Promise.resolve(bench.ca.mint(request.csr, { ttlMs: request.ttlSeconds * 1000 })),
    });
    const agent = staticIdentity(bench.ca, AGENT);
    for (let i = 0; i < 3; i++)
      expect(
        (await bench.ask(agent, { csr: craftRequest({ uris: [`${TASK}${i}`] }) })).status,
      ).to.equal(503);
    isDown = false;
    expect((await bench.ask(agent, { csr })).status).to.equal(200);
  });

  it('answers nobody whom no gate has verified', async () => {
    const ca = TestCa.create('example.org');
    const authority = await createTaskAuthority({
      identity: staticIdentity(ca, AUTHORITY),
      mint: () => Promise.reject(new Error('nobody may come so far')),
      allow: ANY_SPIFFE_ID,
    });
    const server = createServer(authority);
    const port = await listen(server);
    const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: '{}' });
    expect(response.status).to.equal(403);
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });

  it('refuses from its close on, and closes its log once nothing is under way', async () => {
    const bench = await AuthorityBench.open();
    await Promise.all([bench.close(), bench.close()]);
    expect(bench.log.closed).to.equal(1);
    expect((await bench.ask(staticIdentity(bench.ca, AGENT), { csr })).status).to.equal(503);
    await bench.service.close();
  });

  it('is not made with options that mean nothing', async () => {
    const identity = staticIdentity(TestCa.create('example.org'), AUTHORITY);
    const good: TaskAuthorityOptions = {
      identity,
      mint: () => Promise.resolve([]),
      allow: ANY_SPIFFE_ID,
    };
    for (const bad of [
      { mint: 'spire' },
      { policy: true },
      { maxTtlMs: 999 },
      { maxTasks: 0 },
      { maxTTL: 1 },
    ])
      await rejection(
        'ERR_SPIFFE_OPTION_INVALID',
        createTaskAuthority({ ...good, ...(bad as object) }),
      );
    await rejection(
      'ERR_SPIFFE_PEER_RULE_INVALID',
      createTaskAuthority({ ...good, allow: undefined as never }),
    );
    await (await createTaskAuthority(good)).close();
  });
});

/** What a task asks for. */
function wanted(
  bench: AuthorityBench,
  signal: AbortSignal = new AbortController().signal,
): TaskCredentialRequest {
  const expiresAt = new Date(bench.clock.now() + 60_000);
  return { csr, taskId: '1', purpose: 'a test', expiresAt, signal };
}

/** A fetch that answers with this, whatever it is asked. */
function answering(body: string): BoundFetch {
  const response: BoundResponse = {
    status: 200,
    ok: true,
    headers: new Headers(),
    text: () => Promise.resolve(body),
    json: () => Promise.reject(new Error('not asked for')),
    arrayBuffer: () => Promise.reject(new Error('not asked for')),
  };
  return Object.assign(() => Promise.resolve(response), { peerRule: () => AUTHORITY });
}

describe('taskCredentials', () => {
  it('gives what the authority gives', async () => {
    await using bench = await AuthorityBench.open();
    const agent = staticIdentity(bench.ca, AGENT);
    const { origin } = bench.service;
    await using fetch = createFetch(agent, { peers: { [origin]: AUTHORITY } });
    const chain = await taskCredentials({ authority: origin, fetch }).issue(wanted(bench));
    expect(verifyX509Svid(chain, agent.x509.bundles).id.toString()).to.equal(TASK);
  });

  it('tells a refusal, which stands, from an authority that is down or fails', async () => {
    for (const [policy, mint, code] of [
      [() => false, undefined, 'ERR_SPIFFE_CREDENTIAL_DENIED'],
      [undefined, () => Promise.reject(new Error('down')), 'ERR_SPIFFE_CREDENTIAL_UNAVAILABLE'],
    ] as const) {
      await using bench = await AuthorityBench.open({
        ...(policy && { policy }),
        ...(mint && { mint }),
      });
      const { origin } = bench.service;
      const agent = staticIdentity(bench.ca, AGENT);
      await using fetch = createFetch(agent, { peers: { [origin]: AUTHORITY } });
      await rejection(code, taskCredentials({ authority: origin, fetch }).issue(wanted(bench)));
    }
    const bench = await AuthorityBench.open();
    const { origin } = bench.service;
    const agent = staticIdentity(bench.ca, AGENT);
    await using fetch = createFetch(agent, { peers: { [origin]: AUTHORITY } });
    await bench[Symbol.asyncDispose]();
    const down = taskCredentials({ authority: origin, fetch }).issue(wanted(bench));
    const error = await rejection('ERR_SPIFFE_CREDENTIAL_UNAVAILABLE', down);
    expect((error.cause as SpiffeError).code).to.equal('ERR_SPIFFE_CONNECT_FAILED');
  });

  it('rejects with the reason of the signal, and waits no longer than it is told', async () => {
    await using bench = await AuthorityBench.open({
      mint: ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        }),
    });
    const { origin } = bench.service;
    const agent = staticIdentity(bench.ca, AGENT);
    await using fetch = createFetch(agent, { peers: { [origin]: AUTHORITY } });
    const gone = new AbortController();
    const waiting = taskCredentials({ authority: origin, fetch }).issue(wanted(bench, gone.signal));
    const reason = new Error('the task ended');
    gone.abort(reason);
    expect(await waiting.catch((error: unknown) => error)).to.equal(reason);
    const impatient = taskCredentials({ authority: origin, fetch, timeoutMs: 20 });
    await rejection('ERR_SPIFFE_CREDENTIAL_UNAVAILABLE', impatient.issue(wanted(bench)));
  });

  it('takes no answer that holds no certificates', async () => {
    await using bench = await AuthorityBench.open();
    for (const body of ['', '[]', '{}', '{"certificates":[]}', '{"certificates":[1]}']) {
      const fetch = answering(body);
      await rejection(
        'ERR_SPIFFE_CREDENTIAL_UNAVAILABLE',
        taskCredentials({ authority: 'https://authority', fetch }).issue(wanted(bench)),
      );
    }
  });

  it('is not made for an authority that its fetch is bound to by no rule', async () => {
    await using fetch = createFetch(staticIdentity(TestCa.create('example.org'), AGENT), {
      peers: { 'https://other': AUTHORITY },
    });
    expect(() => taskCredentials({ authority: 'https://authority', fetch }))
      .to.throw(SpiffeError)
      .with.property('code', 'ERR_SPIFFE_TARGET_NOT_BOUND');
  });
});
