import { ANY_SPIFFE_ID, SpiffeId } from 'agent-spiffe';
import {
  any,
  type CallContext,
  type CallServiceOptions,
  type Constraint,
  callService,
  createGuard,
  exact,
  functionPolicy,
  type Guard,
  pathUnder,
  type Task,
  takeAnswer,
  urlUnder,
  wildcard,
} from 'agent-spiffe/agent';
import { FakeClock, TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { labelsFromHeader, labelsFromJson, labelsToHeader } from '#lib/agent/delegation/labels.js';
import { Offers } from '#lib/agent/delegation/offer.js';
import { staticIdentity } from '../../support/static-identity.js';
import { AGENT, MemoryLog, rejection, taskOf } from '../support.js';

const OTHER = 'spiffe://example.org/agents/mailer';
const KEY = {
  crv: 'Ed25519',
  kty: 'OKP',
  x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
} as const;
const OFFER = { spiffe_id: OTHER, cnf: { jwk: KEY } };
const SEND = { effect: 'egress', sink: { clearance: 'internal' } } as const;

const file = (task: Task, path: Constraint): Promise<unknown> =>
  task.delegate({ to: OTHER, offer: OFFER, tools: { file: { path } } });

describe('the options of a delegation', () => {
  let guard: Guard;
  let task: Task;
  let good: Parameters<Task['delegate']>[0];

  beforeEach(async () => {
    guard = await createGuard({
      identity: staticIdentity(TestCa.create('example.org'), AGENT),
      audit: new MemoryLog(),
      policy: functionPolicy(() => true),
    });
    guard.tool('send', SEND, () => 'sent');
    guard.tool('file', { effect: 'read', returns: { confidentiality: 'public' } }, () => 'x');
    task = await guard.startTask(
      taskOf(
        {
          send: { body: wildcard() },
          file: { path: any(pathUnder('/srv/a'), urlUnder('https://a.example/')) },
        },
        { budget: { calls: 5, tools: { send: 2 } } },
      ),
    );
    good = { to: OTHER, offer: OFFER, tools: { send: { body: wildcard() } } };
  });

  it('of a call to accept are needed: which tool, with which arguments, by whose grants', async () => {
    for (const none of [undefined, null, 'send']) {
      const error = await rejection(guard.accept({ headers: {} }, none as never));
      expect(error).to.include({ code: 'ERR_SPIFFE_OPTION_INVALID' });
      expect(error.message).to.include('issuers');
    }
  });

  it('are taken when they say who is to hold what, by which key', async () => {
    expect((await task.delegate(good)).to.toString()).to.equal(OTHER);
    expect((await task.delegate({ ...good, to: SpiffeId.parse(OTHER) })).tools).to.deep.equal([
      'send',
    ]);
    expect(
      (await task.delegate({ ...good, budget: { callsPerTool: { send: 2 } } })).ids,
    ).to.have.lengthOf(2);
  });

  const bad: Readonly<Record<string, object>> = {
    'no tool': { tools: {} },
    'no tools at all': { tools: undefined },
    'a tool without constraints': { tools: { send: {} } },
    'something that nothing looks at': { clearence: 'public' },
    'a holder that is no SPIFFE ID': { to: 7 },
    'an offer of another': { offer: { ...OFFER, spiffe_id: 'spiffe://example.org/agents/x' } },
    'no offer': { offer: undefined },
    'an offer without a key': { offer: { spiffe_id: OTHER } },
    'an offer of a key of another kind': {
      offer: { spiffe_id: OTHER, cnf: { jwk: { ...KEY, crv: 'X25519' } } },
    },
    'half a call': { budget: { calls: 0.5 } },
    'a budget of bytes': { budget: { bytesOut: 1 } },
    'less than no hands': { maxDepth: -1 },
    'no time': { ttlMs: 0 },
  };
  for (const [what, change] of Object.entries(bad)) {
    it(`are refused with ${what}`, async () => {
      const error = await rejection(task.delegate({ ...good, ...change }));
      expect(error.code).to.equal('ERR_SPIFFE_OPTION_INVALID');
    });
  }

  it('are refused with a holder that is ill-formed, and with more calls of a tool than are left', async () => {
    expect(await rejection(task.delegate({ ...good, to: 'mailer' }))).to.include({
      code: 'ERR_SPIFFE_ID_INVALID',
    });
    const budget = { callsPerTool: { send: 3 } };
    expect(await rejection(task.delegate({ ...good, budget }))).to.include({ step: 'budget' });
  });

  it('name values where a constraint of this process is within another', async () => {
    await file(task, exact('/srv/a/b'));
    await file(task, exact('https://a.example/x'));
    for (const path of [exact('/srv/b'), any(exact('/srv/a/b')), wildcard()])
      expect((await rejection(file(task, path))).message).to.include('"path" of "file"');
  });
});

describe('an offer', () => {
  it('is refused when too many wait for their grants, until they have waited a minute', () => {
    const clock = new FakeClock(new Date());
    const offers = new Offers(clock);
    for (let i = 0; i < 10_000; i++) offers.make(OTHER);
    expect(() => offers.make(OTHER))
      .to.throw()
      .with.property('code', 'ERR_SPIFFE_OPTION_INVALID');
    clock.advance(60_000);
    offers.make(OTHER);
  });
});

describe('labels in an answer', () => {
  it('are read as they were written', () => {
    for (const confidentiality of ['public', 'internal', 'confidential', 'restricted'] as const)
      for (const integrity of ['trusted', 'untrusted'] as const) {
        const labels = { confidentiality, integrity };
        expect(labelsFromHeader(labelsToHeader(labels))).to.deep.equal(labels);
        expect(labelsFromJson(labels)).to.deep.equal(labels);
      }
  });

  it('say nothing when they are anything else', () => {
    for (const text of [
      null,
      undefined,
      '',
      'public',
      'public,trusted',
      'secret, trusted',
      'public, trusted, x',
      'Public, trusted',
      'public, yes',
    ])
      expect(labelsFromHeader(text)).to.equal(undefined);
    for (const value of [null, 7, [], {}, { confidentiality: 'public' }, { integrity: 'trusted' }])
      expect(labelsFromJson(value)).to.equal(undefined);
  });

  it('are the worst where there is something that nobody understands', () => {
    const delegation = { worst: { confidentiality: 'internal', integrity: 'trusted' } };
    const taken = (told: string | null): unknown => {
      const labels: unknown[] = [];
      const context = { taint: (each: unknown) => labels.push(each) };
      const response = { headers: { get: () => told } };
      takeAnswer(context, delegation as never, response);
      return labels[0];
    };
    const worst = { confidentiality: 'restricted', integrity: 'untrusted' };
    expect(taken('public, trusted, public, trusted')).to.deep.equal(worst);
    expect(taken('secret, trusted')).to.deep.equal(worst);
    expect(taken(null)).to.deep.equal(delegation.worst);
    expect(taken('public, trusted')).to.deep.equal({
      confidentiality: 'public',
      integrity: 'trusted',
    });
  });
});

const fetchBy = (rule: unknown): CallServiceOptions['fetch'] =>
  Object.assign(() => Promise.reject(new Error('nothing is to be sent')), {
    peerRule: () => rule,
  }) as never;

describe('callService', () => {
  const context = {} as CallContext;
  for (const rule of ['spiffe://example.org/tools/*', ANY_SPIFFE_ID, [OTHER], () => true]) {
    it(`needs an audience where the fetch binds the URL to ${String(rule)}`, async () => {
      const call = callService(context, { url: 'https://mail.internal/', fetch: fetchBy(rule) });
      expect(await rejection(call)).to.include({ code: 'ERR_SPIFFE_OPTION_INVALID' });
    });
  }

  it('asks for a grant for the one that the URL is bound to, or that is named', async () => {
    const asked: unknown[] = [];
    const asking = {
      showGrant: (options: unknown) => Promise.reject(new Error(String(asked.push(options)))),
    } as never;
    const url = 'https://mail.internal/';
    for (const options of [
      { fetch: fetchBy(OTHER) },
      { fetch: fetchBy(SpiffeId.parse(OTHER)) },
      { fetch: fetchBy(ANY_SPIFFE_ID), audience: OTHER },
    ])
      await callService(asking, { url, ...options }).catch(() => {});
    expect(asked).to.deep.equal([{ audience: OTHER }, { audience: OTHER }, { audience: OTHER }]);
  });
});
