import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { PemError, readPem, writePem } from '#lib/internal/pem.js';

const block = (body: string, begin = 'CERTIFICATE', end = begin): string =>
  `-----BEGIN ${begin}-----\n${body}\n-----END ${end}-----\n`;
const good = block('AQID');
const read = (text: string): string[] =>
  readPem(text, 'CERTIFICATE').map((bytes) => Buffer.from(bytes).toString('hex'));

/** [what it is, refused, what the message says, the twin that passes, what comes out]. */
const TABLE: readonly (readonly [
  what: string,
  refused: string,
  says: string,
  twin: string,
  value: readonly string[],
])[] = [
  ['nothing', '', 'no CERTIFICATE block', good, ['010203']],
  [
    'text alone',
    'no certificate here',
    'no CERTIFICATE block',
    `a certificate:\n${good}`,
    ['010203'],
  ],
  ['base64 alone', 'AQID', 'no CERTIFICATE block', good, ['010203']],
  ['a block of another kind', block('AQID', 'PRIVATE KEY'), 'PRIVATE KEY', good, ['010203']],
  [
    'a private key behind a certificate',
    good + block('AQID', 'EC PRIVATE KEY'),
    'EC PRIVATE KEY',
    good + good,
    ['010203', '010203'],
  ],
  [
    'a TRUSTED CERTIFICATE',
    block('AQID', 'TRUSTED CERTIFICATE'),
    'TRUSTED CERTIFICATE',
    good,
    ['010203'],
  ],
  [
    'another kind at its end',
    block('AQID', 'CERTIFICATE', 'PRIVATE KEY'),
    'where CERTIFICATE belongs',
    good,
    ['010203'],
  ],
  [
    'another kind at its beginning',
    block('AQID', 'PRIVATE KEY', 'CERTIFICATE'),
    'where CERTIFICATE belongs',
    good,
    ['010203'],
  ],
  ['no end', '-----BEGIN CERTIFICATE-----\nAQID\n', 'no CERTIFICATE block', good, ['010203']],
  [
    'no end on the second',
    `${good}-----BEGIN CERTIFICATE-----\nAQID\n`,
    'broken block',
    good + good,
    ['010203', '010203'],
  ],
  [
    'no beginning on the second',
    `${good}----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n`,
    'broken block',
    good + good,
    ['010203', '010203'],
  ],
  [
    'a block inside a block',
    `-----BEGIN CERTIFICATE-----\n${good}`,
    'broken block',
    good,
    ['010203'],
  ],
  [
    'a header inside',
    block('Proc-Type: 4,ENCRYPTED\n\nAQID'),
    'no CERTIFICATE block',
    good,
    ['010203'],
  ],
  [
    'a header inside the second',
    good + block('X-Note: 1\n\nAQID'),
    'broken block',
    good + good,
    ['010203', '010203'],
  ],
  ['no padding', block('AQI'), 'not base64', block('AQI='), ['0102']],
  ['bits behind the end', block('AQJ='), 'not base64', block('AQI='), ['0102']],
  ['padding inside', block('AQ==AQID'), 'not base64', block('AQIDAQID'), ['010203010203']],
  ['too much padding', block('AQID===='), 'not base64', good, ['010203']],
  ['the alphabet of base64url', block('_-8='), 'no CERTIFICATE block', block('/+8='), ['ffef']],
  ['a hyphen inside', block('AQ-ID'), 'no CERTIFICATE block', block('AQ\nID'), ['010203']],
  ['lower case labels', good.toLowerCase(), 'no CERTIFICATE block', good, ['010203']],
];

describe('readPem', () => {
  for (const [what, refused, says, twin, value] of TABLE) {
    it(`refuses ${what} and takes its twin`, () => {
      expect(() => read(refused)).to.throw(PemError, says);
      expect(read(twin)).to.deep.equal(value);
    });
  }

  it('passes over text before, between and behind, and takes CRLF', () => {
    const text = `# one\r\n${good.replaceAll('\n', '\r\n')}# two\n${block('BA==')}# end`;
    expect(read(text)).to.deep.equal(['010203', '04']);
  });

  it('passes over white space inside a block, as RFC 7468 §2 has it', () => {
    const text = block('  AQ\t\n  I D ').replace('-----\n', '----- \t\n');
    expect(read(text)).to.deep.equal(['010203']);
  });

  it('takes time in proportion to the length of what it refuses', () => {
    const start = performance.now();
    for (const text of [
      '-----BEGIN CERTIFICATE-----\n'.repeat(20_000),
      `-----BEGIN CERTIFICATE-----\n${'A\n'.repeat(500_000)}`,
      `-----BEGIN ${'A '.repeat(500_000)}`,
    ]) {
      expect(() => read(text)).to.throw(PemError);
    }
    expect(performance.now() - start).to.be.below(2000);
  });
});

describe('writePem', () => {
  it('gives what readPem takes, in lines of 64 letters', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (bytes) => {
        const text = writePem(bytes, 'CERTIFICATE');
        expect(readPem(text, 'CERTIFICATE').map((one) => Uint8Array.from(one))).to.deep.equal([
          bytes,
        ]);
        const lines = text.split('\n').slice(1, -2);
        expect(lines.slice(0, -1).every((line) => line.length === 64)).to.equal(true);
        expect(lines.at(-1)).to.have.length.within(1, 64);
      }),
    );
  });

  it('writes as Node does', () => {
    const { publicKey: pem } = generateKeyPairSync('ed25519', {
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'der' },
    });
    const der = createPublicKey(pem).export({ type: 'spki', format: 'der' });
    expect(writePem(der, 'PUBLIC KEY')).to.equal(pem);
  });
});
