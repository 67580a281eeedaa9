import { JwtBundle, JwtBundles, SpiffeError, verifyJwtSvid } from 'agent-spiffe';
import { expect } from 'chai';
import { VECTORS_NOW, vectorsOf } from '../../support/vectors.js';

const CODES = [
  'ERR_SPIFFE_JWT_SVID_INVALID',
  'ERR_SPIFFE_JWT_AUDIENCE',
  'ERR_SPIFFE_JWT_EXPIRED',
  'ERR_SPIFFE_JWT_UNTRUSTED',
  'ERR_SPIFFE_BUNDLE_NOT_FOUND',
];

describe('vectors of kind jwt', () => {
  const vectors = vectorsOf('jwt');

  it('are 80', () => {
    expect(vectors).to.have.lengthOf(80);
  });

  for (const {
    id,
    why,
    expect: expected,
    identity,
    token,
    bundles,
    audience,
    bundleFormat,
  } of vectors) {
    it(`${expected}s ${id} (${why})`, async () => {
      const format = bundleFormat ?? 'jwks';
      const sets = Object.entries(bundles).map(([domain, set]) =>
        JwtBundle.parse(domain, JSON.stringify(set), { format }),
      );
      const outcome: unknown = await verifyJwtSvid(token, JwtBundles.of(...sets), {
        audience,
        now: VECTORS_NOW,
      }).then(
        (svid) => svid.id.toString(),
        (error: unknown) => error,
      );
      if (expected === 'accept') expect(outcome).to.equal(identity);
      else {
        expect(outcome).to.be.instanceOf(SpiffeError);
        expect(CODES).to.include((outcome as SpiffeError).code);
      }
    });
  }
});
