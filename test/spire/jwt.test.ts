import { BundleSource, type JwtSvid, verifyJwtSvid, verifyX509Svid, Workload } from 'agent-spiffe';
import { expect } from 'chai';
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { resolveWorkloadApiAddress } from '#lib/sources/workload-api/address.js';
import { WorkloadApiClient } from '#lib/sources/workload-api/client.js';
import { FETCH_JWT_BUNDLES } from '#lib/sources/workload-api/proto.js';
import { until } from '../../spire-config/processes.mjs';
import { rejection } from '../support/rejection.js';
import { describeSpire, TestSpire } from '../support/spire.js';
import { nextState } from '../support/states.js';

const AGENT = 'spiffe://example.org/agents/researcher';
const SEARCH = 'spiffe://example.org/tools/search';
const reports = { audience: 'reports' };

/** The key set of the trust domain, as SPIRE sends it. */
async function keySet(spire: TestSpire): Promise<JSONWebKeySet> {
  const address = resolveWorkloadApiAddress(spire.address);
  const client = new WorkloadApiClient({ address, messageBytes: 2 ** 20 });
  try {
    const bytes = await new Promise<Uint8Array>((resolve, reject) => {
      client.stream(FETCH_JWT_BUNDLES, {}, { message: resolve, end: reject });
    });
    const { bundles } = FETCH_JWT_BUNDLES.response.decode(bytes);
    const document = Buffer.from(bundles.get('spiffe://example.org') ?? []).toString();
    return JSON.parse(document) as JSONWebKeySet;
  } finally {
    client.close();
  }
}

const kidOf = ({ token }: JwtSvid): string | undefined => decodeProtectedHeader(token).kid;

