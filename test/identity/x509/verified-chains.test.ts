import { X509Bundle, type X509BundleSet, X509Bundles } from 'agent-spiffe';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { VerifiedChains } from '#lib/identity/x509/verified-chains.js';
import { refusal } from '../../support/refusal.js';

const ID = 'spiffe://example.org/peer';
const NOW = new Date('2030-01-01T00:00:00Z');
const HOUR_MS = 3600_000;
const ca = TestCa.create('example.org', { now: () => NOW, intermediate: true });
const chain = ca.issue(ID).certificates;
const bundles = X509Bundles.of(ca.bundle);
const after = (ms: number): { now: Date } => ({ now: new Date(NOW.getTime() + ms) });

describe('peers verified before', () => {
  it('give the same object', () => {
    const known = new VerifiedChains();
    const first = known.verify(chain, bundles, after(0));
    expect(String(first.id)).to.equal(ID);
    expect(first.chain).to.have.length(3);
    const copy = chain.map((der) => Uint8Array.from(der));
    expect(known.verify(copy, bundles, after(0))).to.equal(first);
    expect(known.size).to.equal(1);
  });

  it('are judged by the clock each time: the whole path must be valid', () => {
    const known = new VerifiedChains();
    const first = known.verify(chain, bundles, after(0));
    expect(known.verify(chain, bundles, after(HOUR_MS))).to.equal(first);
    expect(known.verify(chain, bundles, after(-10_000))).to.equal(first);
    for (const ms of [HOUR_MS + 1000, -11_000]) {
      known.verify(chain, bundles, after(0));
      refusal('ERR_SPIFFE_X509_EXPIRED', '', () => known.verify(chain, bundles, after(ms)));
      expect(known.size).to.equal(0);
    }
    refusal('ERR_SPIFFE_OPTION_INVALID', 'invalid Date', () =>
      known.verify(chain, bundles, { now: new Date(Number.NaN) }),
    );
  });

  it('are judged by the wall clock unless told', () => {
    const present = TestCa.create('example.org');
    const known = new VerifiedChains();
    const { certificates } = present.issue(ID);
    const own = X509Bundles.of(present.bundle);
    expect(known.verify(certificates, own)).to.equal(known.verify(certificates, own));
    refusal('ERR_SPIFFE_X509_EXPIRED', '', () => known.verify(certificates, own, after(0)));
  });

  it('leave with the bundle that they rested on, and those of other trust domains stay', () => {
    const other = TestCa.create('other.org', { now: () => NOW });
    const known = new VerifiedChains();
    const both = (): X509Bundles => X509Bundles.of(ca.bundle, otherBundle);
    const otherBundle = other.bundle;
    const before = both();
    for (const peer of [chain, ca.issue(ID).certificates]) known.verify(peer, before, after(0));
    known.verify(other.issue('spiffe://other.org/peer').certificates, before, after(0));
    expect(known.size).to.equal(3);
    known.verify(ca.issue(ID).certificates, both(), after(0));
    expect(known.size).to.equal(2);
  });

  it('are judged anew by a bundle that is another object', () => {
    const known = new VerifiedChains();
    const first = known.verify(chain, bundles, after(0));
    const again = known.verify(chain, X509Bundles.of(ca.bundle), after(0));
    expect(again).not.to.equal(first);
    expect(again.id.equals(first.id)).to.equal(true);
    refusal('ERR_SPIFFE_X509_UNTRUSTED', '', () =>
      known.verify(chain, X509Bundles.of(TestCa.create('example.org').bundle), after(0)),
    );
    refusal('ERR_SPIFFE_BUNDLE_NOT_FOUND', '', () =>
      known.verify(chain, X509Bundles.of(), after(0)),
    );
    expect(known.size).to.equal(0);
  });

  it('lose their trust with a set that changes under them', () => {
    let now: X509Bundle | undefined = ca.bundle;
    const view: X509BundleSet = { get: () => now };
    const known = new VerifiedChains();
    known.verify(chain, view, after(0));
    now = X509Bundle.fromDer('example.org', new Uint8Array());
    refusal('ERR_SPIFFE_X509_UNTRUSTED', '', () => known.verify(chain, view, after(0)));
    now = undefined;
    refusal('ERR_SPIFFE_BUNDLE_NOT_FOUND', '', () => known.verify(chain, view, after(0)));
  });

  it('are others where a certificate behind the leaf differs, or there are fewer or more', () => {
    const known = new VerifiedChains();
    const first = known.verify(chain, bundles, after(0));
    const [leaf = new Uint8Array(), middle = new Uint8Array()] = chain;
    const cut = middle.slice(0, -1);
    refusal('ERR_SPIFFE_X509_UNTRUSTED', '', () => known.verify([leaf], bundles, after(0)));
    known.verify(chain, bundles, after(0));
    refusal('ERR_SPIFFE_X509_SVID_INVALID', '', () => known.verify([leaf, cut], bundles, after(0)));
    known.verify(chain, bundles, after(0));
    const longer = known.verify([leaf, middle, middle], bundles, after(0));
    expect(longer).not.to.equal(first);
  });

  it('are kept as they were presented, whatever becomes of those bytes', () => {
    const known = new VerifiedChains();
    const presented = chain.map((der) => Uint8Array.from(der));
    const first = known.verify(presented, bundles, after(0));
    for (const der of presented) der.fill(0);
    expect(known.verify(chain, bundles, after(0))).to.equal(first);
    expect(Buffer.from(first.chain[0] ?? [])).to.deep.equal(Buffer.from(chain[0] ?? []));
    refusal('ERR_SPIFFE_X509_SVID_INVALID', '', () => known.verify(presented, bundles, after(0)));
  });

  it('are no more than told; the one that was not asked for the longest goes', () => {
    const known = new VerifiedChains(2);
    const [a, b, c] = ['a', 'b', 'c'].map(
      (name) => ca.issue(`spiffe://example.org/${name}`).certificates,
    ) as [readonly Uint8Array[], readonly Uint8Array[], readonly Uint8Array[]];
    const first = known.verify(a, bundles, after(0));
    const second = known.verify(b, bundles, after(0));
    expect(known.verify(a, bundles, after(0))).to.equal(first);
    known.verify(c, bundles, after(0));
    expect(known.size).to.equal(2);
    expect(known.verify(a, bundles, after(0))).to.equal(first);
    expect(known.verify(b, bundles, after(0))).not.to.equal(second);
  });

  it('remember no chain that is empty or refused', () => {
    const known = new VerifiedChains();
    refusal('ERR_SPIFFE_X509_SVID_INVALID', 'empty', () => known.verify([], bundles));
    expect(known.size).to.equal(0);
  });
});
