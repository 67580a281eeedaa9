import { TrustDomain, X509Bundle, X509Bundles } from 'agent-spiffe';
import { expect } from 'chai';
import { writePem } from '#lib/internal/pem.js';
import { authority, leaf, MIDDLE, ROOT, TD, verify, WORKLOAD_KEY } from '../../support/chain.js';
import { refusal } from '../../support/refusal.js';

const CODE = 'ERR_SPIFFE_X509_BUNDLE_INVALID';
const second = authority();
const both = Buffer.concat([ROOT.certificate, second.certificate]);
const pemOf = (...all: readonly Uint8Array[]): string =>
  all.map((der) => writePem(der, 'CERTIFICATE')).join('');
const hexOf = (bundle: X509Bundle): string[] =>
  bundle.authorities.map((der) => Buffer.from(der).toString('hex'));
const expected = [ROOT, second].map(({ certificate }) => Buffer.from(certificate).toString('hex'));

describe('X509Bundle', () => {
  describe('fromDer', () => {
    it('takes certificates one after another, in their order (WLA-18)', () => {
      const bundle = X509Bundle.fromDer('example.org', both);
      expect(bundle.trustDomain.equals(TD)).to.equal(true);
      expect(hexOf(bundle)).to.deep.equal(expected);
    });

    it('takes a domain by its name or as such', () => {
      expect(X509Bundle.fromDer(TD, both).trustDomain).to.equal(TD);
    });

    it('takes no bytes for a bundle that trusts nothing (X509-37)', () => {
      expect(X509Bundle.fromDer(TD, new Uint8Array(0)).authorities).to.have.lengthOf(0);
    });

    it('takes authorities that are not self-signed, or are no CA: that is judged with the path (X509-34)', () => {
      const bundle = X509Bundle.fromDer(TD, Buffer.concat([MIDDLE.certificate, leaf()]));
      expect(bundle.authorities).to.have.lengthOf(2);
    });

    const bad: readonly (readonly [what: string, says: string, bytes: Uint8Array])[] = [
      ['a byte behind them', 'cut off', Buffer.concat([both, Buffer.alloc(1)])],
      ['two bytes behind them', 'the certificate has tag', Buffer.concat([both, Buffer.alloc(2)])],
      [
        'a NUL between them',
        'the certificate',
        Buffer.concat([ROOT.certificate, Buffer.alloc(1), second.certificate]),
      ],
      ['the last one cut short', 'cut off', both.subarray(0, -1)],
      ['PEM', 'not DER certificates', Buffer.from(pemOf(ROOT.certificate))],
      ['text', 'not DER certificates', Buffer.from('no bundle')],
      [
        'a private key',
        'not DER certificates',
        WORKLOAD_KEY.export({ type: 'pkcs8', format: 'der' }),
      ],
      ['a NUL', 'not DER certificates', Buffer.alloc(1)],
    ];
    for (const [what, says, bytes] of bad) {
      it(`refuses ${what} (WLA-18)`, () => {
        const error = refusal(CODE, says, () => X509Bundle.fromDer(TD, bytes));
        expect(error.message).to.match(/^cannot take a bundle for example\.org: /);
        expect(error.cause).to.be.instanceOf(Error);
      });
    }

    it('refuses what is no bytes', () => {
      refusal(CODE, 'not DER certificates', () =>
        X509Bundle.fromDer(TD, undefined as unknown as Uint8Array),
      );
    });

    it('refuses a domain that is none (ID-05)', () => {
      for (const name of ['', 'Example.org', 'spiffe://example.org']) {
        refusal('ERR_SPIFFE_TRUST_DOMAIN_INVALID', 'cannot take', () =>
          X509Bundle.fromDer(name, both),
        );
        refusal('ERR_SPIFFE_TRUST_DOMAIN_INVALID', 'cannot take', () =>
          X509Bundle.fromPem(name, pemOf(ROOT.certificate)),
        );
      }
    });
  });

  describe('fromPem', () => {
    it('takes the certificates of a text, in their order', () => {
      const text = `our roots\n${pemOf(ROOT.certificate)}# the next\n${pemOf(second.certificate)}`;
      expect(hexOf(X509Bundle.fromPem(TD, text))).to.deep.equal(expected);
      expect(hexOf(X509Bundle.fromPem(TD, Buffer.from(text)))).to.deep.equal(expected);
    });

    const key = WORKLOAD_KEY.export({ type: 'pkcs8', format: 'pem' }) as string;
    const bad: readonly (readonly [what: string, says: string, text: string | Uint8Array])[] = [
      ['nothing', 'no CERTIFICATE block', ''],
      ['DER', 'no CERTIFICATE block', ROOT.certificate],
      ['a private key', 'a PRIVATE KEY block', key],
      ['a private key behind a certificate', 'a PRIVATE KEY block', pemOf(ROOT.certificate) + key],
      [
        'a block that is no certificate',
        'the certificate',
        writePem(Buffer.from('abc'), 'CERTIFICATE'),
      ],
      ['two certificates in one block', 'left over', writePem(both, 'CERTIFICATE')],
      [
        'a broken block behind a good one',
        'a broken block',
        `${pemOf(ROOT.certificate)}-----BEGIN CERTIFICATE-----\nAAAA`,
      ],
    ];
    for (const [what, says, text] of bad) {
      it(`refuses ${what}`, () => {
        const error = refusal(CODE, says, () => X509Bundle.fromPem(TD, text));
        expect(error.message).not.to.include('MIG');
      });
    }

    it('refuses what is neither text nor bytes', () => {
      refusal(CODE, 'not PEM', () => X509Bundle.fromPem(TD, undefined as unknown as string));
    });
  });

  it('equals another of the same domain with the same authorities in the same order', () => {
    const bundle = X509Bundle.fromDer(TD, both);
    expect(
      bundle.equals(X509Bundle.fromPem('example.org', pemOf(ROOT.certificate, second.certificate))),
    ).to.equal(true);
    expect(bundle.equals(X509Bundle.fromDer('other.org', both))).to.equal(false);
    expect(bundle.equals(X509Bundle.fromDer(TD, ROOT.certificate))).to.equal(false);
    expect(X509Bundle.fromDer(TD, ROOT.certificate).equals(bundle)).to.equal(false);
    expect(
      bundle.equals(X509Bundle.fromDer(TD, Buffer.concat([second.certificate, ROOT.certificate]))),
    ).to.equal(false);
  });

  it('cannot be changed, nor by the bytes it was made from', () => {
    const bytes = Buffer.from(ROOT.certificate);
    const bundle = X509Bundle.fromDer(TD, bytes);
    bytes.fill(0);
    expect(hexOf(bundle)).to.deep.equal(expected.slice(0, 1));
    expect(() => Object.assign(bundle, { trustDomain: 'other.org' })).to.throw(TypeError);
    expect(() => (bundle.authorities as Uint8Array[]).push(second.certificate)).to.throw(TypeError);
    // What stands in `authorities` is for reading: the verifier has what it decoded.
    expect(verify({ chain: [leaf()] }).chain).to.have.lengthOf(2);
  });
});

