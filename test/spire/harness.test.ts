import { existsSync, lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { down, up } from '../../spire-config/demo.mjs';
import { until } from '../../spire-config/processes.mjs';
import { describeSpire, TestSpire } from '../support/spire.js';

describeSpire('SPIRE as the tests run it', () => {
  let spire: TestSpire;
  before(async () => {
    spire = await TestSpire.start({ trustDomain: 'harness.test' });
  });
  after(() => spire.close());

  const servedIds = async (): Promise<string[]> =>
    (await spire.fetchX509()).svids.map((svid) => svid.spiffe_id);
  const isServed = async (): Promise<boolean> => (await servedIds()).length > 0;

  it('denies a workload that has no entry', async () => {
    expect(await servedIds()).to.deep.equal([]);
  });

  it('serves an entry with its hint, also after the agent and the server came back', async () => {
    const id = await spire.createEntry({
      spiffeId: 'spiffe://harness.test/agents/a',
      hint: 'a',
      x509TtlSeconds: 15,
    });
    await until(isServed, () => 'the entry is not served');
    const { svids } = await spire.fetchX509();
    expect(svids[0]?.hint).to.equal('a');

    await spire.stopAgent({ signal: 'SIGKILL' });
    await spire.startAgent();
    await spire.stopServer();
    await spire.startServer();
    await until(isServed, () => 'the entry is not served any more');

    await spire.deleteEntry(id);
    await until(
      async () => !(await isServed()),
      () => 'the deleted entry is still served',
    );
  });

  it("serves another domain's bundle from its setting to its deletion", async () => {
    await spire.setBundle('other.test', await spire.bundle());
    const id = await spire.createEntry({
      spiffeId: 'spiffe://harness.test/agents/federated',
      federatesWith: ['other.test'],
    });
    const domains = async (): Promise<string> =>
      Object.keys((await spire.fetchX509()).federated_bundles).join();
    await until(
      async () => (await domains()) === 'spiffe://other.test',
      () => 'the federated bundle is not served',
    );
    await spire.deleteBundle('other.test');
    await until(
      async () => (await domains()) === '',
      () => 'the deleted bundle is still served',
    );
    await spire.deleteEntry(id);
  });
});

describeSpire('spire:up and spire:down', () => {
  let root: string;
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'demo-'));
  });
  after(async () => {
    await down(join(root, 'state'));
    rmSync(root, { recursive: true, force: true });
  });

  it('serve the identities of the demo once, and leave nothing behind', async () => {
    const state = join(root, 'state');
    const first = await up({ state });
    expect(first.started).to.equal(true);
    const again = await up({ state });
    expect(again).to.deep.equal({ ...first, started: false });
    expect(await down(state)).to.equal(true);
    expect(existsSync(state)).to.equal(false);
    expect(await down(state)).to.equal(false);
  });

  it('find a short way around a path that is too long for a socket', async () => {
    const state = join(root, 'deep'.repeat(25), 'state');
    const { address } = await up({ state });
    expect(lstatSync(state).isSymbolicLink()).to.equal(true);
    const socket = fileURLToPath(address.replace('unix:', 'file:'));
    expect(existsSync(socket)).to.equal(true);
    await down(state);
    expect(existsSync(socket)).to.equal(false);
    expect(existsSync(state)).to.equal(false);
  });
});
