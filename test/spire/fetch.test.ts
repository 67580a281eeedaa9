import { EventEmitter, once } from 'node:events';
import { SpiffeError, verifyX509Svid, Workload } from 'agent-spiffe';
import { expect } from 'chai';
import { openssl, readCertificate, verifyChain } from '../support/openssl-verdicts.js';
import { describeSpire, TestSpire } from '../support/spire.js';
import { nextState } from '../support/states.js';

const AGENT = 'spiffe://example.org/agents/researcher';
const SEARCH = 'spiffe://example.org/tools/search';

describeSpire('real SPIRE: what it serves', () => {
  let spire: TestSpire;
  before(async () => {
    spire = await TestSpire.start();
  });
  after(() => spire.close());

  it('makes open() wait, and say why, while there is no entry', async () => {
    const error: unknown = await Workload.open({ address: spire.address, timeoutMs: 500 }).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(SpiffeError);
    expect(error).to.include({ code: 'ERR_SPIFFE_OPEN_TIMEOUT', grpcStatus: 7 });
  });

  it('is waited for by an open() that asks before the entry exists', async () => {
    // The first refusal is known by the warning about it: the entry is made only then.
    const heard = new EventEmitter();
    const refused = once(heard, 'refused');
    const say = (): unknown => heard.emit('refused');
    const opening = Workload.open({
      address: spire.address,
      logger: { debug: say, info: say, warn: say, error: say },
    });
    await refused;
    await spire.createEntry({ spiffeId: AGENT, hint: 'researcher' });
    await using me = await opening;
    expect(String(me.id)).to.equal(AGENT);
    expect(me.state).to.equal('ready');
  });

  describe('with two entries for one workload', () => {
    before(async () => {
      await spire.createEntry({ spiffeId: SEARCH, hint: 'search' });
      await using me = await Workload.open({ address: spire.address });
      await nextState(me, ({ svids }) => svids.length === 2);
    });

    it('gives both, and each by its hint or by a function', async () => {
      for (const [hint, id] of Object.entries({ researcher: AGENT, search: SEARCH })) {
        await using byHint = await Workload.open({ address: spire.address, pick: hint });
        expect(String(byHint.id)).to.equal(id);
        expect(byHint.x509.svid().hint).to.equal(hint);
        await using byFunction = await Workload.open({
          address: spire.address,
          pick: (svids) => svids.find((svid) => String(svid.id) === id),
        });
        expect(String(byFunction.id)).to.equal(id);
        expect(byFunction.x509.svids()).to.have.length(2);
      }
    });

    it('gives SVIDs that OpenSSL and verifyX509Svid accept alike', async () => {
      await using me = await Workload.open({ address: spire.address, pick: 'search' });
      const svid = me.x509.svid();
      const bundle = me.x509.bundles.get('example.org');
      if (bundle === undefined) throw new Error('no bundle of its own trust domain');

      const { id, chain } = verifyX509Svid(svid.certificates, me.x509.bundles);
      expect(String(id)).to.equal(SEARCH);
      expect(chain.at(-1)).to.deep.equal(bundle.authorities[0]);

      const [leaf = new Uint8Array(), ...intermediates] = svid.certificates;
      const verdict = verifyChain(leaf, bundle.authorities, intermediates);
      expect(verdict.ok, verdict.text).to.equal(true);
      expect(readCertificate(leaf)).to.include(`URI:${SEARCH}`).and.to.include('CA:FALSE');
      const x509 = ['x509', '-inform', 'DER', '-noout'];
      const serial = openssl([...x509, '-serial'], leaf)
        .text.trim()
        .toLowerCase();
      expect(serial).to.equal(`serial=${svid.serialNumber}`);
      const key = svid.privateKey.export({ type: 'pkcs8', format: 'der' });
      const ofKey = openssl(['pkey', '-inform', 'DER', '-pubout'], key);
      expect(ofKey).to.deep.equal(openssl([...x509, '-pubkey'], leaf));
    });
  });
});
