import { FakeClock, WorkloadApiServer, type WorkloadApiServerOptions } from 'agent-spiffe/testing';
import { expect } from 'chai';
import {
  createLocalJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  exportJWK,
  generateKeyPair,
  type JSONWebKeySet,
  jwtVerify,
  SignJWT,
} from 'jose';
import {
  type Ended,
  RawClient,
  type RawJwt,
  type RawValidation,
} from '../support/workload-api-client.js';

const RESEARCHER = 'spiffe://example.org/agents/researcher';
const SEARCH = 'spiffe://example.org/tools/search';
const OPTIONS: WorkloadApiServerOptions = {
  trustDomain: 'example.org',
  identities: [
    { id: RESEARCHER, hint: 'researcher' },
    { id: SEARCH, hint: 'search' },
  ],
};

const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const UNAVAILABLE = 14;

let server: WorkloadApiServer;
let client: RawClient;

async function open(options: Partial<WorkloadApiServerOptions> = {}): Promise<void> {
  server = await WorkloadApiServer.open({ ...OPTIONS, ...options });
  client = new RawClient(server.address);
}

async function fetchAll(audience: readonly string[], id = ''): Promise<readonly RawJwt[]> {
  const answer = await client.jwtSvids({ audience, spiffe_id: id });
  if ('code' in answer) throw new Error(`status ${answer.code}: ${answer.details}`);
  return answer;
}

async function fetchOne(audience: readonly string[], id = ''): Promise<string> {
  const [first] = await fetchAll(audience, id);
  if (first === undefined) throw new Error('no token');
  return first.svid;
}

async function keysOf(domain = 'example.org'): Promise<JSONWebKeySet> {
  const stream = client.jwtBundles();
  const bundles = await stream.next();
  stream.cancel();
  return bundles[`spiffe://${domain}`] as JSONWebKeySet;
}

async function validate(svid: string, audience: string): Promise<RawValidation> {
  const answer = await client.validate({ audience, svid });
  if ('code' in answer) throw new Error(`status ${answer.code}: ${answer.details}`);
  return answer;
}

function statusOf(answer: object): number | string {
  return 'code' in answer ? (answer as Ended).code : 'an answer';
}

function keyIds(bundles: Readonly<Record<string, unknown>>): readonly unknown[] {
  return (bundles['spiffe://example.org'] as JSONWebKeySet).keys.map(({ kid }) => kid);
}

