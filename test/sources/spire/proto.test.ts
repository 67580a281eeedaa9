import { expect } from 'chai';
import protobuf from 'protobufjs';
import { MINT_X509_SVID } from '#lib/sources/spire/proto.js';

// Names and numbers of spire.api.server.svid.v1 and spire.api.types, with the fields that are not read here.
const { root } = protobuf.parse(`
syntax = "proto3";
message MintX509SVIDRequest { bytes csr = 1; int32 ttl = 2; }
message MintX509SVIDResponse { X509SVID svid = 1; }
message X509SVID { repeated bytes cert_chain = 1; SPIFFEID id = 2; int64 expires_at = 3; string hint = 4; }
message SPIFFEID { string trust_domain = 1; string path = 2; }
`);
const request = root.lookupType('MintX509SVIDRequest');
const response = root.lookupType('MintX509SVIDResponse');

describe('the message with which SPIRE mints', () => {
  it('is written and read as any other program does it', () => {
    for (const ttl of [0, 1, 300, 2 ** 31 - 1]) {
      const csr = Buffer.from([1, 2, 3]);
      const bytes = MINT_X509_SVID.request.encode({ csr, ttl });
      expect(Buffer.from(bytes)).to.deep.equal(
        Buffer.from(request.encode(request.create({ csr, ttl: ttl || undefined })).finish()),
      );
      expect(MINT_X509_SVID.request.decode(bytes)).to.include({ ttl });
    }
  });

  it('is read from an answer that says more', () => {
    const certChain = [Buffer.from([1]), Buffer.from([2, 3])];
    const id = { trustDomain: 'example.org', path: '/a' };
    const svid = { certChain, id, expiresAt: 1_793_534_400, hint: 'a' };
    const bytes = response.encode(response.create({ svid })).finish();
    const read = MINT_X509_SVID.response.decode(bytes).svid;
    expect(read.expiresAt).to.equal(1_793_534_400);
    expect(read.certChain.map((each) => Buffer.from(each))).to.deep.equal(certChain);
    expect(MINT_X509_SVID.response.decode(new Uint8Array()).svid.certChain).to.deep.equal([]);
  });
});
