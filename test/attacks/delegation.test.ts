import { SpiffeId, type X509Svid } from 'agent-spiffe';
import {
  type CallContext,
  type CallGrant,
  type Delegation,
  exact,
  type GrantChainJson,
  type Labels,
  type Task,
  wildcard,
} from 'agent-spiffe/agent';
import { FakeClock } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { deriveGrant, issueRootGrant } from '#lib/agent/grant/issue.js';
import { proveGrant } from '#lib/agent/grant/prove.js';
import type { GrantSigner } from '#lib/agent/grant/sign.js';
import type { GrantStatus } from '#lib/agent/grant/verify.js';
import { TaskKey } from '#lib/agent/task-key.js';
import { type MailService, mailService } from '../agent/delegation/mail-service.js';
import {
  AGENTS,
  DelegationWorld,
  MAILER,
  ORCHESTRATOR,
  type Party,
  RESEARCHER,
  SEND,
  STRANGER,
} from '../agent/delegation/world.js';
import { rejection, taskOf } from '../agent/support.js';

const LETTER = { to: 'ann@acme.example', body: 'hello' };
const BODY = JSON.stringify(LETTER);
const MAY = { send: { to: exact('ann@acme.example'), body: wildcard() } };

interface Answer {
  readonly status: number;
  readonly step: unknown;
}

/** A tool that gives out what would go with its call, in place of sending it. */
function grabber({ guard }: Party): (args: object) => Promise<CallGrant> {
  return guard.tool('send', SEND, (_: object, context: CallContext) =>
    context.showGrant({ audience: MAILER }),
  );
}

