import { verifyX509Svid, Workload, type X509Snapshot } from 'agent-spiffe';
import { expect } from 'chai';
import { until } from '../../spire-config/processes.mjs';
import { describeSpire, TestSpire } from '../support/spire.js';
import { nextState } from '../support/states.js';

const ID = 'spiffe://example.org/agents/researcher';

/** Notes every state that `me` goes through until it is closed. */
function watch(me: Workload): X509Snapshot['state'][] {
  const states: X509Snapshot['state'][] = [];
  void (async () => {
    for await (const { state } of me.updates()) if (states.at(-1) !== state) states.push(state);
  })();
  return states;
}

function authoritiesOf({ bundles }: X509Snapshot): readonly Uint8Array[] {
  return bundles.get('example.org')?.authorities ?? [];
}

function hex(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('hex');
}

/** The code of the error that is thrown; `undefined` when none is. */
function codeOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return (error as { readonly code?: unknown }).code;
  }
  return undefined;
}

describeSpire('real SPIRE: rotation', () => {
  let spire: TestSpire;
  let me: Workload;
  before(async () => {
    spire = await TestSpire.start();
    // SPIRE renews SVIDs that live 10 s at every sync, twice a second here.
    await spire.createEntry({ spiffeId: ID, x509TtlSeconds: 10 });
  });
  beforeEach(async () => {
    me = await Workload.open({ address: spire.address });
  });
  afterEach(() => me.close());
  after(() => spire.close());

  it('takes over each new SVID, which is the same identity with another key and serial number', async () => {
    const states = watch(me);
    const serials = new Set<string>();
    const keys = new Set<string>();
    await nextState(me, ({ svid, bundles }) => {
      if (svid === undefined) throw new Error('an update without an SVID');
      expect(String(svid.id)).to.equal(ID);
      expect(String(verifyX509Svid(svid.certificates, bundles).id)).to.equal(ID);
      serials.add(svid.serialNumber);
      keys.add(svid.privateKey.export({ type: 'pkcs8', format: 'der' }).toString('hex'));
      return serials.size === 4;
    });
    expect(keys.size).to.equal(4);
    expect(states).to.deep.equal(['ready']);
  });

  it("follows the authority's own rotation: both in the bundle, then the new one alone", async () => {
    const [old] = authoritiesOf(await nextState(me, () => true));
    const { revokeOld } = await spire.rotateAuthority();
    const between = await nextState(me, (at) => {
      const chain = at.svid && verifyX509Svid(at.svid.certificates, at.bundles).chain;
      return authoritiesOf(at).length === 2 && hex(chain?.at(-1)) !== hex(old);
    });
    expect(between.state).to.equal('ready');
    await revokeOld();
    const last = await nextState(me, (at) => authoritiesOf(at).length === 1);
    expect(hex(authoritiesOf(last)[0])).to.not.equal(hex(old));
    expect(String(verifyX509Svid(me.x509.svid().certificates, me.x509.bundles).id)).to.equal(ID);
  });
});

describeSpire('real SPIRE: restarts', () => {
  let spire: TestSpire;
  let me: Workload;
  before(async () => {
    spire = await TestSpire.start();
    await spire.createEntry({ spiffeId: ID, x509TtlSeconds: 15 });
  });
  beforeEach(async () => {
    me = await Workload.open({ address: spire.address });
  });
  afterEach(() => me.close());
  after(() => spire.close());

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    it(`serves the last SVID while the agent is away (${signal}), and is live within 2 s of its return`, async () => {
      const states = watch(me);
      await spire.stopAgent({ signal });
      await nextState(me, ({ state }) => state === 'stale');
      expect(String(me.x509.svid().id)).to.equal(ID);
      await spire.startAgent();
      const returned = performance.now();
      const { svid } = await nextState(me, ({ state }) => state === 'ready');
      expect(performance.now() - returned).to.be.lessThan(2000);
      expect(String(svid?.id)).to.equal(ID);
      expect(states).to.deep.equal(['ready', 'stale', 'ready']);
    });
  }

  it('serves it no longer than it lives, and is live within 2 s of the return even after a long absence', async () => {
    const entry = await spire.createEntry({
      spiffeId: `${ID}/short`,
      hint: 'short',
      x509TtlSeconds: 4,
    });
    await using short = await Workload.open({ address: spire.address, pick: 'short' });
    await spire.stopAgent();
    await until(
      () => codeOf(() => short.x509.svid()) === 'ERR_SPIFFE_SVID_EXPIRED',
      () => 'the SVID does not expire',
    );
    expect(short.state).to.equal('stale');
    await spire.startAgent();
    const returned = performance.now();
    await nextState(short, ({ state }) => state === 'ready');
    expect(performance.now() - returned).to.be.lessThan(2000);
    expect(String(short.id)).to.equal(`${ID}/short`);
    await spire.deleteEntry(entry);
  });

  it('stays ready while the server is away, and rotates again after its return', async () => {
    const states = watch(me);
    await spire.stopServer();
    const before = me.x509.svid().serialNumber;
    await spire.startServer();
    await nextState(me, ({ svid }) => svid !== undefined && svid.serialNumber !== before);
    expect(states).to.deep.equal(['ready']);
  });
});

describeSpire('real SPIRE: withdrawal', () => {
  let spire: TestSpire;
  let other: TestSpire;
  before(async () => {
    [spire, other] = await Promise.all([
      TestSpire.start(),
      TestSpire.start({ trustDomain: 'other.test' }),
    ]);
  });
  after(() => Promise.all([spire.close(), other.close()]));

  it('takes an identity away with its entry, and gives it back with a new one', async () => {
    const entry = await spire.createEntry({ spiffeId: ID });
    await using me = await Workload.open({ address: spire.address });
    await spire.deleteEntry(entry);
    const gone = await nextState(me, ({ state }) => state === 'revoked');
    expect(gone.svids).to.deep.equal([]);
    expect(() => me.x509.svid())
      .to.throw()
      .with.property('code', 'ERR_SPIFFE_SVID_REVOKED');
    expect(me.x509.bundles.get('example.org')).to.equal(undefined);

    const again = await spire.createEntry({ spiffeId: ID });
    const back = await nextState(me, ({ state }) => state === 'ready');
    expect(String(back.svid?.id)).to.equal(ID);
    await spire.deleteEntry(again);
  });

  it("trusts a federated domain's SVIDs from the bundle's coming to its going", async () => {
    await other.createEntry({ spiffeId: 'spiffe://other.test/tools/search' });
    await using them = await Workload.open({ address: other.address });
    const entry = await spire.createEntry({ spiffeId: ID });
    await using me = await Workload.open({ address: spire.address });
    const theirs = them.x509.svid().certificates;
    const verify = (): string => String(verifyX509Svid(theirs, me.x509.bundles).id);
    expect(verify).to.throw().with.property('code', 'ERR_SPIFFE_BUNDLE_NOT_FOUND');

    await spire.setBundle('other.test', await other.bundle());
    await spire.createEntry({ spiffeId: `${ID}/federated`, federatesWith: ['other.test'] });
    await nextState(me, ({ bundles }) => bundles.get('other.test') !== undefined);
    expect(verify()).to.equal('spiffe://other.test/tools/search');

    await spire.deleteBundle('other.test');
    await nextState(me, ({ bundles }) => bundles.get('other.test') === undefined);
    expect(verify).to.throw().with.property('code', 'ERR_SPIFFE_BUNDLE_NOT_FOUND');
    expect(me.state).to.equal('ready');
    await spire.deleteEntry(entry);
  });
});
