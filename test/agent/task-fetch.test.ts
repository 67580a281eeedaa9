import type { BoundFetch, BoundRequestInit, BoundResponse } from 'agent-spiffe';
import {
  allArguments,
  auditLog,
  createGuard,
  exact,
  functionPolicy,
  oneOf,
  optional,
  recordedRequest,
  urlUnder,
  wildcard,
} from 'agent-spiffe/agent';
import { createFetch, createServer } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { AGENT, linesOf, recordsOf, TemporaryDirectory } from '../support/audit.js';
import { listen } from '../support/listen.js';
import { staticIdentity } from '../support/static-identity.js';
import { bench, rejection, taskOf } from './support.js';

const API = 'https://api.example.org';
const READ = {
  effect: 'read',
  returns: { confidentiality: 'confidential', integrity: 'trusted' },
} as const;

interface Sent {
  readonly url: string;
  readonly init: BoundRequestInit;
}

/** Origins whose answers do not matter here. */
const HARMLESS = {
  [API]: {
    returns: { confidentiality: 'public', integrity: 'trusted' },
    sink: { clearance: 'public' },
  },
} as const;

/** A fetch that sends nothing, and what it was asked to send. */
function recording(): { readonly fetch: BoundFetch; readonly sent: Sent[] } {
  const sent: Sent[] = [];
  const send = (url: string | URL, init: BoundRequestInit = {}): Promise<BoundResponse> => {
    sent.push({ url: String(url), init });
    return Promise.resolve({ status: 200, ok: true } as BoundResponse);
  };
  const fetch = Object.assign(send, { peerRule: () => 'spiffe://example.org/api' });
  return { fetch, sent };
}

