import { inspect } from 'node:util';
import {
  type JwtFetchOptions,
  type JwtSvid,
  type SourceState,
  SpiffeId,
  verifyJwtSvid,
  Workload,
  X509Bundles,
  type X509Snapshot,
  type X509Svid,
} from 'agent-spiffe';
import { FakeClock, TestCa, WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { parseWorkloadApiAddress } from '#lib/sources/workload-api/address.js';
import { WorkloadApiClient } from '#lib/sources/workload-api/client.js';
import { WorkloadJwtSource } from '#lib/sources/workload-api/jwt-source.js';
import { resolveLimits } from '#lib/sources/workload-api/limits.js';
import { craftToken, goodParts, publicJwk } from '../../support/craft-token.js';
import { KEYS } from '../../support/jwt-world.js';
import { type MemoryLogger, memoryLogger } from '../../support/memory-logger.js';
import { rejection } from '../../support/rejection.js';
import { until } from '../../support/until.js';

const A = 'spiffe://example.org/a';
const B = 'spiffe://example.org/b';
const FETCH = 'FetchJWTSVID';
const PERMISSION_DENIED = 7;
const INVALID_ARGUMENT = 3;
const UNIMPLEMENTED = 12;
const UNAVAILABLE = 14;

/** The X.509 state that a source follows, as the test says it. */
class Followed {
  now: X509Snapshot = {
    sequence: 0,
    state: 'pending',
    svid: undefined,
    svids: [],
    bundles: X509Bundles.of(),
  };

  set(state: SourceState, svids: readonly X509Svid[] = []): void {
    this.now = { ...this.now, sequence: this.now.sequence + 1, state, svid: svids[0], svids };
  }
}

describe('the JWT-SVIDs of a workload', () => {
  let clock: FakeClock;
  let server: WorkloadApiServer;
  let client: WorkloadApiClient;
  let x509: Followed;
  let logger: MemoryLogger;
  let source: WorkloadJwtSource;

  beforeEach(async () => {
    clock = new FakeClock();
    logger = memoryLogger();
    server = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [
        { id: A, hint: 'first' },
        { id: B, hint: 'second' },
      ],
      federated: ['partner.test'],
      clock,
      autoRotate: false,
    });
    const address = parseWorkloadApiAddress(server.address);
    const limits = resolveLimits();
    client = new WorkloadApiClient({ address, messageBytes: limits.messageBytes });
    x509 = new Followed();
    source = new WorkloadJwtSource({ client, address, limits, clock, logger }, x509);
  });

  afterEach(async () => {
    source.close();
    client.close();
    await server.close();
    expect(clock.pendingTimers, 'timers that are left').to.equal(0);
  });

  const follow = (state: SourceState, ...ids: readonly string[]): void => {
    x509.set(
      state,
      ids.map((id) => server.ca.issue(id)),
    );
    source.follow();
  };

  const state = (wanted: SourceState) => (): boolean => source.state === wanted;
  const keys = (count: number) => (): boolean =>
    source.bundles.get('example.org')?.keyIds.length === count;

  const issue = (id: string, audience: string | string[] = 'reports'): Promise<JwtSvid> =>
    server.ca.issueJwt(id, { audience });

  describe('fetch', () => {
    it('WLA-28 WLE-04: asks for exactly this audience, with the security header', async () => {
      const called = server.nextCall({ method: FETCH });
      const svid = await source.fetch({ audience: ['mail', 'reports'] });
      expect((await called).metadata['workload.spiffe.io']).to.deep.equal(['true']);
      expect(svid.audience).to.deep.equal(['mail', 'reports']);
      expect(String(svid.id)).to.equal(A);
      expect(svid.hint).to.equal('first');
      const { bundle } = { bundle: server.ca.jwtBundle };
      const now = new Date(clock.now());
      await verifyJwtSvid(svid.token, { get: () => bundle }, { audience: 'mail', now });
    });

    it('calls once for one audience, in whatever order and however often it is named', async () => {
      const first = await source.fetch({ audience: ['b', 'a'] });
      for (const audience of [
        ['a', 'b'],
        ['b', 'a', 'b'],
      ])
        expect(await source.fetch({ audience })).to.equal(first);
      expect(await source.fetch({ audience: 'a' })).not.to.equal(first);
      expect(await source.fetch({ audience: ['a'] })).not.to.equal(first);
      expect(server.callCount(FETCH)).to.equal(2);
    });

    it('calls once for many who ask at the same time', async () => {
      const svids = await Promise.all(
        Array.from({ length: 50 }, () => source.fetch({ audience: 'reports' })),
      );
      expect(new Set(svids).size).to.equal(1);
      expect(server.callCount(FETCH)).to.equal(1);
    });

    it('leaves the others their token when one of them aborts', async () => {
      const called = server.nextCall({ method: FETCH });
      server.delay(100);
      const controller = new AbortController();
      const options = { audience: 'reports' };
      const left = source
        .fetch({ ...options, signal: controller.signal })
        .catch((error: unknown) => error);
      const staying = source.fetch(options);
      await called;
      const reason = new Error('enough');
      controller.abort(reason);
      expect(await left).to.equal(reason);
      clock.advance(100);
      expect(String((await staying).id)).to.equal(A);
    });

    it('WLA-29: asks for the identity named', async () => {
      for (const id of [B, SpiffeId.parse(B)])
        expect(String((await source.fetch({ audience: 'x', id })).id)).to.equal(B);
      expect(server.callCount(FETCH)).to.equal(1);
    });

    it('WLA-48 A-17: asks for the X.509 identity in use; without one, the first is the default', async () => {
      expect(String((await source.fetch({ audience: 'x' })).id)).to.equal(A);
      follow('ready', B, A);
      expect(String((await source.fetch({ audience: 'x' })).id)).to.equal(B);
      expect(server.callCount(FETCH)).to.equal(2);
    });

    for (const [what, code, options] of [
      ['no audience', 'OPTION', { audience: [] }],
      ['an empty audience', 'OPTION', { audience: '' }],
      ['an empty audience among others', 'OPTION', { audience: ['a', ''] }],
      ['an audience that is no text', 'OPTION', { audience: [1] as unknown as string[] }],
      ['a hole among audiences', 'OPTION', { audience: Object.assign([] as string[], { 1: 'a' }) }],
      ['no options', 'OPTION', undefined as unknown as { audience: string }],
      ['an ID that is none', 'ID', { audience: 'a', id: 'example.org/a' }],
    ] as readonly (readonly [string, 'OPTION' | 'ID', JwtFetchOptions])[]) {
      it(`WLA-10 WLA-28: calls nobody for ${what}`, async () => {
        await rejection(`ERR_SPIFFE_${code}_INVALID`, source.fetch(options));
        expect(server.callCount()).to.equal(0);
      });
    }

    it('WLA-31: says that there is no such identity', async () => {
      const error = await rejection(
        'ERR_SPIFFE_WORKLOAD_API_DENIED',
        source.fetch({ audience: 'x', id: 'spiffe://example.org/c' }),
      );
      expect(error).to.include({ grpcStatus: PERMISSION_DENIED });
      expect(error.message).to.include('no registration entry matches');
    });

    for (const [what, status, code] of [
      ['WLE-12: refused for good', INVALID_ARGUMENT, 'REJECTED'],
      ['WLE-16 A-25: not offered', UNIMPLEMENTED, 'REJECTED'],
      ['WLE-13: away', UNAVAILABLE, 'UNAVAILABLE'],
      ['broken', 13, 'UNAVAILABLE'],
    ] as const) {
      it(`${what}: says so, and asks anew the next time`, async () => {
        server.failWith(status, 'said the server', { times: 1 });
        const error = await rejection(
          `ERR_SPIFFE_WORKLOAD_API_${code}`,
          source.fetch({ audience: 'x' }),
        );
        expect(error.grpcStatus).to.equal(status);
        expect(error.message).to.include('said the server');
        await source.fetch({ audience: 'x' });
      });
    }

    it('gives up after 10 s without an answer', async () => {
      server.delay(60_000);
      const called = server.nextCall({ method: FETCH });
      const waiting = source.fetch({ audience: 'x' });
      await called;
      clock.advance(10_000);
      const error = await rejection('ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE', waiting);
      expect(error.message).to.include('no answer within 10000 ms');
      server.delay(0);
      await source.fetch({ audience: 'x' });
      // The server holds its answer back on the same clock.
      clock.advance(60_000);
    });

    it('says that the agent is away, and gets a token as soon as it is back', async () => {
      await server.goOffline();
      const error = await rejection(
        'ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE',
        source.fetch({ audience: 'x' }),
      );
      expect(error.message).to.include('is the agent running');
      await server.goOnline();
      await source.fetch({ audience: 'x' });
    });

    it('serves what is at hand while the agent is away, until it ends', async () => {
      const svid = await source.fetch({ audience: 'x' });
      await server.goOffline();
      clock.advance(200_000);
      expect(await source.fetch({ audience: 'x' })).to.equal(svid);
      clock.advance(95_000);
      await rejection('ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE', source.fetch({ audience: 'x' }));
    });

    it('renews in the background past half of its life', async () => {
      const first = await source.fetch({ audience: 'x' });
      clock.advance(180_000);
      const called = server.nextCall({ method: FETCH });
      expect(await source.fetch({ audience: 'x' })).to.equal(first);
      await called;
      let next = first;
      while (next === first) {
        await new Promise((resolve) => setImmediate(resolve));
        next = await source.fetch({ audience: 'x' });
      }
      expect(next.expiresAt.getTime() - first.expiresAt.getTime()).to.equal(180_000);
      expect(server.callCount(FETCH)).to.equal(2);
    });

    const lies: readonly (readonly [string, string, () => Promise<string>, string?])[] = [
      ['the token of another identity', 'is one of', async () => (await issue(B, 'x')).token],
      [
        'a token for another audience (WLA-28)',
        'not for exactly the audience',
        async () => (await issue(A, 'y')).token,
      ],
      [
        'a token for more than was asked (WLA-28)',
        'not for exactly the audience',
        async () => (await issue(A, ['x', 'y'])).token,
      ],
      ['what is no token', 'not three parts', () => Promise.resolve('x')],
      ['an empty token (WLA-11, WLA-30)', 'not three parts', () => Promise.resolve('')],
      [
        'a token that has expired',
        'is a clock wrong?',
        () => {
          const { header, claims } = goodParts(new Date(clock.now() - 400_000));
          const of = { ...claims, sub: A, aud: 'x' };
          return Promise.resolve(craftToken(KEYS['key-1'], { header, claims: of }));
        },
      ],
      ['an ID that is none', 'is one of', async () => (await issue(A, 'x')).token, 'a'],
    ];
    for (const [what, says, make, spiffeId = A] of lies) {
      it(`refuses an answer with ${what}, and shows no token`, async () => {
        const svid = await make();
        server.corruptJwtSvids(() => ({ svids: [{ spiffeId, svid, hint: '' }] }));
        const error = await rejection(
          'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID',
          source.fetch({ audience: 'x' }),
        );
        expect(error.message).to.include(says);
        for (const part of svid.split('.').filter(({ length }) => length > 9))
          expect(inspect(error, { depth: 9 })).not.to.include(part);
        expect(String((await source.fetch({ audience: 'x' })).id)).to.equal(A);
      });
    }

    it('WLA-30: refuses an answer without tokens, or without the one asked for', async () => {
      server.corruptJwtSvids(() => ({ svids: [] }));
      const code = 'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID';
      const error = await rejection(code, source.fetch({ audience: 'x' }));
      expect(error.message).to.include('no JWT-SVID (WLA-30)');
      const { token } = await issue(B, 'x');
      server.corruptJwtSvids(() => ({ svids: [{ spiffeId: B, svid: token, hint: '' }] }));
      const other = await rejection(code, source.fetch({ audience: 'x', id: A }));
      expect(other.message).to.include('(WLA-29)');
    });

    it('WLA-21: of two tokens with one hint takes the first', async () => {
      const [a, b] = [await issue(A, 'x'), await issue(B, 'x')];
      server.corruptJwtSvids(() => ({
        svids: [
          { spiffeId: A, svid: a.token, hint: 'same' },
          { spiffeId: B, svid: b.token, hint: 'same' },
        ],
      }));
      const svid = await source.fetch({ audience: 'x' });
      expect(svid.token).to.equal(a.token);
      expect(svid.hint).to.equal('same');
    });

    it('refuses an answer that is no message', async () => {
      server.corruptJwtSvids(() => Buffer.from([0xff]));
      await rejection('ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID', source.fetch({ audience: 'x' }));
    });

    describe('while a signal is not aborted', () => {
      const x = { audience: 'x' };

      it('keeps a token for those who give it, apart from all others', async () => {
        const [one, other] = [new AbortController(), new AbortController()];
        const shared = await source.fetch(x);
        const own = await source.fetch({ ...x, during: one.signal });
        expect(own).not.to.equal(shared);
        expect(await source.fetch({ ...x, during: one.signal })).to.equal(own);
        expect(await source.fetch({ ...x, during: other.signal })).not.to.equal(own);
        expect(await source.fetch(x)).to.equal(shared);
        expect(server.callCount(FETCH)).to.equal(3);
      });

      it('drops it with the signal, and leaves those of others', async () => {
        const [one, other] = [new AbortController(), new AbortController()];
        const shared = await source.fetch(x);
        await source.fetch({ ...x, during: one.signal });
        const theirs = await source.fetch({ ...x, during: other.signal });
        const called = server.nextCall({ method: FETCH });
        server.delay(100);
        const late = source.fetch({ audience: 'y', during: one.signal }).catch((e: unknown) => e);
        await called;
        one.abort();
        expect(await late).to.equal(one.signal.reason);
        const again = await source
          .fetch({ ...x, during: one.signal })
          .catch((error: unknown) => error);
        expect(again).to.equal(one.signal.reason);
        expect(await source.fetch({ ...x, during: other.signal })).to.equal(theirs);
        expect(await source.fetch(x)).to.equal(shared);
        expect(server.callCount(FETCH)).to.equal(4);
      });

      it('lets go of it when its identity is withdrawn', async () => {
        follow('ready', A, B);
        const { signal } = new AbortController();
        const a = await source.fetch({ ...x, id: A, during: signal });
        const b = await source.fetch({ ...x, id: B, during: signal });
        follow('ready', B);
        expect(await source.fetch({ ...x, id: A, during: signal })).not.to.equal(a);
        expect(await source.fetch({ ...x, id: B, during: signal })).to.equal(b);
        follow('revoked');
        expect(await source.fetch({ ...x, id: B, during: signal })).not.to.equal(b);
      });
    });

    it('does not open the stream of bundles', async () => {
      await source.fetch({ audience: 'x' });
      expect(server.openStreams).to.equal(0);
      expect(source.state).to.equal('pending');
    });
  });

  describe('when the identity goes', () => {
    for (const gone of ['revoked', 'failed'] as const) {
      it(`WLA-24: lets go of every token once it is ${gone}, those under way included`, async () => {
        follow('ready', A);
        const before = await source.fetch({ audience: 'x' });
        server.delay(100);
        const called = server.nextCall({ method: FETCH });
        const underWay = source.fetch({ audience: 'y' });
        await called;
        follow(gone);
        const error = await rejection('ERR_SPIFFE_SVID_REVOKED', underWay);
        expect(error.message).to.include('the identity of this process was withdrawn');
        server.heal();
        clock.advance(100);
        const after = await source.fetch({ audience: 'x' });
        expect(after).not.to.equal(before);
        // A later word of the same state is no withdrawal of what came since.
        follow(gone);
        expect(await source.fetch({ audience: 'x' })).to.equal(after);
      });
    }

    it('WLA-24: lets go of the tokens of that one alone', async () => {
      follow('ready', A, B);
      const a = await source.fetch({ audience: 'x' });
      await source.fetch({ audience: 'x', id: B });
      follow('ready', A);
      expect(await source.fetch({ audience: 'x' })).to.equal(a);
      expect(server.callCount(FETCH)).to.equal(2);
      await source.fetch({ audience: 'x', id: B });
      expect(server.callCount(FETCH)).to.equal(3);
    });

    it('A-18: keeps them over a loss of the transport', async () => {
      follow('ready', A);
      const svid = await source.fetch({ audience: 'x' });
      follow('stale', A);
      expect(await source.fetch({ audience: 'x' })).to.equal(svid);
    });

    it('keeps them when its certificate is renewed', async () => {
      follow('ready', A);
      const svid = await source.fetch({ audience: 'x' });
      follow('ready', A);
      expect(await source.fetch({ audience: 'x' })).to.equal(svid);
    });
  });

  describe('verify', () => {
    it('waits for the first bundles, which it calls for', async () => {
      const { token } = await issue(B);
      expect(source.state).to.equal('pending');
      const svid = await source.verify(token, { audience: 'reports' });
      expect(String(svid.id)).to.equal(B);
      expect(source.state).to.equal('ready');
      expect(server.callCount('FetchJWTBundles')).to.equal(1);
      // Offline: nobody is asked.
      await server.goOffline();
      await until(state('stale'));
      await source.verify(token, { audience: 'reports' });
    });

    it('WLA-47: verifies those of a federated trust domain by its own keys', async () => {
      const partner = server.caOf('partner.test');
      const { token } = await partner.issueJwt('spiffe://partner.test/x', { audience: 'reports' });
      expect(String((await source.verify(token, { audience: 'reports' })).id)).to.equal(
        'spiffe://partner.test/x',
      );
      const impostor = TestCa.create('partner.test', { now: () => new Date(clock.now()) });
      const forged = await impostor.issueJwt('spiffe://partner.test/x', { audience: 'reports' });
      await rejection(
        'ERR_SPIFFE_JWT_UNTRUSTED',
        source.verify(forged.token, { audience: 'reports' }),
      );
    });

    it('WLA-13 WLA-32: believes no token by a key of the X.509 authority, and no chain by a JWT key', async () => {
      const { header, claims } = goodParts(new Date(clock.now()));
      const [keyId = ''] = server.ca.jwtBundle.keyIds;
      const of = { header: { ...header, kid: keyId }, claims: { ...claims, sub: A } };
      const forged = craftToken(server.ca.authority.key, of);
      await rejection('ERR_SPIFFE_JWT_UNTRUSTED', source.verify(forged, { audience: 'reports' }));
      await source.verify((await issue(A)).token, { audience: 'reports' });
      const certificate = Buffer.from(server.ca.authority.certificate).toString('base64');
      const jwk = { ...publicJwk(server.ca.authority.key, keyId), x5c: [certificate] };
      server.corruptJwtBundles(() => ({
        bundles: new Map([
          [
            'spiffe://example.org',
            Buffer.from(JSON.stringify({ keys: [{ ...jwk, use: 'x509-svid' }] })),
          ],
        ]),
      }));
      server.resend();
      await until(keys(0));
      await rejection('ERR_SPIFFE_JWT_UNTRUSTED', source.verify(forged, { audience: 'reports' }));
    });

    it('goes by the clock of the source unless told', async () => {
      const { token, expiresAt } = await issue(A);
      const options = { audience: 'reports', leewayMs: 0 };
      await source.verify(token, options);
      clock.advance(expiresAt.getTime() - clock.now());
      await rejection('ERR_SPIFFE_JWT_EXPIRED', source.verify(token, options));
      await source.verify(token, { ...options, now: new Date(clock.now() - 1) });
      await source.verify(token, { ...options, leewayMs: 1000 });
    });

    it('looks up a token that it has verified, and judges its audience anew', async () => {
      const { token } = await issue(A, ['a', 'b']);
      const first = await source.verify(token, { audience: 'a' });
      expect(await source.verify(token, { audience: ['b'] })).to.equal(first);
      await rejection('ERR_SPIFFE_JWT_AUDIENCE', source.verify(token, { audience: 'c' }));
      await rejection('ERR_SPIFFE_OPTION_INVALID', source.verify(token, { audience: [] }));
      const none = undefined as unknown as { audience: string };
      await rejection('ERR_SPIFFE_OPTION_INVALID', source.verify(token, none));
      await rejection('ERR_SPIFFE_OPTION_INVALID', source.validate(token, none));
    });

    it('BDL-03: believes no token any longer whose key has gone, though it was verified before', async () => {
      const { token } = await issue(A);
      const first = await source.verify(token, { audience: 'reports' });
      server.rotateJwtKey();
      const fresh = await issue(A);
      await until(keys(2));
      await source.verify(fresh.token, { audience: 'reports' });
      const second = await source.verify(token, { audience: 'reports' });
      expect(second).not.to.equal(first);
      server.rotateJwtKey({ keepOld: false });
      await until(keys(1));
      await rejection('ERR_SPIFFE_JWT_UNTRUSTED', source.verify(token, { audience: 'reports' }));
    });

    it('WLA-27: believes nothing once the bundles are withdrawn, and says so; again when they are back', async () => {
      const { token } = await issue(A);
      await source.verify(token, { audience: 'reports' });
      server.withdraw();
      await until(state('revoked'));
      const error = await rejection(
        'ERR_SPIFFE_SVID_REVOKED',
        source.verify(token, { audience: 'reports' }),
      );
      expect(error.message).to.include('the JWT bundles of this process were withdrawn');
      expect(source.bundles.get('example.org')).to.equal(undefined);
      server.restore();
      clock.advance(10_000);
      await until(state('ready'));
      await source.verify(token, { audience: 'reports' });
    });

    it('WLA-27: forgets a trust domain that is no longer federated', async () => {
      const partner = server.caOf('partner.test');
      const { token } = await partner.issueJwt('spiffe://partner.test/x', { audience: 'reports' });
      await source.verify(token, { audience: 'reports' });
      server.unfederate('partner.test');
      await until(() => source.bundles.get('partner.test') === undefined);
      await rejection('ERR_SPIFFE_BUNDLE_NOT_FOUND', source.verify(token, { audience: 'reports' }));
    });

    it('WLE-16: says that the endpoint offers no JWT bundles', async () => {
      server.failWith(UNIMPLEMENTED, 'no JWT here');
      const { token } = await issue(A);
      for (let time = 0; time < 2; time++) {
        const error = await rejection(
          'ERR_SPIFFE_SOURCE_FAILED',
          source.verify(token, { audience: 'reports' }),
        );
        expect(error.message).to.include('no JWT here');
      }
      expect(server.callCount('FetchJWTBundles')).to.equal(1);
    });

    it('waits no longer than 10 s for the first bundles, and says what is wrong', async () => {
      server.failWith(PERMISSION_DENIED, 'not yet');
      const { token } = await issue(A);
      const called = server.nextCall({ method: 'FetchJWTBundles' });
      const waiting = source.verify(token, { audience: 'reports' });
      await called;
      await until(() => logger.at('warn').length > 0);
      clock.advance(10_000);
      const error = await rejection('ERR_SPIFFE_SVID_NOT_READY', waiting);
      expect(error.message).to.match(/^no JWT bundle has come yet from unix:.*not yet/);
    });

    it('ends its wait by the signal', async () => {
      await server.goOffline();
      const { token } = await issue(A);
      const controller = new AbortController();
      const { signal } = controller;
      const waiting = source
        .verify(token, { audience: 'reports', signal })
        .catch((error: unknown) => error);
      const reason = new Error('enough');
      controller.abort(reason);
      expect(await waiting).to.equal(reason);
      const late = source.verify(token, { audience: 'reports', signal });
      expect(await late.catch((error: unknown) => error)).to.equal(reason);
    });
  });

  describe('validate', () => {
    it('WLA-36 WLA-37 WLA-38 WLA-39: gives the word of the Workload API, and the claims', async () => {
      const claims = { roles: ['a', { b: null }], n: 1.5 };
      const { token } = await server.ca.issueJwt(B, { audience: ['x', 'y'], claims });
      const validation = await source.validate(token, { audience: 'y' });
      expect(String(validation.id)).to.equal(B);
      expect(validation.claims).to.deep.include({ ...claims, sub: B, aud: ['x', 'y'] });
      const one = await issue(A, 'x');
      const alone = await source.validate(one.token, { audience: 'x' });
      expect(alone.claims).to.include({ aud: 'x' });
      expect(server.callCount('ValidateJWTSVID')).to.equal(2);
    });

    it('A-21: says that a token is not valid, and shows none of it', async () => {
      const { token } = await issue(A);
      const error = await rejection(
        'ERR_SPIFFE_JWT_UNTRUSTED',
        source.validate(token, { audience: 'other' }),
      );
      expect(error.grpcStatus).to.equal(INVALID_ARGUMENT);
      server.failWith(INVALID_ARGUMENT, `bad token ${token}`, { times: 1 });
      const telltale = await rejection(
        'ERR_SPIFFE_JWT_UNTRUSTED',
        source.validate(token, { audience: 'reports' }),
      );
      expect(telltale.message).to.include('bad token (the token)');
      for (const part of token.split('.')) expect(inspect(telltale)).not.to.include(part);
    });

    for (const [what, token, audience] of [
      ['no audience', 'a.b.c', ''],
      ['a list as audience', 'a.b.c', ['x'] as unknown as string],
      ['no token', '', 'x'],
      ['a token that is no text', 1 as unknown as string, 'x'],
    ] as const) {
      it(`WLA-36: calls nobody for ${what}`, async () => {
        await rejection('ERR_SPIFFE_OPTION_INVALID', source.validate(token, { audience }));
        expect(server.callCount()).to.equal(0);
      });
    }

    for (const [what, says, change] of [
      ['without ID', 'no spiffe_id', { spiffeId: '' }],
      ['whose ID is not that of its claims', 'is not the sub', { spiffeId: B }],
      ['without claims', 'is not the sub', { claims: new Map() }],
      ['without aud', 'the aud of its claims', { claims: new Map([['sub', A]]) }],
      [
        'whose aud is for others',
        'the aud of its claims',
        {
          claims: new Map<string, string | string[]>([
            ['sub', A],
            ['aud', ['other']],
          ]),
        },
      ],
      [
        'whose ID is none',
        'spiffe_id is none',
        {
          spiffeId: 'a',
          claims: new Map([
            ['sub', 'a'],
            ['aud', 'reports'],
          ]),
        },
      ],
    ] as const) {
      it(`WLA-37: refuses an answer ${what}`, async () => {
        server.corruptValidation((answer) => ({ ...answer, ...change }));
        const { token } = await issue(A);
        const error = await rejection(
          'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID',
          source.validate(token, { audience: 'reports' }),
        );
        expect(error.message).to.include(says);
        await source.validate(token, { audience: 'reports' });
      });
    }

    it('says when it is denied or away, and ends by its signal', async () => {
      const { token } = await issue(A);
      const options = { audience: 'reports' };
      server.withdraw();
      await rejection('ERR_SPIFFE_WORKLOAD_API_DENIED', source.validate(token, options));
      server.restore();
      server.delay(100);
      const controller = new AbortController();
      const called = server.nextCall();
      const waiting = source
        .validate(token, { ...options, signal: controller.signal })
        .catch((error: unknown) => error);
      await called;
      const reason = new Error('enough');
      controller.abort(reason);
      expect(await waiting).to.equal(reason);
      const late = source.validate(token, { ...options, signal: controller.signal });
      expect(await late.catch((error: unknown) => error)).to.equal(reason);
      clock.advance(100);
    });
  });

  describe('close', () => {
    it('tells whoever waits, gives nothing any more, and is safe to call twice', async () => {
      const { token } = await issue(A);
      await source.verify(token, { audience: 'reports' });
      const svid = await source.fetch({ audience: 'x' });
      server.delay(100);
      const called = server.nextCall({ method: FETCH });
      const underWay = source.fetch({ audience: 'y' });
      await called;
      source.close();
      source.close();
      await rejection('ERR_SPIFFE_SOURCE_CLOSED', underWay);
      await rejection('ERR_SPIFFE_SOURCE_CLOSED', source.fetch({ audience: 'x' }));
      await rejection('ERR_SPIFFE_SOURCE_CLOSED', source.verify(token, { audience: 'reports' }));
      await rejection('ERR_SPIFFE_SOURCE_CLOSED', source.validate(token, { audience: 'reports' }));
      expect(source.bundles.get('example.org')).to.equal(undefined);
      expect(source.state).to.equal('closed');
      expect(source.start().state).to.equal('closed');
      expect(String(svid.id)).to.equal(A);
      await server.idle();
      clock.advance(100);
    });

    it('ends the wait for the first bundles', async () => {
      await server.goOffline();
      const { token } = await issue(A);
      const waiting = source.verify(token, { audience: 'reports' });
      source.close();
      await rejection('ERR_SPIFFE_SOURCE_CLOSED', waiting);
    });
  });

  it('shows no token in what is printed, serialised or logged', async () => {
    const svid = await source.fetch({ audience: 'x' });
    await source.verify(svid.token, { audience: 'x' });
    clock.advance(180_000);
    server.failWith(UNAVAILABLE, 'busy', { times: 1 });
    await source.fetch({ audience: 'x' });
    await until(() => logger.at('warn').length > 0);
    const shown = [
      inspect(source, { depth: 20, showHidden: true, maxStringLength: null }),
      JSON.stringify(source),
      JSON.stringify(logger.lines),
    ].join('\n');
    for (const part of svid.token.split('.')) expect(shown).not.to.include(part);
    expect(JSON.parse(JSON.stringify(source))).to.deep.equal({
      state: 'ready',
      bundles: ['example.org', 'partner.test'],
    });
    expect(shown).to.include('cannot renew a JWT-SVID');
  });
});

