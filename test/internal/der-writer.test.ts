import { expect } from 'chai';
import * as read from '#lib/internal/der.js';
import * as write from '#lib/internal/der-writer.js';
import * as forge from '#lib/testing/der.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('the DER writer', () => {
  for (const length of [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000]) {
    it(`writes a length of ${length} as node-forge does, in its shortest form`, () => {
      const content = Buffer.alloc(length, 7);
      const written = write.element(read.OCTET_STRING, content);
      expect(hex(written)).to.equal(hex(forge.octetString(content)));
      expect(read.readDer(written, read.OCTET_STRING, 'it').length).to.equal(length);
    });
  }

  for (const oid of ['1.2.840.113549.1.9.14', '2.5.29.17', '1.3.101.112', '1.2.840.10045.4.3.2']) {
    it(`writes the object identifier ${oid} as node-forge does`, () => {
      const written = write.objectIdentifier(oid);
      expect(hex(written)).to.equal(hex(forge.objectIdentifier(oid)));
      expect(read.readOid(read.readDer(written, read.OID, 'it'), 'it')).to.equal(oid);
    });
  }

  it('nests what is written already', () => {
    const inner = write.tagged(6, false, Buffer.from('spiffe://a/b'));
    const written = write.sequence(write.smallInteger(0), write.octetBits(Buffer.of(9)), inner);
    expect(hex(written)).to.equal(
      hex(
        forge.sequence(
          forge.integer(0),
          forge.bitString(Buffer.of(9)),
          forge.element(0x86, Buffer.from('spiffe://a/b')),
        ),
      ),
    );
  });
});