describe('X509Bundles', () => {
  const own = X509Bundle.fromDer(TD, ROOT.certificate);
  const other = X509Bundle.fromDer('other.org', second.certificate);

  it('gives the bundle of a domain, by its name or as such, and of no other', () => {
    const bundles = X509Bundles.of(own, other);
    expect(bundles.size).to.equal(2);
    expect([...bundles]).to.deep.equal([own, other]);
    expect(bundles.get('example.org')).to.equal(own);
    expect(bundles.get(TrustDomain.parse('other.org'))).to.equal(other);
    for (const name of [
      '',
      'Example.org',
      'example.org.',
      'sub.example.org',
      'spiffe://example.org',
    ]) {
      expect(bundles.get(name)).to.equal(undefined);
    }
  });

  it('has no bundle under the names that every object has', () => {
    for (const name of ['__proto__', 'constructor', 'hasownproperty', 'tostring']) {
      expect(X509Bundles.of(own).get(name)).to.equal(undefined);
      const bundle = X509Bundle.fromDer(name, second.certificate);
      const bundles = X509Bundles.of(own, bundle);
      expect(bundles.get(name)).to.equal(bundle);
      expect(bundles.get('example.org')).to.equal(own);
    }
  });

  it('replaces and never merges: of two for one domain the later counts', () => {
    const newer = X509Bundle.fromDer(TD, second.certificate);
    const bundles = X509Bundles.of(own, newer);
    expect(bundles.size).to.equal(1);
    expect(bundles.get(TD)).to.equal(newer);
  });

  it('may be empty, and cannot be changed', () => {
    const bundles = X509Bundles.of();
    expect(bundles.size).to.equal(0);
    expect([...bundles]).to.deep.equal([]);
    expect(() => Object.assign(bundles, { get: () => own })).to.throw(TypeError);
  });
});