describeSpire('real SPIRE: JWT-SVIDs', () => {
  let spire: TestSpire;
  let me: Workload;

  before(async () => {
    spire = await TestSpire.start({ agent: 'allow_unauthenticated_verifiers = true' });
  });
  after(() => spire.close());

  it('gives the bundles to a process without an entry, which verifies others by them', async () => {
    await using bundles = await BundleSource.open({ address: spire.address });
    expect(bundles.x509.get('example.org')?.authorities).to.have.length(1);
    expect(bundles.jwt.get('example.org')?.keyIds).to.have.length(1);
    const entry = await spire.createEntry({ spiffeId: AGENT });
    await using other = await Workload.open({ address: spire.address });
    const { certificates } = other.x509.svid();
    expect(String(verifyX509Svid(certificates, bundles.x509).id)).to.equal(AGENT);
    const { token } = await other.jwt.fetch(reports);
    expect(String((await verifyJwtSvid(token, bundles.jwt, reports)).id)).to.equal(AGENT);
    await spire.deleteEntry(entry);
  });

  describe('with two entries for one workload', () => {
    before(async () => {
      await spire.createEntry({ spiffeId: AGENT, hint: 'researcher' });
      await spire.createEntry({ spiffeId: SEARCH, hint: 'search' });
    });
    beforeEach(async () => {
      me = await Workload.open({ address: spire.address, pick: 'search' });
      await nextState(me, ({ svids }) => svids.length === 2);
    });
    afterEach(() => me.close());

    it('fetches a token that it, SPIRE and jose hold to be valid', async () => {
      const svid = await me.jwt.fetch({ audience: ['reports', 'mail'] });
      expect(String(svid.id)).to.equal(SEARCH);
      expect(svid.hint).to.equal('search');
      expect([...svid.audience].toSorted()).to.deep.equal(['mail', 'reports']);

      const offline = await me.jwt.verify(svid.token, reports);
      expect(String(offline.id)).to.equal(SEARCH);
      const asked = await me.jwt.validate(svid.token, { audience: 'mail' });
      expect(String(asked.id)).to.equal(SEARCH);
      expect(asked.claims).to.deep.equal(svid.claims);
      const keys = createLocalJWKSet(await keySet(spire));
      const { payload } = await jwtVerify(svid.token, keys, { audience: 'mail', subject: SEARCH });
      expect(payload).to.deep.equal(svid.claims);
    });

    it('fetches that of each identity, and the picked one by default', async () => {
      expect(String((await me.jwt.fetch({ ...reports, id: AGENT })).id)).to.equal(AGENT);
      expect(String((await me.jwt.fetch({ ...reports, id: SEARCH })).id)).to.equal(SEARCH);
      expect(String((await me.jwt.fetch(reports)).id)).to.equal(SEARCH);
      const id = 'spiffe://example.org/other';
      const error = await rejection(
        'ERR_SPIFFE_WORKLOAD_API_DENIED',
        me.jwt.fetch({ ...reports, id }),
      );
      expect(error.grpcStatus).to.equal(7);
    });

    it('refuses, as SPIRE does, a token for others and one that was touched', async () => {
      const { token } = await me.jwt.fetch(reports);
      const mail = { audience: 'mail' };
      await rejection('ERR_SPIFFE_JWT_AUDIENCE', me.jwt.verify(token, mail));
      await rejection('ERR_SPIFFE_JWT_UNTRUSTED', me.jwt.validate(token, mail));
      const [head, body, signature = ''] = token.split('.');
      const touched = `${head}.${body}.${signature.replace(/^./, (a) => (a === 'A' ? 'B' : 'A'))}`;
      await rejection('ERR_SPIFFE_JWT_UNTRUSTED', me.jwt.verify(touched, reports));
      const error = await rejection('ERR_SPIFFE_JWT_UNTRUSTED', me.jwt.validate(touched, reports));
      expect(error.grpcStatus).to.equal(3);
      for (const part of touched.split('.')) expect(error.message).not.to.include(part);
    });

    it('serves and verifies tokens while the agent is away, and fetches again after its return', async () => {
      const svid = await me.jwt.fetch(reports);
      await me.jwt.verify(svid.token, reports);
      await spire.stopAgent({ signal: 'SIGKILL' });
      await nextState(me, ({ state }) => state === 'stale');
      expect(await me.jwt.fetch(reports)).to.equal(svid);
      await me.jwt.verify(svid.token, reports);
      const away = me.jwt.fetch({ audience: 'new' });
      await rejection('ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE', away);
      await spire.startAgent();
      await nextState(me, ({ state }) => state === 'ready');
      const fresh = await me.jwt.fetch({ audience: 'new' });
      expect(String((await me.jwt.verify(fresh.token, { audience: 'new' })).id)).to.equal(SEARCH);
    });

    it('follows the rotation of the key: both verify, then the new one alone', async () => {
      const old = await me.jwt.fetch({ audience: 'rotation' });
      await me.jwt.verify(old.token, { audience: 'rotation' });
      const { revokeOld } = await spire.rotateAuthority('jwt');
      await using later = await Workload.open({ address: spire.address, pick: 'search' });
      // The agent keeps its tokens; one for an audience that is new comes from the new key.
      let fresh = old;
      for (let n = 0; kidOf(fresh) === kidOf(old); n++)
        fresh = await later.jwt.fetch({ audience: `new-${n}` });
      const audience = [...fresh.audience];
      await until(
        () => me.jwt.bundles.get('example.org')?.keyIds.includes(kidOf(fresh) ?? '') === true,
        () => 'the new key does not come',
      );
      expect(String((await me.jwt.verify(fresh.token, { audience })).id)).to.equal(SEARCH);
      await me.jwt.verify(old.token, { audience: 'rotation' });
      await revokeOld();
      await until(
        () => me.jwt.bundles.get('example.org')?.keyIds.includes(kidOf(old) ?? '') === false,
        () => 'the old key does not go',
      );
      const refused = me.jwt.verify(old.token, { audience: 'rotation' });
      await rejection('ERR_SPIFFE_JWT_UNTRUSTED', refused);
      await me.jwt.verify(fresh.token, { audience });
    });
  });

  it('renews short tokens in time: none is ever handed out that has ended', async () => {
    const id = `${AGENT}/short`;
    const entry = await spire.createEntry({ spiffeId: id, hint: 'short', jwtTtlSeconds: 4 });
    await using short = await Workload.open({ address: spire.address, pick: 'short' });
    const seen = new Set<JwtSvid>();
    await until(
      async () => {
        const svid = await short.jwt.fetch(reports);
        expect(svid.expiresAt.getTime()).to.be.above(Date.now());
        seen.add(svid);
        return seen.size === 4;
      },
      () => `only ${seen.size} tokens came`,
    );
    await spire.deleteEntry(entry);
  });

  it('lets go of the tokens of an entry that is deleted', async () => {
    const id = `${AGENT}/gone`;
    const entry = await spire.createEntry({ spiffeId: id, hint: 'gone' });
    await using gone = await Workload.open({ address: spire.address, pick: 'gone' });
    await gone.jwt.fetch(reports);
    await spire.deleteEntry(entry);
    await nextState(gone, ({ state }) => state === 'revoked');
    await rejection('ERR_SPIFFE_WORKLOAD_API_DENIED', gone.jwt.fetch({ ...reports, id }));
  });
});