describe('task.fetch', () => {
  it('sends what the task may send, and nothing else', async () => {
    const { fetch, sent } = recording();
    const { guard, log } = await bench({ fetch, origins: HARMLESS });
    const may = taskOf({
      fetch: {
        url: urlUnder(`${API}/v1`),
        method: oneOf('GET', 'POST'),
        headers: optional(wildcard()),
        body: optional(exact('hello')),
      },
    });
    const task = await guard.startTask(may);
    const response = await task.fetch(`${API}/v1/a?q=1`, { headers: { accept: 'text/plain' } });
    expect(response.status).to.equal(200);
    await task.fetch(new URL(`${API}/v1`), { method: 'post', body: 'hello' });
    for (const [url, init] of [
      [`${API}/v2`, {}],
      [`${API}/v1/../admin`, {}],
      ['https://evil.example/v1', {}],
      [`${API}/v1`, { method: 'DELETE' }],
      [`${API}/v1`, { method: 'POST', body: 'secret' }],
      [`${API}/v1`, { method: 'POST', body: new TextEncoder().encode('hello') }],
    ] as const)
      expect(await rejection(task.fetch(url, init))).to.include({
        code: 'ERR_SPIFFE_DENIED',
        reason: 'argument',
      });
    expect(sent.map(({ url, init }) => ({ url, ...init, signal: undefined }))).to.deep.equal([
      {
        url: `${API}/v1/a?q=1`,
        method: 'GET',
        headers: { accept: 'text/plain' },
        signal: undefined,
      },
      { url: `${API}/v1`, method: 'POST', body: 'hello', signal: undefined },
    ]);
    expect(log.of('call.intent')[0]?.call).to.include({ tool: 'fetch', effect: 'egress' });
    expect(task.fetch.peerRule(API)).to.equal('spiffe://example.org/api');
  });

  it('sends bytes as they were when it was called', async () => {
    const { fetch, sent } = recording();
    const { guard } = await bench({ fetch });
    const task = await guard.startTask(taskOf({ fetch: allArguments() }));
    const body = new Uint8Array([0, 255, 7]);
    const call = task.fetch(API, { method: 'PUT', body });
    body.fill(1);
    await call;
    expect(Buffer.from(sent[0]?.init.body as Uint8Array)).to.deep.equal(Buffer.from([0, 255, 7]));
  });

  it('takes an origin that nobody described for one outside, and what it answers for untrusted', async () => {
    const { fetch, sent } = recording();
    const { guard } = await bench({ fetch });
    const read = guard.tool('read', READ, () => 'secret');
    const may = taskOf({ fetch: allArguments(), read: allArguments() });
    const task = await guard.startTask(may);
    await task.fetch(API);
    expect(task.labels).to.deep.equal({ confidentiality: 'internal', integrity: 'untrusted' });
    expect(await rejection(task.fetch(API))).to.include({ reason: 'label' });
    const other = await guard.startTask(may);
    await other.run(() => read({}));
    expect(await rejection(other.fetch(API))).to.include({ reason: 'label' });
    expect(sent).to.have.length(1);
  });

  it('labels by origin, as the guard was told', async () => {
    const { fetch } = recording();
    const { guard } = await bench({
      fetch,
      origins: {
        [API]: {
          returns: { confidentiality: 'confidential', integrity: 'trusted' },
          sink: { clearance: 'confidential', outside: false },
        },
      },
    });
    const task = await guard.startTask(taskOf({ fetch: allArguments() }));
    for (let i = 0; i < 3; i++) await task.fetch(`${API}/${i}`);
    expect(task.labels).to.deep.equal({ confidentiality: 'confidential', integrity: 'trusted' });
    expect(await rejection(task.fetch('https://api.example.org:8443/'))).to.include({
      reason: 'label',
    });
    expect(await rejection(task.fetch('https://evil.example/'))).to.include({ reason: 'label' });
  });

  it('counts as a call and its bytes, within the task and within its tools', async () => {
    const { fetch } = recording();
    const { guard, log } = await bench({ fetch, origins: HARMLESS });
    const look = guard.tool(
      'look',
      { effect: 'read', returns: { confidentiality: 'public' } },
      async () => {
        const { status } = await holder.task.fetch(API);
        return status;
      },
    );
    const task = await guard.startTask(
      taskOf(
        { fetch: allArguments(), look: allArguments() },
        { budget: { calls: 2, bytesOut: 60 } },
      ),
    );
    const holder = { task };
    expect(await task.run(() => look({}))).to.equal(200);
    const [outer, inner] = log.of('call.intent');
    expect(inner?.call.parent).to.equal(outer?.call.id);
    // {"url":"https://api.example.org/","method":"GET"}
    expect(inner?.request.context.budget).to.deep.equal({ callsLeft: 0, bytesOutLeft: 60 - 49 });
    expect(await rejection(task.fetch(API))).to.include({ reason: 'budget' });
  });

  it('refuses what is no request', async () => {
    const { fetch, sent } = recording();
    const { guard } = await bench({ fetch });
    const task = await guard.startTask(taskOf({ fetch: allArguments() }));
    for (const [url, init] of [
      ['/relative', {}],
      ['', {}],
      [API, { redirect: 'follow' }],
      [API, { dispatcher: {} }],
      [API, { method: 'POST', body: new URLSearchParams('a=b') }],
      [API, { method: 'POST', body: { a: 1 } }],
      [API, { method: 'POST', body: new ReadableStream() }],
      [API, null],
    ] as const)
      expect(await rejection(task.fetch(url, init as never))).to.include({
        code: 'ERR_SPIFFE_OPTION_INVALID',
      });
    expect(sent).to.deep.equal([]);
  });

  it('is refused in a task that was not given it, in one that has ended, and in the hands of another', async () => {
    const { fetch, sent } = recording();
    const { guard } = await bench({ fetch });
    guard.tool('read', READ, () => 'secret');
    const without = await guard.startTask(taskOf({ read: allArguments() }));
    expect(await rejection(without.fetch(API))).to.include({ reason: 'tool-not-in-task' });
    const task = await guard.startTask(taskOf({ fetch: allArguments() }));
    const other = await guard.startTask(taskOf({ fetch: allArguments() }));
    expect(await rejection(other.run(() => task.fetch(API)))).to.include({
      code: 'ERR_SPIFFE_TASK_NESTED',
    });
    await task.end();
    expect(await rejection(task.fetch(API))).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    expect(sent).to.deep.equal([]);
  });

  it('shows no credential to the policy, to an approver or to the record, and sends it', async () => {
    using home = new TemporaryDirectory();
    const { fetch, sent } = recording();
    const seen: unknown[] = [];
    const identity = staticIdentity(TestCa.create('example.org'), AGENT);
    const guard = await createGuard({
      identity,
      fetch,
      origins: HARMLESS,
      audit: auditLog(home.path, { arguments: { '*': 'keep' } }),
      policy: functionPolicy((request) => {
        seen.push(request);
        return {
          decision: true,
          context: { obligations: [{ type: 'require-approval', by: 'x' }] },
        };
      }),
      approver: {
        ask: (request) => {
          seen.push(request);
          return Promise.resolve({ granted: true, approver: 'ann', digest: request.digest });
        },
      },
    });
    const task = await guard.startTask(
      taskOf({ fetch: { url: urlUnder(API), method: exact('GET'), headers: wildcard() } }),
    );
    const headers = { authorization: 'Bearer s3cr3t', 'x-api-key': 's3cr3t-too' };
    await task.fetch(API, { headers });
    await task.fetch(API, { headers });
    await task.fetch(API, { headers: { ...headers, authorization: 'Bearer 0ther-s3cr3t' } });
    expect(await rejection(task.fetch('https://other.example', { headers }))).to.include({
      reason: 'argument',
    });
    for (const url of ['https://s3cr3t@api.example.org/', 'https://ann:s3cr3t@api.example.org/']) {
      const error = await rejection(task.fetch(url));
      expect(error.code).to.equal('ERR_SPIFFE_OPTION_INVALID');
      expect(error.message).not.to.include('s3cr3t');
    }
    await guard.close();
    expect(sent.map(({ init }) => init.headers?.['authorization'])).to.deep.equal([
      'Bearer s3cr3t',
      'Bearer s3cr3t',
      'Bearer 0ther-s3cr3t',
    ]);
    const records = linesOf(home.path).join('');
    expect(records).to.include('"authorization":"hmac-sha256:').and.to.include('x-api-key');
    for (const text of [records, JSON.stringify(seen)]) expect(text).not.to.include('s3cr3t');
    // The same values have the same digest, so that an approval is of these and no others.
    const digests = recordsOf(home.path).flatMap(
      (record) => recordedRequest(record)?.request.context.arguments['headers'] ?? [],
    ) as { authorization: string }[];
    const [first, second, third] = digests.map(({ authorization }) => authorization);
    expect(first).to.equal(second);
    expect(first).not.to.equal(third);
  });

  it('is none where the guard has no fetch', async () => {
    const { guard } = await bench();
    guard.tool('read', READ, () => 'secret');
    const task = await guard.startTask(taskOf({ read: allArguments() }));
    expect(await rejection(task.fetch(API))).to.include({ code: 'ERR_SPIFFE_OPTION_INVALID' });
    expect(() => task.fetch.peerRule(API)).to.throw('ERR_SPIFFE_OPTION_INVALID');
  });

  it('carries a request over mTLS, whose body ends with the task', async () => {
    const ca = TestCa.create('example.org');
    const me = staticIdentity(ca, 'spiffe://example.org/agents/researcher');
    const api = staticIdentity(ca, 'spiffe://example.org/api');
    const server = createServer(
      api,
      { allow: 'spiffe://example.org/agents/researcher' },
      (_req, res) => {
        res.write('half');
      },
    );
    const port = await listen(server);
    const origin = `https://127.0.0.1:${port}`;
    await using fetch = createFetch(me, { peers: { [origin]: 'spiffe://example.org/api' } });
    const { guard } = await bench({ fetch, identity: me });
    const task = await guard.startTask(
      taskOf({ fetch: { url: urlUnder(origin), method: exact('GET') } }),
    );
    const response = await task.fetch(`${origin}/x`);
    expect(response.status).to.equal(200);
    const body = response.text();
    const failed = body.then(
      () => 'read to its end',
      (error: unknown) => error,
    );
    await task.end();
    expect(await failed).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    server.close();
  });
});
