import { JwtBundle, JwtBundles, verifyJwtSvid } from 'agent-spiffe';
import { expect } from 'chai';
import { makeKey } from '#lib/testing/keys.js';
import { craftToken, goodParts, publicJwk } from '../../support/craft-token.js';

describe('the length of an RSA signature', () => {
  it('is that of the modulus: one that has lost its leading zero is refused (JWT-05, RFC 8017 8.1.2)', async () => {
    const key = makeKey('rsa-2048');
    const jwks = JSON.stringify({ keys: [publicJwk(key, 'key-1')] });
    const bundles = JwtBundles.of(JwtBundle.parse('example.org', jwks));
    const { header, claims } = goodParts();
    const parts = { header: { ...header, alg: 'PS256' }, claims };
    let token = craftToken(key, parts);
    // One of 256 begins with a zero octet: its text then begins with A and one of A to P.
    while (!/\.A[A-P][^.]*$/.test(token)) token = craftToken(key, parts);
    expect(await accepted(token)).to.equal(true);
    const [head, body, signature = ''] = token.split('.');
    const shorter = Buffer.from(signature, 'base64url').subarray(1).toString('base64url');
    expect(await accepted(`${head}.${body}.${shorter}`)).to.equal(false);

    function accepted(text: string): Promise<boolean> {
      return verifyJwtSvid(text, bundles, { audience: 'reports' }).then(
        () => true,
        () => false,
      );
    }
  });
});