describe('the development Workload API: JWT', () => {
  afterEach(async () => {
    client?.close();
    await server?.close();
  });

  describe('FetchJWTSVID', () => {
    it('WLA-01 WLA-28 WLA-30: gives a token for exactly the audience asked for, with ID and hint', async () => {
      await open();
      const asked = ['spiffe://example.org/b', 'a', 'b'];
      const svids = await fetchAll(asked);
      expect(svids.map(({ spiffe_id, hint }) => [spiffe_id, hint])).to.deep.equal([
        [RESEARCHER, 'researcher'],
        [SEARCH, 'search'],
      ]);
      for (const { svid } of svids) expect(decodeJwt(svid).aud).to.deep.equal(asked);
    });

    it('WLA-29: without an ID asked for gives one for each identity, with it that one alone', async () => {
      await open();
      expect((await fetchAll(['a'])).map(({ svid }) => decodeJwt(svid).sub)).to.deep.equal([
        RESEARCHER,
        SEARCH,
      ]);
      const svids = await fetchAll(['a'], SEARCH);
      expect(svids.map(({ spiffe_id }) => spiffe_id)).to.deep.equal([SEARCH]);
      expect(svids.map(({ svid }) => decodeJwt(svid).sub)).to.deep.equal([SEARCH]);
    });

    for (const id of ['spiffe://example.org/other', 'spiffe://other.test/agents/researcher']) {
      it(`WLA-31: answers PermissionDenied for ${id}, to which the caller is not entitled`, async () => {
        await open();
        expect(statusOf(await client.jwtSvids({ audience: ['a'], spiffe_id: id }))).to.equal(
          PERMISSION_DENIED,
        );
      });
    }

    it('WLA-31: answers PermissionDenied to a caller without identity, and again a token later', async () => {
      await open({ identities: [] });
      expect(statusOf(await client.jwtSvids({ audience: ['a'] }))).to.equal(PERMISSION_DENIED);
      server.setIdentities([RESEARCHER]);
      expect(await fetchAll(['a'])).to.have.length(1);
      server.withdraw();
      expect(statusOf(await client.jwtSvids({ audience: ['a'] }))).to.equal(PERMISSION_DENIED);
      server.restore();
      expect(await fetchAll(['a'])).to.have.length(1);
    });

    for (const [what, request] of [
      ['no audience', { audience: [] }],
      ['an empty audience among others', { audience: ['a', ''] }],
      ['an ID that is none', { audience: ['a'], spiffe_id: 'example.org/a' }],
    ] as const) {
      it(`WLA-10 WLA-28: answers InvalidArgument to ${what}`, async () => {
        await open();
        expect(statusOf(await client.jwtSvids(request))).to.equal(INVALID_ARGUMENT);
      });
    }

    it('JWT-01 JWT-02 JWT-06 JWT-08: the header holds alg, kid and typ, and nothing else', async () => {
      await open();
      const token = await fetchOne(['a']);
      expect(token.split('.')).to.have.length(3);
      const { keys } = await keysOf();
      expect(decodeProtectedHeader(token)).to.deep.equal({
        alg: 'ES256',
        kid: keys[0]?.kid,
        typ: 'JWT',
      });
    });

    it('JWT-09 JWT-10 JWT-13 JWT-14 JWT-17: says who, to whom and until when, for a short time', async () => {
      const clock = new FakeClock(new Date('2030-01-01T00:00:00.700Z'));
      await open({ clock, ttlMs: 3600_000 });
      const now = Date.UTC(2030, 0, 1) / 1000;
      expect(decodeJwt(await fetchOne(['reports']))).to.deep.equal({
        sub: RESEARCHER,
        aud: 'reports',
        iat: now,
        exp: now + 300,
      });
    });

    it('lives as long as its identity where that is shorter, and never longer than told', async () => {
      const clock = new FakeClock(new Date('2030-01-01T00:00:00Z'));
      const identities = [
        { id: RESEARCHER, ttlMs: 10_000 },
        { id: SEARCH, ttlMs: 3600_000 },
      ];
      await open({ clock, identities, jwtTtlMs: 60_000 });
      const now = clock.now() / 1000;
      const ends = (await fetchAll(['a'])).map(({ svid }) => decodeJwt(svid).exp);
      expect(ends).to.deep.equal([now + 10, now + 60]);
    });

    for (const jwtAlgorithm of ['ES256', 'RS256'] as const) {
      it(`JWT-04 JWT-05: signs with ${jwtAlgorithm}, and jose verifies it by the bundle`, async () => {
        await open({ jwtAlgorithm });
        const token = await fetchOne(['a', 'b']);
        const { payload, protectedHeader } = await jwtVerify(
          token,
          createLocalJWKSet(await keysOf()),
          { audience: 'b', subject: RESEARCHER, algorithms: [jwtAlgorithm] },
        );
        expect(protectedHeader.alg).to.equal(jwtAlgorithm);
        expect(payload.aud).to.deep.equal(['a', 'b']);
      });
    }
  });

  describe('FetchJWTBundles', () => {
    it('WLA-33: gives its own trust domain and the federated ones, under their SPIFFE IDs', async () => {
      await open({ federated: ['partner.test', '__proto__'] });
      const stream = client.jwtBundles();
      const bundles = await stream.next();
      expect(Object.keys(bundles)).to.have.members([
        'spiffe://example.org',
        'spiffe://partner.test',
        'spiffe://__proto__',
      ]);
      const partner = await server.caOf('partner.test').issueJwt('spiffe://partner.test/x', {
        audience: 'a',
      });
      const keys = createLocalJWKSet(bundles['spiffe://partner.test'] as JSONWebKeySet);
      expect((await jwtVerify(partner.token, keys)).payload.sub).to.equal(
        'spiffe://partner.test/x',
      );
    });

    it('WLA-34: the sets hold public JWT keys with a kid, and nothing else', async () => {
      await open();
      server.rotateJwtKey();
      const { keys, ...others } = await keysOf();
      expect(others).to.deep.equal({});
      expect(keys).to.have.length(2);
      for (const key of keys) {
        expect(Object.keys(key)).to.have.members(['kty', 'crv', 'x', 'y', 'kid']);
        expect(key).to.include({ kty: 'EC', crv: 'P-256' });
      }
      expect(new Set(keys.map(({ kid }) => kid)).size).to.equal(2);
    });

    it('WLA-05 WLA-06: sends the first message at once, and the complete state when a key changes', async () => {
      await open({ federated: ['partner.test'] });
      const [stream, svids] = [client.jwtBundles(), client.svids()];
      const before = await stream.next();
      await svids.next();
      server.rotateJwtKey();
      const after = await stream.next();
      expect(Object.keys(after)).to.have.members(Object.keys(before));
      expect(keyIds(after)).to.have.length(2).and.to.include(keyIds(before)[0]);
      // What the change does not concern hears nothing of it.
      server.rotateSvids();
      expect((await svids.next()).svids).to.have.length(2);
      expect([stream.unread, svids.unread]).to.deep.equal([0, 0]);
    });

    it('JWT-20: a token of the old key verifies until that key goes, one of the new key from its message on', async () => {
      await open();
      const old = await fetchOne(['a']);
      server.rotateJwtKey();
      const both = createLocalJWKSet(await keysOf());
      const fresh = await fetchOne(['a']);
      for (const token of [old, fresh]) await jwtVerify(token, both);
      server.rotateJwtKey({ keepOld: false });
      expect((await keysOf()).keys).to.have.length(1);
      expect(statusOf(await client.validate({ audience: 'a', svid: old }))).to.equal(
        INVALID_ARGUMENT,
      );
    });

    it('rotates the key of a federated trust domain, and refuses one that is not federated', async () => {
      await open({ federated: ['partner.test'] });
      server.rotateJwtKey({ trustDomain: 'partner.test' });
      expect((await keysOf('partner.test')).keys).to.have.length(2);
      expect((await keysOf()).keys).to.have.length(1);
      expect(() => server.rotateJwtKey({ trustDomain: 'other.test' })).to.throw(
        '[ERR_SPIFFE_BUNDLE_NOT_FOUND]',
      );
    });

    it('WLA-26 WLA-27: withdrawal ends the stream with PermissionDenied, and refuses new ones', async () => {
      await open();
      const stream = client.jwtBundles();
      await stream.next();
      server.withdraw();
      expect((await stream.ended).code).to.equal(PERMISSION_DENIED);
      expect((await client.jwtBundles().ended).code).to.equal(PERMISSION_DENIED);
    });
  });

  describe('ValidateJWTSVID', () => {
    it('WLA-36 WLA-37: gives the ID and all claims of a token that is valid', async () => {
      await open();
      const claims = { roles: ['a', 1, null, { deep: true }], nothing: null, empty: {}, list: [] };
      const { token } = await server.ca.issueJwt(SEARCH, { audience: ['a', 'b'], claims });
      const validation = await validate(token, 'b');
      expect(validation.spiffe_id).to.equal(SEARCH);
      expect(validation.claims).to.deep.equal(decodeJwt(token));
    });

    it('WLA-36: believes a federated trust domain by its own keys, and no other', async () => {
      await open({ federated: ['partner.test'] });
      const partner = server.caOf('partner.test');
      const { token } = await partner.issueJwt('spiffe://partner.test/x', { audience: 'a' });
      expect((await validate(token, 'a')).spiffe_id).to.equal('spiffe://partner.test/x');
      server.unfederate('partner.test');
      expect(statusOf(await client.validate({ audience: 'a', svid: token }))).to.equal(
        INVALID_ARGUMENT,
      );
    });

    it('A-21 WLA-36: answers InvalidArgument to a token for others, expired, of a stranger, or none at all', async () => {
      const clock = new FakeClock();
      await open({ clock });
      const good = await fetchOne(['a']);
      const { privateKey, publicKey } = await generateKeyPair('ES256');
      const stranger = await new SignJWT({ sub: RESEARCHER, aud: 'a' })
        .setProtectedHeader({ alg: 'ES256', kid: (await keysOf()).keys[0]?.kid ?? '', typ: 'JWT' })
        .setExpirationTime(Math.floor(clock.now() / 1000) + 60)
        .sign(privateKey);
      await jwtVerify(stranger, await exportJWK(publicKey));
      expect((await validate(good, 'a')).spiffe_id).to.equal(RESEARCHER);
      for (const [audience, svid] of [
        ['b', good],
        ['a', stranger],
        ['a', good.slice(0, -4)],
        ['a', 'a.b.c'],
        ['a', ''],
        ['', good],
      ] as const) {
        const answer = await client.validate({ audience, svid });
        expect(statusOf(answer), `${audience} ${svid}`).to.equal(INVALID_ARGUMENT);
      }
      clock.advance(400_000);
      expect(statusOf(await client.validate({ audience: 'a', svid: good }))).to.equal(
        INVALID_ARGUMENT,
      );
    });

    it('answers PermissionDenied after withdrawal', async () => {
      await open();
      const token = await fetchOne(['a']);
      server.withdraw();
      expect(statusOf(await client.validate({ audience: 'a', svid: token }))).to.equal(
        PERMISSION_DENIED,
      );
    });
  });

  describe('its faults', () => {
    it('fails each JWT call with the status told, as often as told', async () => {
      await open();
      const token = await fetchOne(['a']);
      server.failWith(UNAVAILABLE, 'busy', { times: 3 });
      expect(statusOf(await client.jwtSvids({ audience: ['a'] }))).to.equal(UNAVAILABLE);
      expect(statusOf(await client.validate({ audience: 'a', svid: token }))).to.equal(UNAVAILABLE);
      expect((await client.jwtBundles().ended).code).to.equal(UNAVAILABLE);
      expect(await fetchAll(['a'])).to.have.length(2);
    });

    it('holds an answer back, and forgets it when the caller has gone', async () => {
      const clock = new FakeClock();
      await open({ clock, autoRotate: false });
      server.delay(500);
      const called = server.nextCall();
      const answer = client.jwtSvids({ audience: ['a'] });
      await called;
      expect(clock.pendingTimers).to.equal(1);
      server.setIdentities([SEARCH]);
      clock.advance(500);
      expect(((await answer) as readonly RawJwt[]).map(({ spiffe_id }) => spiffe_id)).to.deep.equal(
        [SEARCH],
      );
      const again = server.nextCall();
      const left = client.jwtSvids({ audience: ['a'] });
      await again;
      server.disconnect();
      expect(statusOf(await left)).to.equal(UNAVAILABLE);
      await server.idle();
    });

    it('sends one answer changed, and the next one right', async () => {
      await open();
      server.corruptJwtSvids(({ svids }) => ({ svids: svids.slice(1) }));
      expect(await fetchAll(['a'])).to.have.length(1);
      const [, { svid: token } = { svid: '' }] = await fetchAll(['a']);
      server.corruptValidation((answer) => ({ ...answer, spiffeId: RESEARCHER }));
      expect((await validate(token, 'a')).spiffe_id).to.equal(RESEARCHER);
      expect((await validate(token, 'a')).spiffe_id).to.equal(SEARCH);
      server.corruptJwtBundles(() => ({ bundles: new Map() }), { times: 2 });
      server.heal();
      expect(Object.keys(await client.jwtBundles().next())).to.deep.equal(['spiffe://example.org']);
    });

    it('counts calls and open streams of the JWT RPCs too', async () => {
      await open();
      const stream = client.jwtBundles();
      await stream.next();
      await fetchAll(['a']);
      expect(server.openStreams).to.equal(1);
      expect(server.callCount('FetchJWTSVID')).to.equal(1);
      server.endStreams();
      expect((await stream.ended).code).to.equal(0);
    });
  });
});
