import { type BoundRequestInit, SpiffeId } from 'agent-spiffe';
import { type RevocableLink, RevocationLists } from 'agent-spiffe/agent';
import { FakeClock, TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { RevocationPublisher } from '#lib/agent/revocation/publisher.js';
import { GrantWorld, NOW, RESEARCHER } from '../../support/grants.js';
import { refusal } from '../../support/refusal.js';
import { rejection } from '../../support/rejection.js';
import { complaints, Endpoints, Publisher, verifying } from '../../support/revocations.js';
import { staticIdentity } from '../../support/static-identity.js';
import { until } from '../../support/until.js';

const link = (jti: string, by: SpiffeId = RESEARCHER): RevocableLink => ({
  jti,
  by,
  issuedAt: NOW,
});

describe('lists of revoked grants', () => {
  let world: GrantWorld;
  let clock: FakeClock;
  let endpoints: Endpoints;
  let publisher: Publisher;

  beforeEach(() => {
    world = new GrantWorld();
    clock = new FakeClock(NOW);
    endpoints = new Endpoints();
    publisher = new Publisher(world.ca, RESEARCHER, clock);
    endpoints.put(publisher.url, () => publisher.answer());
  });

  describe('as they are published', () => {
    it('are a JWS by the SVID, its payload in canonical form, its certificates in x5c', () => {
      const { status, text } = publisher.answer();
      expect(status).to.equal(200);
      const [header = '', payload = ''] = text.split('.');
      expect(JSON.parse(Buffer.from(header, 'base64url').toString())).to.deep.equal({
        alg: 'ES256',
        typ: 'spiffe-revocations+jwt',
        x5c: publisher.svid.certificates.map((der) => Buffer.from(der).toString('base64')),
      });
      const at = NOW.getTime() / 1000;
      expect(Buffer.from(payload, 'base64url').toString()).to.equal(
        `{"ended":[],"exp":${at + 15},"iat":${at},"iss":"${RESEARCHER}","revoked":[],"seq":1,"since_ms":${NOW.getTime()}}`,
      );
    });

    it('are signed anew when something was revoked, when the SVID was replaced, and when a third of their time is over', () => {
      const texts = [publisher.answer().text];
      const next = (): boolean => {
        texts.push(publisher.answer().text);
        return texts.at(-1) !== texts.at(-2);
      };
      expect(next()).to.equal(false);
      clock.advance(4_999);
      expect(next()).to.equal(false);
      clock.advance(1);
      expect(next()).to.equal(true);
      publisher.signed('task', world.root({ svid: publisher.svid }));
      expect(next()).to.equal(false);
      publisher.grants.endTask('task');
      expect(next()).to.equal(true);
      publisher.identity.x509.set({ svids: [world.ca.issue(RESEARCHER)] });
      expect(next()).to.equal(true);
    });

    it('are had by GET and HEAD alone, and not without an identity', () => {
      expect(publisher.answer('HEAD')).to.deep.equal({ status: 200, text: '' });
      expect(publisher.answer('POST')).to.deep.equal({ status: 405, text: '' });
      publisher.identity.x509.set({ state: 'revoked' });
      expect(publisher.answer()).to.deep.equal({ status: 503, text: '' });
    });

    it('are valid for 2 s to 10 minutes', () => {
      const { x509 } = publisher.identity;
      const make = (validForMs: number): unknown =>
        new RevocationPublisher(x509, publisher.grants, clock, { validForMs });
      for (const refused of [1_999, 600_001, 2_000.5, Number.NaN])
        refusal('ERR_SPIFFE_OPTION_INVALID', /validForMs/, () => make(refused));
      make(2_000);
      make(600_000);
    });

    for (const keyType of ['ec-p384', 'rsa-2048'] as const) {
      it(`are taken when signed by a key of type ${keyType}, from behind an intermediate`, async () => {
        const ca = TestCa.create('example.org', { now: () => NOW, keyType, intermediate: true });
        const other = new Publisher(ca, RESEARCHER, clock);
        endpoints.put(other.url, () => other.answer());
        const verifier = await verifying(ca, clock, endpoints, [other]);
        expect(complaints(verifier)).to.equal('');
        expect(verifier.lists.status(link('any'))).to.equal('active');
      });
    }
  });

  describe('as they are polled', () => {
    it('are asked for when opened, and 5 s after each answer, until closed', async () => {
      const { lists } = await verifying(world.ca, clock, endpoints, [publisher]);
      expect(endpoints.asked).to.have.lengthOf(1);
      clock.advance(4_999);
      expect(endpoints.asked).to.have.lengthOf(1);
      clock.advance(1);
      expect(endpoints.asked).to.have.lengthOf(2);
      await lists.refresh();
      await lists.close();
      const asked = endpoints.asked.length;
      clock.advance(60_000);
      await lists.refresh();
      expect(endpoints.asked).to.have.lengthOf(asked);
      expect(lists.status(link('any'))).to.equal('unknown');
      expect(clock.pendingTimers).to.equal(0);
    });

    it('are given up when they do not come in time, and asked for again', async () => {
      const signals: AbortSignal[] = [];
      const never = Object.assign(
        (_: string | URL, { signal }: { readonly signal?: AbortSignal } = {}) =>
          new Promise<never>((_resolve, reject) => {
            if (signal === undefined) return;
            signals.push(signal);
            signal.addEventListener('abort', () => reject(signal.reason as Error));
          }),
        { peerRule: () => RESEARCHER.toString() },
      );
      const opening = verifying(world.ca, clock, endpoints, [publisher], { fetch: never });
      clock.advance(5_000);
      const verifier = await opening;
      expect(complaints(verifier)).to.contain('did not answer in time');
      expect(signals).to.have.lengthOf(1);
      clock.advance(5_000);
      expect(signals).to.have.lengthOf(2);
      await verifier.lists.close();
    });

    it('are read no further than one may be long, so that none fills the memory of its verifiers', async () => {
      let pieces = 0;
      const body = new ReadableStream({
        pull: (controller) => {
          pieces += 1;
          controller.enqueue(new Uint8Array(1_048_576));
        },
      });
      const endless = Object.assign(() => Promise.resolve(new Response(body)), {
        peerRule: () => RESEARCHER.toString(),
      });
      const verifier = await verifying(world.ca, clock, endpoints, [publisher], { fetch: endless });
      expect(complaints(verifier)).to.contain('longer than 8388608');
      expect(pieces).to.be.within(9, 11);
      await verifier.lists.close();
    });

    it('of one publisher are asked for in time, though another does not answer', async () => {
      const other = new Publisher(
        world.ca,
        SpiffeId.parse('spiffe://example.org/agents/slow'),
        clock,
      );
      const fetch = Object.assign(
        async (url: string | URL, init?: BoundRequestInit) => {
          if (String(url) !== other.url) return await endpoints.fetch(url);
          return await new Promise<never>((_resolve, reject) => {
            init?.signal?.addEventListener('abort', () => reject(new Error('given up')));
          });
        },
        { peerRule: (url: string | URL) => endpoints.fetch.peerRule(url) },
      );
      const opening = verifying(world.ca, clock, endpoints, [publisher, other], {
        fetch,
        timeoutMs: 10_000,
      });
      // One turn of the loop is enough for an answer that is at hand.
      let turns = 0;
      await until(() => turns++ > 2);
      clock.advance(5_000);
      expect(endpoints.asked).to.have.lengthOf(2);
      clock.advance(5_000);
      const { lists } = await opening;
      expect(lists.status(link('any'))).to.equal('active');
      await lists.close();
    });

    it('are not asked for what was under way before', async () => {
      const { lists } = await verifying(world.ca, clock, endpoints, [publisher]);
      publisher.signed('task', world.root({ svid: publisher.svid }));
      const before = lists.refresh();
      const [id] = publisher.grants.endTask('task');
      await lists.refresh();
      await before;
      expect(lists.status(link(id?.jti ?? ''))).to.equal('revoked');
    });

    it('answer for an agent and for the tasks below it, and for nobody else', async () => {
      const { lists } = await verifying(world.ca, clock, endpoints, [publisher]);
      const of = (id: string): string => lists.status(link('any', SpiffeId.parse(id)));
      expect(of(RESEARCHER.toString())).to.equal('active');
      expect(of(`${RESEARCHER}/task/7`)).to.equal('active');
      for (const other of ['spiffe://example.org/agents/other', `${RESEARCHER}/task/7/more`])
        expect(of(other)).to.equal('unknown');
    });

    it('of a task that has a guard of its own answer for it in place of its agent', async () => {
      const own = new Publisher(world.ca, SpiffeId.parse(`${RESEARCHER}/task/7`), clock);
      endpoints.put(own.url, () => own.answer());
      const { lists } = await verifying(world.ca, clock, endpoints, [publisher, own]);
      own.signed('task', world.root({ svid: own.svid }));
      const [grant] = own.grants.endTask('task');
      await lists.refresh();
      const jti = grant?.jti ?? '';
      expect(own.grants.status(link(jti, own.id))).to.equal('revoked');
      expect(lists.status(link(jti, own.id))).to.equal('revoked');
      expect(lists.status(link(jti, RESEARCHER))).to.equal('active');
    });

    it('of several processes of one agent must all answer for it', async () => {
      const second = new Publisher(world.ca, RESEARCHER, clock);
      const url = `${publisher.url}/2`;
      endpoints.put(url, () => second.answer());
      const publishers = { [RESEARCHER.toString()]: [publisher.url, url] };
      const { lists } = await verifying(world.ca, clock, endpoints, [], { publishers });
      expect(lists.status(link('any'))).to.equal('active');
      second.signed('task', world.root({ svid: second.svid }));
      const [grant] = second.grants.endTask('task');
      await lists.refresh();
      expect(lists.status(link(grant?.jti ?? ''))).to.equal('revoked');
      endpoints.put(url, () => ({ status: 404, text: '' }));
      clock.advance(30_000);
      await lists.refresh();
      expect(lists.status(link('any'))).to.equal('unknown');
    });
  });

  describe('options', () => {
    const identity = staticIdentity(TestCa.create('example.org'), 'spiffe://example.org/a');
    const open = (change: object): Promise<RevocationLists> =>
      RevocationLists.open({
        identity,
        fetch: endpoints.fetch,
        publishers: { [RESEARCHER.toString()]: publisher.url },
        ...change,
      });

    for (const [what, change] of [
      ['none of its own', { polls: 1 }],
      ['no identity', { identity: undefined }],
      ['no fetch', { fetch: 'fetch' }],
      ['no publishers', { publishers: undefined }],
      ['a publisher without a URL', { publishers: { [RESEARCHER.toString()]: [] } }],
      ['a URL that is no text', { publishers: { [RESEARCHER.toString()]: [7] } }],
      ['no time between polls', { pollMs: 0 }],
      ['a grace below none', { graceMs: -1 }],
      ['no time for an answer', { timeoutMs: 0.5 }],
      ['a logger that cannot log', { logger: {} }],
    ] as const) {
      it(`are refused: ${what}`, async () => {
        await rejection('ERR_SPIFFE_OPTION_INVALID', open(change));
        await (await open({ graceMs: 0 })).close();
      });
    }

    it('are refused when a publisher is none that an ID names, or the fetch is bound to nobody there', async () => {
      await rejection('ERR_SPIFFE_ID_INVALID', open({ publishers: { researcher: 'https://a' } }));
      const unbound = Object.assign(() => Promise.reject(new Error('never')), {
        peerRule: () => {
          throw new TypeError('it is bound to nobody');
        },
      });
      const error: unknown = await open({ fetch: unbound }).catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(TypeError);
    });
  });
});
