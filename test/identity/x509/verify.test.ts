import { SpiffeError, TrustDomain, verifyX509Svid, X509Bundle, X509Bundles } from 'agent-spiffe';
import { expect } from 'chai';
import { subjectAltName } from '#lib/testing/extensions.js';
import { authority, DAY_MS, ID, leaf, NOW, put, ROOT, TD } from '../../support/chain.js';
import { line, lineOf } from '../../support/lineage.js';
import { refusal } from '../../support/refusal.js';

const other = TrustDomain.parse('other.org');
const otherRoot = authority({ domain: other });
const own = X509Bundle.fromDer(TD, ROOT.certificate);
const foreign = X509Bundle.fromDer(other, otherRoot.certificate);
const now = NOW;
const named = (uri: string, issuer = ROOT): Uint8Array =>
  leaf(issuer, put(subjectAltName({ uris: [uri] })));

describe('verifyX509Svid', () => {
  it('gives the ID and the path from the leaf to the authority', () => {
    const one = leaf();
    const { id, chain } = verifyX509Svid([one], X509Bundles.of(own), { now });
    expect(id.toString()).to.equal(ID);
    expect(chain).to.deep.equal([one, ROOT.certificate]);
  });

  it('trusts the bundle of the leaf’s own domain and nothing else (X509-30, ID-19, WLA-12)', () => {
    const bundles = X509Bundles.of(own, foreign);
    const verify = (one: Uint8Array) => verifyX509Svid([one], bundles, { now }).id.toString();
    expect(verify(named(ID))).to.equal(ID);
    expect(verify(named('spiffe://other.org/a', otherRoot))).to.equal('spiffe://other.org/a');
    // The right ID through the CA of a federated domain, in both directions.
    const noName = 'none of the 1 authorities in the bundle';
    refusal('ERR_SPIFFE_X509_UNTRUSTED', noName, () => verify(named(ID, otherRoot)));
    refusal('ERR_SPIFFE_X509_UNTRUSTED', noName, () => verify(named('spiffe://other.org/a')));
  });

  it('trusts no domain whose bundle it does not have (X509-30, WLA-12)', () => {
    const unknown = 'there is no bundle for the trust domain other.org';
    refusal('ERR_SPIFFE_BUNDLE_NOT_FOUND', unknown, () =>
      verifyX509Svid([named('spiffe://other.org/a')], X509Bundles.of(own), { now }),
    );
    for (const domain of [
      '__proto__',
      'constructor',
      'tostring',
      'example.org.',
      'sub.example.org',
    ]) {
      const one = named(`spiffe://${domain}/a`);
      refusal('ERR_SPIFFE_BUNDLE_NOT_FOUND', domain, () =>
        verifyX509Svid([one], X509Bundles.of(own), { now }),
      );
    }
  });

  it('trusts a domain of any legal name by its own bundle (X509-30, ID-07)', () => {
    for (const name of ['__proto__', 'constructor', '192.0.2.1', '_', 'a..b']) {
      const bundle = X509Bundle.fromDer(name, ROOT.certificate);
      const { id } = verifyX509Svid([named(`spiffe://${name}/a`)], X509Bundles.of(bundle), { now });
      expect(id.trustDomain.name).to.equal(name);
    }
  });

  it('does not take another domain’s bundle from a set that answers with it (X509-30)', () => {
    const careless = { get: () => own };
    expect(verifyX509Svid([named(ID)], careless, { now }).id.toString()).to.equal(ID);
    refusal('ERR_SPIFFE_BUNDLE_NOT_FOUND', 'other.org', () =>
      verifyX509Svid([named('spiffe://other.org/a')], careless, { now }),
    );
  });

  it('judges for the instant it is given, and for the present without one', () => {
    const bundles = X509Bundles.of(own);
    refusal('ERR_SPIFFE_X509_EXPIRED', 'expired at', () =>
      verifyX509Svid([leaf()], bundles, { now: new Date(NOW.getTime() + 2 * DAY_MS) }),
    );
    const present = authority({ now: new Date() });
    const today = new Date();
    const one = leaf(present, (fields) => ({
      ...fields,
      notBefore: new Date(today.getTime() - DAY_MS),
      notAfter: new Date(today.getTime() + DAY_MS),
    }));
    const presentBundles = X509Bundles.of(X509Bundle.fromDer(TD, present.certificate));
    expect(verifyX509Svid([one], presentBundles).id.toString()).to.equal(ID);
    refusal('ERR_SPIFFE_X509_EXPIRED', 'the leaf', () =>
      verifyX509Svid([one], presentBundles, { now: new Date(today.getTime() + 2 * DAY_MS) }),
    );
  });

  it('refuses an instant that is none: nothing is expired at it', () => {
    const long = [named(ID)];
    refusal('ERR_SPIFFE_OPTION_INVALID', 'an invalid Date', () =>
      verifyX509Svid(long, X509Bundles.of(own), { now: new Date('today') }),
    );
  });

  it('refuses an empty chain, and one of more than 16 certificates (X509-03)', () => {
    const bundles = X509Bundles.of(own);
    const code = 'ERR_SPIFFE_X509_SVID_INVALID';
    refusal(code, 'the chain is empty', () => verifyX509Svid([], bundles, { now }));
    const { chain } = lineOf(line(15));
    expect(chain).to.have.lengthOf(16);
    expect(verifyX509Svid(chain, bundles, { now }).chain).to.have.lengthOf(17);
    refusal(code, 'the chain holds 17 certificates', () =>
      verifyX509Svid([...chain, ROOT.certificate], bundles, { now }),
    );
    // Refused unread: there is nothing in them.
    const nothing = Array.from({ length: 17 }, () => new Uint8Array(0));
    refusal(code, 'more than 16', () => verifyX509Svid(nothing, bundles, { now }));
  });

  it('takes nothing but X.509 for an X.509-SVID (ID-24)', () => {
    for (const document of [
      'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy9hIn0.AAAA',
      '{"keys":[]}',
    ]) {
      refusal('ERR_SPIFFE_X509_SVID_INVALID', 'certificate 0 of the chain cannot be decoded', () =>
        verifyX509Svid([Buffer.from(document)], X509Bundles.of(own), { now }),
      );
    }
  });

  it('names a certificate that it cannot decode, also when it is no bytes at all', () => {
    const bundles = X509Bundles.of(own);
    for (const odd of [undefined, null, 5, 'text', {}]) {
      const error = refusal('ERR_SPIFFE_X509_SVID_INVALID', 'certificate 1 of the chain', () =>
        verifyX509Svid([leaf(), odd as Uint8Array], bundles, { now }),
      );
      expect(error.cause).to.be.instanceOf(Error);
    }
  });

  it('says which ID it refused, and keeps the cause', () => {
    const expired = { now: new Date(NOW.getTime() + 2 * DAY_MS) };
    refusal('ERR_SPIFFE_X509_EXPIRED', `cannot verify ${ID}: the leaf expired`, () =>
      verifyX509Svid([leaf()], X509Bundles.of(own), expired),
    );
    const error = refusal('ERR_SPIFFE_X509_SVID_INVALID', 'X509-08', () =>
      verifyX509Svid([named('spiffe://example.org/')], X509Bundles.of(own), { now }),
    );
    expect(error.cause).to.be.instanceOf(SpiffeError);
    expect((error.cause as SpiffeError).code).to.equal('ERR_SPIFFE_ID_INVALID');
  });

  it('shows a hostile URI escaped and cut', () => {
    const hostile = `spiffe://example.org/\u001b[2J\n${'x'.repeat(3000)}`;
    const error = refusal('ERR_SPIFFE_X509_SVID_INVALID', 'X509-08', () =>
      verifyX509Svid([named(hostile)], X509Bundles.of(own), { now }),
    );
    expect(error.message).to.match(/^[\x20-\x7e…]{1,500}$/);
  });
});