describe('attack: delegation, over mutual TLS', () => {
  let world: DelegationWorld;
  let orchestrator: Party;
  let researcher: Party;
  let mailer: Party;
  let mail: MailService;
  let grabAsResearcher: (args: object) => Promise<CallGrant>;
  let task: Task;
  let delegation: Delegation;
  let theirs: Task;

  beforeEach(async () => {
    world = await DelegationWorld.open();
    orchestrator = await world.party(ORCHESTRATOR);
    researcher = await world.party(RESEARCHER);
    mailer = await world.party(MAILER, { revokedBy: [orchestrator, researcher] });
    mail = await mailService(world, mailer);
    grabber(orchestrator);
    grabAsResearcher = grabber(researcher);
    task = await orchestrator.guard.startTask(taskOf(MAY));
    delegation = await task.delegate({
      to: RESEARCHER,
      offer: researcher.guard.offer(),
      tools: MAY,
      maxDepth: 1,
    });
    theirs = await researcher.guard.startDelegated(wireOf(delegation), {
      from: AGENTS,
      purpose: 'write',
    });
  });

  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  /** What the mailer answers to this, sent by this party. */
  async function sendAs(
    party: Party,
    headers: Record<string, string>,
    body = BODY,
    to = mail,
    peer = MAILER,
  ): Promise<Answer> {
    const fetch = world.fetch(party, { [to.origin]: peer });
    const response = await fetch(to.url, { method: 'POST', headers, body });
    const text = await response.text();
    const step: unknown = text.startsWith('{')
      ? (JSON.parse(text) as { readonly step?: unknown }).step
      : undefined;
    return { status: response.status, step };
  }

  const startFrom = (grant: unknown, more: object = {}): Promise<Task> =>
    researcher.guard.startDelegated(grant, { from: ORCHESTRATOR, purpose: 'x', ...more });

  const shown = (by: Task): Promise<CallGrant> => by.run(() => grabAsResearcher(LETTER));

  const headersOf = (chain: readonly string[], proof: string): Record<string, string> => {
    const { spiffe_x5c: certificates } = wireOf(delegation);
    return {
      'spiffe-grant': `${chain.join(',')};${certificates.join(',')}`,
      'spiffe-grant-proof': proof,
    };
  };

  it('a grant that was stolen is worth nothing to another identity', async () => {
    const stranger = await world.party(STRANGER);
    const { headers } = await theirs.run(async () => {
      const grant = await grabAsResearcher(LETTER);
      return { headers: grant.headers() };
    });
    expect(await sendAs(stranger, headers)).to.deep.equal({ status: 403, step: 'peer' });
    expect(await sendAs(orchestrator, headers)).to.deep.equal({ status: 403, step: 'peer' });
    expect(mail.sent).to.deep.equal([]);
    const [refusal] = mailer.log.of('grant.refuse');
    expect(refusal).to.include({ step: 'peer', peer: STRANGER, tool: 'send' });
    expect(refusal?.claimed).to.deep.equal(delegation.ids);
    expect((await sendAs(researcher, headers)).status).to.equal(200);
  });

  it('a grant is worth nothing to the same identity without the key of the task', async () => {
    const { aat_chain: chain } = wireOf(delegation);
    const proof = (signer: GrantSigner): string =>
      proveGrant({
        leaf: chain.at(-1) ?? '',
        signer,
        tool: 'send',
        argsJson: BODY,
        audience: MAILER,
        labels: PUBLIC,
      });
    expect(() => proof(new TaskKey()))
      .to.throw()
      .with.property('step', '7b');
    const impostor = new TaskKey();
    const pretending = {
      publicJwk: theirs.key.publicJwk,
      sign: (data: Uint8Array) => impostor.sign(data),
    };
    expect(await sendAs(researcher, headersOf(chain, proof(pretending)))).to.deep.equal({
      status: 401,
      step: '7b',
    });
    expect((await sendAs(researcher, headersOf(chain, proof(theirs.key)))).status).to.equal(200);
  });

  it('a call is not made twice, nor with other arguments, nor with a member twice', async () => {
    const headers = await theirs.run(async () => (await grabAsResearcher(LETTER)).headers());
    const other = JSON.stringify({ ...LETTER, body: 'another' });
    expect(await sendAs(researcher, headers, other)).to.deep.equal({ status: 401, step: '7f' });
    const twice = `{"to":"ann@acme.example","body":"hello","body":"hello"}`;
    expect(await sendAs(researcher, headers, twice)).to.deep.equal({ status: 403, step: '6b' });
    expect((await sendAs(researcher, headers, ` ${BODY}`)).status).to.equal(200);
    expect(await sendAs(researcher, headers)).to.deep.equal({ status: 401, step: '7i' });
    expect(mail.sent).to.deep.equal([LETTER]);
  });

  it('a proof is not passed on to another service', async () => {
    const other = await world.party(STRANGER);
    const relay = await mailService(world, other);
    const headers = await theirs.run(async () => (await grabAsResearcher(LETTER)).headers());
    expect(await sendAs(researcher, headers, BODY, relay, STRANGER)).to.deep.equal({
      status: 401,
      step: '7d',
    });
    // The service that was called passes it on to the one that it is for.
    expect(await sendAs(other, headers)).to.deep.equal({ status: 403, step: 'peer' });
    expect((await sendAs(researcher, headers)).status).to.equal(200);
  });

  it('a grant is over with the task that gave it', async () => {
    expect((await sendAs(researcher, (await shown(theirs)).headers())).status).to.equal(200);
    const kept = (await shown(theirs)).headers();
    await task.end();
    expect(orchestrator.log.of('grant.revoke').map(({ grant }) => grant.jti)).to.have.members([
      ...delegation.ids,
    ]);
    await mailer.lists?.refresh();
    expect(await sendAs(researcher, kept)).to.deep.equal({ status: 403, step: 'revoked' });
    expect(await sendAs(researcher, (await shown(theirs)).headers())).to.deep.equal({
      status: 403,
      step: 'revoked',
    });
    const offer = researcher.guard.offer();
    const again = task.delegate({ to: RESEARCHER, offer, tools: MAY });
    expect(await rejection(again)).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
  });

  it('a grant that is revoked elsewhere is refused by the very guard whose task has signed it', async () => {
    let elsewhere: GrantStatus = 'unknown';
    const signer = await world.party(MAILER, { revocation: { status: () => elsewhere } } as object);
    const post = await mailService(world, signer);
    const own = await signer.guard.startTask(taskOf(MAY));
    const offer = researcher.guard.offer();
    const given = await own.delegate({ to: RESEARCHER, offer, tools: MAY });
    const work = await researcher.guard.startDelegated(wireOf(given), {
      from: AGENTS,
      purpose: 'write',
    });
    const send = async (): Promise<Answer> =>
      await sendAs(researcher, (await shown(work)).headers(), BODY, post);
    expect((await send()).status).to.equal(200);
    elsewhere = 'revoked';
    expect(await send()).to.deep.equal({ status: 403, step: 'revoked' });
  });

  it('a grant whose revocation nobody can tell of is refused', async () => {
    const stranger = await world.party(STRANGER);
    stranger.guard.tool('send', SEND, () => 'not here');
    const foreign = await stranger.guard.startTask(taskOf(MAY));
    const offer = researcher.guard.offer();
    const given = await foreign.delegate({ to: RESEARCHER, offer, tools: MAY });
    const work = await researcher.guard.startDelegated(wireOf(given), {
      from: AGENTS,
      purpose: 'write',
    });
    const headers = await work.run(async () => (await grabAsResearcher(LETTER)).headers());
    expect(await sendAs(researcher, headers)).to.deep.equal({ status: 403, step: 'revoked' });
  });

  it('a grant that is backdated with the key of an expired SVID is refused', async () => {
    const clock = new FakeClock(new Date());
    const later = await world.party(STRANGER, { clock });
    const office = await mailService(world, later);
    const send = async (now: Date): Promise<Answer> =>
      sendAs(orchestrator, rootOf(orchestrator.me.x509.svid(), now), BODY, office, STRANGER);
    expect((await send(new Date(clock.now()))).status).to.equal(200);
    clock.advance(2 * 3_600_000);
    expect(await send(new Date(clock.now()))).to.deep.equal({ status: 401, step: 'issuer' });
  });

  it('a delegate that signs a root of its own, about more than it was given, is refused', async () => {
    const office = await world.party(STRANGER);
    const post = await mailService(world, office, ORCHESTRATOR);
    const send = (party: Party): Promise<Answer> =>
      sendAs(party, rootOf(party.me.x509.svid(), new Date()), BODY, post, STRANGER);
    expect(await send(researcher)).to.deep.equal({ status: 401, step: 'issuer' });
    expect(post.sent).to.deep.equal([]);
    expect((await send(orchestrator)).status).to.equal(200);
  });

  it('nobody can have an agent work in the name of another', async () => {
    const stranger = await world.party(STRANGER);
    const key = new TaskKey();
    const give = (issuer: Party, holderId: string): unknown => {
      const svid = issuer.me.x509.svid();
      const root = issueRootGrant({
        svid,
        holder: key.publicJwk,
        holderId: SpiffeId.parse(holderId),
        taskId: 'made up',
        tools: MAY,
        budget: { calls: 1 },
        expiresAt: svid.notAfter,
        maxDepth: 2,
      });
      // Whoever signs the root says who holds it, and so who signed what lies below.
      const { cnf } = researcher.guard.offer();
      const to = SpiffeId.parse(RESEARCHER);
      const child = deriveGrant({ parent: root, signer: key, holder: cnf.jwk, holderId: to });
      return { aat_chain: [root, child], spiffe_x5c: base64(svid.certificates).split(',') };
    };
    expect(await rejection(startFrom(give(stranger, ORCHESTRATOR)))).to.include({ step: 'from' });
    expect(await rejection(startFrom(give(orchestrator, STRANGER)))).to.include({ step: 'from' });
    const issuers = STRANGER;
    expect(await rejection(startFrom(give(orchestrator, ORCHESTRATOR), { issuers }))).to.include({
      step: 'from',
    });
    await startFrom(give(orchestrator, ORCHESTRATOR));
    await startFrom(give(orchestrator, `${ORCHESTRATOR}/task/1`));
    await startFrom(give(stranger, ORCHESTRATOR), { issuers });
  });

  it('a holder that widens what it was given is refused, by whatever it widens', async () => {
    const { aat_chain: chain } = wireOf(delegation);
    const [, leaf = ''] = chain;
    const { key } = theirs;
    const honest = deriveGrant({
      parent: leaf,
      signer: key,
      holder: key.publicJwk,
      holderId: SpiffeId.parse(RESEARCHER),
    });
    const prove = (child: string): string =>
      proveGrant({
        leaf: child,
        signer: key,
        tool: 'send',
        argsJson: BODY,
        audience: MAILER,
        labels: PUBLIC,
      });
    const show = (child: string): Promise<Answer> =>
      sendAs(researcher, headersOf([...chain, child], prove(child)));
    const any = { constraint_type: 'wildcard' };
    const widened: readonly (readonly [string, object])[] = [
      ['4p1', details({ send: { to: exact('ann@acme.example'), body: any }, delete: {} })],
      ['4p4', details({ send: { to: any, body: any } })],
      ['4p2', details({ send: { to: exact('ann@acme.example'), body: any, cc: any } })],
      ['4g', { del_max_depth: 8 }],
      ['4h', { exp: Math.floor(theirs.expiresAt.getTime() / 1000) + 1 }],
      ['4d', { del_depth: 1 }],
      ['budget', { spiffe_budget: { calls: Number.MAX_SAFE_INTEGER } }],
    ];
    for (const [step, change] of widened) {
      const { step: found, status } = await show(resigned(honest, key, change));
      expect([found, status], step).to.deep.equal([step, step === 'budget' ? 403 : 401]);
    }
    expect((await show(resigned(honest, key, {}))).status).to.equal(200);
  });

  it('a chain that was cut, spliced or looped is refused', async () => {
    const { aat_chain: chain } = wireOf(delegation);
    const [root = '', leaf = ''] = chain;
    const second = await task.delegate({
      to: RESEARCHER,
      offer: researcher.guard.offer(),
      tools: MAY,
    });
    const [, sibling = ''] = wireOf(second).aat_chain;
    const show = async (tokens: readonly string[]): Promise<Answer> => {
      const proof = proveGrant({
        leaf,
        signer: theirs.key,
        tool: 'send',
        argsJson: BODY,
        audience: MAILER,
        labels: PUBLIC,
      });
      return await sendAs(researcher, headersOf(tokens, proof));
    };
    expect((await show([leaf])).step).to.equal('3a');
    expect((await show([root])).step).to.equal('peer');
    expect((await show([root, root, leaf])).step).to.equal('2c');
    expect((await show([root, leaf, leaf])).step).to.equal('2c');
    expect((await show([root, sibling])).step).to.equal('7b');
    expect((await show([root, sibling, leaf])).step).to.equal('4b');
    expect((await show([leaf, root])).step).to.equal('3a');
    expect((await show(chain)).status).to.equal(200);
  });

  it('two tasks of one process cannot use the grants of each other', async () => {
    const other = await task.delegate({
      to: RESEARCHER,
      offer: researcher.guard.offer(),
      tools: MAY,
    });
    const second = await researcher.guard.startDelegated(wireOf(other), {
      from: AGENTS,
      purpose: 'write',
    });
    const start = (given: Delegation): Promise<unknown> =>
      researcher.guard.startDelegated(wireOf(given), { from: AGENTS, purpose: 'again' });
    expect(await rejection(start(delegation))).to.include({ step: 'offer' });
    expect(await rejection(theirs.renewGrant(wireOf(other)))).to.include({ step: '4b2' });
    const prove = (): string =>
      proveGrant({
        leaf: wireOf(other).aat_chain.at(-1) ?? '',
        signer: theirs.key,
        tool: 'send',
        argsJson: BODY,
        audience: MAILER,
      });
    expect(prove).to.throw().with.property('step', '7b');
    await second.end();
    expect(await rejection(shown(second))).to.include({ code: 'ERR_SPIFFE_TASK_ENDED' });
    expect((await sendAs(researcher, (await shown(theirs)).headers())).status).to.equal(200);
  });

  it('a delegate that hides what it has read is taken at its worst, or refused', async () => {
    const { aat_chain: chain } = wireOf(delegation);
    const { key } = theirs;
    const prove = (leaf: string, labels?: Labels): string =>
      proveGrant({
        leaf,
        signer: key,
        tool: 'send',
        argsJson: BODY,
        audience: MAILER,
        ...(labels && { labels }),
      });
    const leaf = chain.at(-1) ?? '';
    // It says nothing: the sink of the mailer takes internal data of those who are trusted alone.
    expect((await sendAs(researcher, headersOf(chain, prove(leaf)))).status).to.equal(409);
    const secret = { confidentiality: 'confidential', integrity: 'trusted' } as const;
    expect((await sendAs(researcher, headersOf(chain, prove(leaf, secret)))).status).to.equal(409);
    expect(mailer.log.of('call.denied').map(({ denial }) => denial.reason)).to.deep.equal([
      'label',
      'label',
    ]);
    expect((await sendAs(researcher, headersOf(chain, prove(leaf, PUBLIC)))).status).to.equal(200);

    // What was read before it got its grant it cannot take back, in a child or in a proof.
    const tainted = await orchestrator.guard.startTask(taskOf(MAY, { labels: secret }));
    const offer = researcher.guard.offer();
    const given = await tainted.delegate({ to: RESEARCHER, offer, tools: MAY, maxDepth: 1 });
    const work = await researcher.guard.startDelegated(wireOf(given), {
      from: AGENTS,
      purpose: 'write',
    });
    expect(work.labels).to.deep.equal(secret);
    const { aat_chain: long } = wireOf(given);
    const child = deriveGrant({
      parent: long.at(-1) ?? '',
      signer: work.key,
      holder: work.key.publicJwk,
      holderId: SpiffeId.parse(RESEARCHER),
    });
    const washed = resigned(child, work.key, { spiffe_labels: PUBLIC });
    const by = (last: string): string =>
      proveGrant({
        leaf: last,
        signer: work.key,
        tool: 'send',
        argsJson: BODY,
        audience: MAILER,
        labels: PUBLIC,
      });
    expect(await sendAs(researcher, headersOf([...long, washed], by(washed)))).to.deep.equal({
      status: 401,
      step: 'labels',
    });
    expect((await sendAs(researcher, headersOf(long, by(long.at(-1) ?? '')))).status).to.equal(409);
  });

  it('a request without a grant, or with half of one, is refused', async () => {
    const { 'spiffe-grant': grant = '', 'spiffe-grant-proof': proof = '' } = await theirs.run(
      async () => (await grabAsResearcher(LETTER)).headers(),
    );
    for (const headers of [{}, { 'spiffe-grant': grant }, { 'spiffe-grant-proof': proof }])
      expect(await sendAs(researcher, headers)).to.deep.equal({
        status: 401,
        step: 'presentation',
      });
    const headers = { 'spiffe-grant': grant, 'spiffe-grant-proof': proof };
    expect((await sendAs(researcher, headers)).status).to.equal(200);
  });
});

