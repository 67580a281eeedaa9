import type { X509Svid } from 'agent-spiffe';
import type { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { makeKey } from '#lib/testing/keys.js';
import { craftRequest, type RequestParts } from '../support/certificate-request.js';
import { type StaticIdentity, staticIdentity } from '../support/static-identity.js';
import { type Answer, AuthorityBench } from '../support/task-authority.js';

const AGENT = 'spiffe://example.org/agents/researcher';
const OTHER = 'spiffe://example.org/agents/mailer';
const TASK = `${AGENT}/task/1`;

describe('attack: a request for the credential of a task', () => {
  let bench: AuthorityBench;
  let agent: StaticIdentity;
  let other: StaticIdentity;
  beforeEach(async () => {
    bench = await AuthorityBench.open();
    agent = staticIdentity(bench.ca, AGENT);
    other = staticIdentity(bench.ca, OTHER);
  });
  afterEach(() => bench[Symbol.asyncDispose]());

  const ask = (parts: RequestParts, from = agent): Promise<Answer> =>
    bench.ask(from, { csr: craftRequest(parts) });

  it('is answered when nothing is wrong with it (twin of all below)', async () => {
    const { status, certificates } = await ask({ uris: [TASK] });
    expect([status, certificates?.length]).to.deep.equal([200, 1]);
  });

  const forOthers: readonly (readonly [string, string])[] = [
    ['a task of another agent', `${OTHER}/task/1`],
    ['the agent itself', AGENT],
    ['another agent', OTHER],
    ['an agent whose ID begins alike', `${AGENT}2/task/1`],
    ['what is no task', `${AGENT}/tools/1`],
    ['something below a task', `${TASK}/task/2`],
    ['a task without an id', `${AGENT}/task/`],
    ['a way up', `${AGENT}/task/..`],
    ['an encoded way up', `${AGENT}/task/%2e%2e`],
    ['a query', `${TASK}?x`],
    [
      'a task of the same path in another trust domain',
      'spiffe://partner.test/agents/researcher/task/1',
    ],
    ['the authority', 'spiffe://example.org/task-authority'],
    ["the issuer's server", 'spiffe://example.org/spire/server'],
  ];
  for (const [whose, uri] of forOthers) {
    it(`is refused when it is for ${whose}`, async () => {
      const { status, certificates } = await ask({ uris: [uri] });
      expect([status === 403 || status === 400, certificates]).to.deep.equal([true, undefined]);
      expect(bench.minted).to.deep.equal([]);
      expect(bench.log.of('credential').at(-1)).to.include({
        operation: 'refused',
        subject: uri,
        reference: AGENT,
      });
    });
  }

  const withMore: readonly (readonly [string, RequestParts])[] = [
    ['a DNS name', { uris: [TASK], dnsNames: ['db.internal'] }],
    ['two IDs', { uris: [TASK, OTHER] }],
    ['an address', { uris: [TASK], ipAddresses: [Buffer.of(10, 0, 0, 1)] }],
    ['the signature of another key', { uris: [TASK], signingKey: makeKey('ec-p256') }],
  ];
  for (const [what, parts] of withMore) {
    it(`is refused with ${what}`, async () => {
      expect((await ask(parts)).status).to.equal(400);
      expect(bench.minted).to.deep.equal([]);
    });
  }

  it("is refused for the agent's own key: then its SVID could be had under two names", async () => {
    const key = agent.x509.svid().privateKey;
    expect(await ask({ uris: [TASK], key })).to.include({ status: 403 });
  });

  it('is refused for the key of another task, also of the same agent', async () => {
    const key = makeKey('ec-p256');
    expect((await ask({ uris: [TASK], key })).status).to.equal(200);
    expect((await ask({ uris: [`${AGENT}/task/2`], key })).status).to.equal(403);
    expect((await ask({ uris: [`${OTHER}/task/3`], key }, other)).status).to.equal(403);
    expect((await ask({ uris: [`${AGENT}/task/2`] })).status).to.equal(200);
  });

  it('is refused for a task that has another key', async () => {
    const key = makeKey('ec-p256');
    expect((await ask({ uris: [TASK], key })).status).to.equal(200);
    expect((await ask({ uris: [TASK] })).status).to.equal(403);
    expect((await ask({ uris: [TASK], key })).status).to.equal(200);
  });

  it('is refused for the id of a task of another agent, until that has ended', async () => {
    expect((await ask({ uris: [TASK] })).status).to.equal(200);
    expect((await ask({ uris: [`${OTHER}/task/1`] }, other)).status).to.equal(403);
    bench.clock.advance(60_000);
    expect((await ask({ uris: [`${OTHER}/task/1`] }, other)).status).to.equal(200);
  });

  it('is refused when it moves the end of the task, and not when it brings that nearer', async () => {
    const csr = craftRequest({ uris: [TASK] });
    expect((await bench.ask(agent, { csr, ttlMs: 60_000 })).status).to.equal(200);
    expect((await bench.ask(agent, { csr, ttlMs: 60_001 })).status).to.equal(403);
    expect((await bench.ask(agent, { csr, ttlMs: 30_000 })).status).to.equal(200);
  });

  it('is refused by a task: tasks make no tasks', async () => {
    const task = staticIdentity(bench.ca, TASK);
    expect((await ask({ uris: [`${TASK}/task/2`] }, task)).status).to.equal(403);
  });

  it('is refused from a trusted foreign domain, whatever the rule lets in', async () => {
    const id = 'spiffe://partner.test/agents/a';
    const stranger = staticIdentity(bench.partner, id, [bench.ca]);
    const { status, error } = await ask({ uris: [`${id}/task/1`] }, stranger);
    expect(status).to.equal(403);
    expect(error).to.include('another trust domain');
    expect(bench.minted).to.deep.equal([]);
  });

  it('is refused from a workload that the rule does not name', async () => {
    const tool = staticIdentity(bench.ca, 'spiffe://example.org/tools/search');
    const { status } = await ask({ uris: ['spiffe://example.org/tools/search/task/1'] }, tool);
    expect(status).to.equal(403);
    expect(bench.minted).to.deep.equal([]);
  });

  it('is refused when another agent sends it again: it is the caller who is asked about', async () => {
    const csr = craftRequest({ uris: [TASK] });
    expect((await bench.ask(agent, { csr })).status).to.equal(200);
    expect((await bench.ask(other, { csr })).status).to.equal(403);
  });

  it('takes no more room than one agent may have, and the others have theirs', async () => {
    await using small = await AuthorityBench.open({ maxTasks: 2 });
    const [one, two] = [staticIdentity(small.ca, AGENT), staticIdentity(small.ca, OTHER)];
    const start = (id: string, from: StaticIdentity): Promise<Answer> =>
      small.ask(from, { csr: craftRequest({ uris: [`${from.x509.svid().id}/task/${id}`] }) });
    const statuses = [];
    for (const id of ['1', '2', '3']) statuses.push((await start(id, one)).status);
    expect(statuses).to.deep.equal([200, 200, 429]);
    expect((await start('4', two)).status).to.equal(200);
    small.clock.advance(61_000);
    expect((await start('5', one)).status).to.equal(200);
  });

  it('is no way to a credential that could not be put on record', async () => {
    bench.log.before = () => {
      throw new Error('disk full');
    };
    expect(await ask({ uris: [TASK] })).to.deep.equal({
      status: 503,
      error: 'no credential can be made at present',
    });
    expect(bench.minted).to.have.length(1);
    bench.log.before = () => undefined;
    expect((await ask({ uris: [TASK] })).status).to.equal(200);
  });

  for (const [what, make] of [
    ['another ID', (ca: TestCa): X509Svid => ca.issue(OTHER)],
    ['another key', (ca: TestCa): X509Svid => ca.issue(TASK)],
  ] as const) {
    it(`gets nothing when the issuer answers with ${what}`, async () => {
      await using astray = await AuthorityBench.open({
        mint: () => Promise.resolve(make(astray.ca).certificates),
      });
      const from = staticIdentity(astray.ca, AGENT);
      const { status } = await astray.ask(from, { csr: craftRequest({ uris: [TASK] }) });
      expect(status).to.equal(503);
      expect(astray.log.of('credential')).to.deep.equal([]);
    });
  }

  it('gets nothing when the issuer answers with more life than the task has', async () => {
    await using astray = await AuthorityBench.open({
      mint: ({ csr, ttlSeconds }) =>
        Promise.resolve(astray.ca.mint(csr, { ttlMs: (ttlSeconds + 2) * 1000 })),
    });
    const from = staticIdentity(astray.ca, AGENT);
    expect((await astray.ask(from, { csr: craftRequest({ uris: [TASK] }) })).status).to.equal(503);
  });
});