describe('Workload.jwt', () => {
  it('fetches, verifies and validates; its stream is opened on first use and closed with the workload', async () => {
    await using server = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [A, { id: B, hint: 'b' }],
    });
    {
      await using me = await Workload.open({ address: server.address, pick: 'b' });
      expect(server.openStreams).to.equal(1);
      const svid = await me.jwt.fetch({ audience: 'reports' });
      expect(String(svid.id)).to.equal(B);
      expect(String((await me.jwt.verify(svid.token, { audience: 'reports' })).id)).to.equal(B);
      expect(String((await me.jwt.validate(svid.token, { audience: 'reports' })).id)).to.equal(B);
      expect(server.openStreams).to.equal(2);
      expect(me.jwt.bundles.get('example.org')?.equals(server.ca.jwtBundle)).to.equal(true);
      expect(JSON.stringify(me)).not.to.include(svid.token.split('.')[2]);
      // The identity goes, and its tokens with it.
      server.setIdentities([A]);
      for await (const { state } of me.updates()) if (state === 'revoked') break;
      await rejection(
        'ERR_SPIFFE_WORKLOAD_API_DENIED',
        me.jwt.fetch({ audience: 'reports', id: B }),
      );
    }
    await server.idle();
  });

  it('tells whoever waits for an answer when the workload closes', async () => {
    await using server = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [A],
    });
    const me = await Workload.open({ address: server.address });
    const { jwt } = me;
    const { token } = await jwt.fetch({ audience: 'x' });
    server.delay(60_000);
    const called = server.nextCall({ method: 'ValidateJWTSVID' });
    const waiting = [jwt.validate(token, { audience: 'x' }), jwt.fetch({ audience: 'y' })].map(
      (one) => rejection('ERR_SPIFFE_SOURCE_CLOSED', one),
    );
    await called;
    await me.close();
    await Promise.all(waiting);
    await server.idle();
  });
});