function wireOf(given: Delegation): GrantChainJson {
  return JSON.parse(JSON.stringify(given)) as GrantChainJson;
}

const PUBLIC = { confidentiality: 'public', integrity: 'trusted' } as const;

/** The same token with other claims, signed by the key that may sign it. */
function resigned(token: string, key: Task['key'], change: object): string {
  const [header = '', payload = ''] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
  const changed = Buffer.from(JSON.stringify({ ...claims, ...change })).toString('base64url');
  const signed = `${header}.${changed}`;
  return `${signed}.${Buffer.from(key.sign(Buffer.from(signed))).toString('base64url')}`;
}

function details(tools: object): object {
  return { authorization_details: [{ type: 'attenuating_agent_token', tools }] };
}

/** A call by a root that is signed with the key of this SVID, whatever the time is. */
function rootOf(svid: X509Svid, now: Date): Record<string, string> {
  const key = new TaskKey();
  const root = issueRootGrant({
    svid,
    holder: key.publicJwk,
    holderId: svid.id,
    taskId: 'backdated',
    tools: MAY,
    expiresAt: svid.notAfter,
  });
  const proof = proveGrant({
    leaf: root,
    signer: key,
    tool: 'send',
    argsJson: BODY,
    audience: STRANGER,
    labels: PUBLIC,
    now,
  });
  return { 'spiffe-grant': `${root};${base64(svid.certificates)}`, 'spiffe-grant-proof': proof };
}

function base64(chain: readonly Uint8Array[]): string {
  return chain.map((der) => Buffer.from(der).toString('base64')).join(',');
}
