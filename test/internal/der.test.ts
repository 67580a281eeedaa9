import { expect } from 'chai';
import * as fc from 'fast-check';
import * as der from '#lib/internal/der.js';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const any = (text: string): der.Der => new der.DerReader(hex(text)).any('it');
const shown = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text);

/** [what it is, refused, what the message says, the twin that passes, what comes out]. */
type Row = readonly [what: string, refused: string, says: string, twin: string, value: unknown];

function table(read: (text: string) => unknown, rows: readonly Row[]): void {
  for (const [what, refused, says, twin, value] of rows) {
    it(`refuses ${what} (${shown(refused)}) and takes its twin (${shown(twin)})`, () => {
      expect(() => read(refused)).to.throw(der.DerError, says);
      expect(read(twin)).to.deep.equal(value);
    });
  }
}

const utc = (text: string): string =>
  `17${text.length.toString(16).padStart(2, '0')}${Buffer.from(text).toString('hex')}`;
const general = (text: string): string => utc(text).replace(/^17/, '18');
const at = (iso: string): number => Date.parse(iso);
const nulls = (count: number): string => '00'.repeat(count);

describe('DerReader', () => {
  // X.690 §8.1 and §10.1
  table(
    (text) => der.readDer(hex(text), der.OCTET_STRING, 'it').length,
    [
      ['nothing', '', 'missing or cut off', '04 00', 0],
      ['a tag alone', '04', 'missing or cut off', '04 00', 0],
      ['another tag', '05 00', 'tag 0x5 where 0x4 belongs', '04 00', 0],
      ['a constructed string', '24 02 04 00', 'tag 0x24 where 0x4 belongs', '04 02 04 00', 2],
      ['a tag of several bytes', '1f 81 00 00', 'tag of several bytes', '04 01 00', 1],
      ['content that is cut off', '04 02 00', 'cut off', '04 02 00 00', 2],
      [
        'content cut off by one of 128',
        `04 81 80 ${nulls(127)}`,
        'cut off',
        `04 81 80 ${nulls(128)}`,
        128,
      ],
      ['bytes left over', '04 01 00 00', 'left over', '04 02 00 00', 2],
      ['an indefinite length', '04 80 00 00', 'indefinite length', '04 02 00 00', 2],
      ['a length that is cut off', '04 82 01', 'cut off', `04 82 01 00 ${nulls(256)}`, 256],
      ['0 in two bytes', '04 81 00', 'shortest form', '04 00', 0],
      ['127 in two bytes', `04 81 7f ${nulls(127)}`, 'shortest form', `04 7f ${nulls(127)}`, 127],
      [
        '128 in three bytes',
        `04 82 00 80 ${nulls(128)}`,
        'shortest form',
        `04 81 80 ${nulls(128)}`,
        128,
      ],
      [
        '255 in three bytes',
        `04 82 00 ff ${nulls(255)}`,
        'shortest form',
        `04 81 ff ${nulls(255)}`,
        255,
      ],
      [
        '256 in four bytes',
        `04 83 00 01 00 ${nulls(256)}`,
        'shortest form',
        `04 82 01 00 ${nulls(256)}`,
        256,
      ],
      [
        '65535 in four bytes',
        `04 83 00 ff ff ${nulls(65535)}`,
        'shortest form',
        `04 82 ff ff ${nulls(65535)}`,
        65535,
      ],
      [
        '65536 cut by one',
        `04 83 01 00 00 ${nulls(65535)}`,
        'cut off',
        `04 83 01 00 00 ${nulls(65536)}`,
        65536,
      ],
      [
        'a length of four bytes',
        '04 84 01 00 00 00',
        '16 MiB',
        `04 83 01 00 00 ${nulls(65536)}`,
        65536,
      ],
      ['a length of 127 bytes', `04 ff ${'ff'.repeat(127)}`, '16 MiB', '04 00', 0],
    ],
  );

  it('never reads past the element it is in', () => {
    // An outer length of 2 around an inner one of 2, whose content lies outside.
    const inner = der.readDer(hex('30 02 04 02'), der.SEQUENCE, 'outer').children();
    expect(() => inner.any('inner')).to.throw(der.DerError, 'cut off');
    const outside = new der.DerReader(hex('04 01 aa bb'), 0, 2);
    expect(() => outside.any('it')).to.throw(der.DerError, 'cut off');
    const header = new der.DerReader(hex('04 00'), 0, 1);
    expect(() => header.any('it')).to.throw(der.DerError, 'missing or cut off');
    const length = new der.DerReader(hex(`04 82 01 00 ${nulls(256)}`), 0, 3);
    expect(() => length.any('it')).to.throw(der.DerError, 'cut off');
  });

  it('gives elements in turn, with their bytes', () => {
    const reader = new der.DerReader(hex('ff 02 01 05 04 02 aa bb'), 1);
    const first = reader.take(der.INTEGER, 'first');
    expect(Buffer.from(first.whole).toString('hex')).to.equal('020105');
    expect(reader.at(der.OCTET_STRING)).to.equal(true);
    expect(reader.at(der.INTEGER)).to.equal(false);
    expect(reader.optional(der.INTEGER, 'second')).to.equal(undefined);
    expect(reader.done).to.equal(false);
    expect(() => reader.finish('all')).to.throw(der.DerError, 'all has bytes left over');
    const second = reader.optional(der.OCTET_STRING, 'second');
    expect(Buffer.from(second?.content ?? []).toString('hex')).to.equal('aabb');
    expect(reader.done).to.equal(true);
    expect(reader.at(der.OCTET_STRING)).to.equal(false);
    reader.finish('all');
  });

  it('does not take what lies behind its end for the next element', () => {
    const reader = new der.DerReader(hex('04 00 02 01 05'), 0, 2);
    reader.take(der.OCTET_STRING, 'it');
    expect(reader.at(der.INTEGER)).to.equal(false);
    expect(reader.optional(der.INTEGER, 'it')).to.equal(undefined);
  });

  it('reads any element that was written, and refuses it with one length byte more or less', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300 }), fc.nat({ max: 2 }), (length, surplus) => {
        const size = length < 128 ? 0 : length < 256 ? 1 : 2;
        const used = size + surplus;
        const digits = length.toString(16).padStart(used * 2, '0');
        const header =
          used === 0 ? digits.padStart(2, '0') : `${(0x80 + used).toString(16)}${digits}`;
        const read = () => der.readDer(hex(`04${header}${nulls(length)}`), der.OCTET_STRING, 'it');
        if (surplus === 0) expect(read().length).to.equal(length);
        else expect(read).to.throw(der.DerError);
      }),
      { numRuns: 300 },
    );
  });

  it('only ever refuses with its own error, whatever the bytes', () => {
    const walk = (reader: der.DerReader): void => {
      while (!reader.done) {
        const element = reader.any('it');
        expect(element.end).to.be.at.most(element.bytes.length);
        for (const read of [
          der.readBoolean,
          der.readInteger,
          der.readUnsigned,
          der.readCount,
          der.readOctetBits,
          der.readNamedBits,
          der.readOid,
          der.readTime,
        ]) {
          try {
            read(element, 'it');
          } catch (error) {
            expect(error).to.be.instanceOf(der.DerError);
          }
        }
        if ((element.tag & 0x20) !== 0) walk(element.children());
      }
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          walk(new der.DerReader(bytes));
        } catch (error) {
          expect(error).to.be.instanceOf(der.DerError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('readBoolean', () => {
  // X.690 §8.2 and §11.1
  table(
    (text) => der.readBoolean(any(text), 'it'),
    [
      ['01', '01 01 01', 'not a DER boolean', '01 01 ff', true],
      ['7f', '01 01 7f', 'not a DER boolean', '01 01 ff', true],
      ['nothing', '01 00', 'not a DER boolean', '01 01 00', false],
      ['two bytes', '01 02 ff ff', 'not a DER boolean', '01 01 ff', true],
      ['two bytes of false', '01 02 00 00', 'not a DER boolean', '01 01 00', false],
    ],
  );

  it('does not take the byte behind an empty one for its value', () => {
    const reader = new der.DerReader(hex('01 00 ff'));
    expect(() => der.readBoolean(reader.any('it'), 'it')).to.throw(der.DerError);
  });
});

describe('readInteger', () => {
  // X.690 §8.3
  table(
    (text) => Buffer.from(der.readInteger(any(text), 'it')).toString('hex'),
    [
      ['nothing', '02 00', 'without content', '02 01 00', '00'],
      ['a padded 0', '02 02 00 00', 'shortest form', '02 01 00', '00'],
      ['a padded 127', '02 02 00 7f', 'shortest form', '02 01 7f', '7f'],
      ['a padded 128', '02 03 00 00 80', 'shortest form', '02 02 00 80', '0080'],
      ['a padded -1', '02 02 ff ff', 'shortest form', '02 01 ff', 'ff'],
      ['a padded -128', '02 02 ff 80', 'shortest form', '02 02 ff 7f', 'ff7f'],
    ],
  );
});

describe('readUnsigned', () => {
  table(
    (text) => Buffer.from(der.readUnsigned(any(text), 'it')).toString('hex'),
    [
      ['-128', '02 01 80', 'negative', '02 02 00 80', '80'],
      ['-1', '02 01 ff', 'negative', '02 01 7f', '7f'],
      ['a padded number', '02 02 00 01', 'shortest form', '02 01 00', '00'],
    ],
  );
});

describe('readCount', () => {
  table(
    (text) => der.readCount(any(text), 'it'),
    [
      ['-1', '02 01 ff', 'negative', '02 01 00', 0],
      ['-32768', '02 02 80 00', 'negative', '02 03 00 80 00', 32768],
      ['2^32', '02 05 01 00 00 00 00', 'too large', '02 05 00 ff ff ff ff', 2 ** 32 - 1],
      ['nothing', '02 00', 'without content', '02 02 01 00', 256],
    ],
  );
});

describe('readOctetBits', () => {
  // X.690 §8.6
  table(
    (text) => Buffer.from(der.readOctetBits(any(text), 'it')).toString('hex'),
    [
      ['nothing', '03 00', 'whole octets', '03 01 00', ''],
      ['seven bits', '03 02 01 fe', 'whole octets', '03 02 00 fe', 'fe'],
      ['unused bits without an octet', '03 01 01', 'whole octets', '03 01 00', ''],
    ],
  );

  it('does not take the byte behind an empty one for its count of unused bits', () => {
    const reader = new der.DerReader(hex('03 00 00'));
    expect(() => der.readOctetBits(reader.any('it'), 'it')).to.throw(der.DerError);
  });
});

describe('readNamedBits', () => {
  // X.690 §8.6 and §11.2; bit 0 of a key usage is digitalSignature, bit 5 keyCertSign, bit 8 decipherOnly.
  table(
    (text) => der.readNamedBits(any(text), 'it'),
    [
      ['nothing', '03 00', 'named bits', '03 01 00', 0],
      ['unused bits without an octet', '03 01 07', 'named bits', '03 02 07 80', 1],
      ['32 unused bits', '03 02 20 01', 'named bits', '03 02 00 01', 1 << 7],
      ['eight unused bits', '03 02 08 80', 'named bits', '03 02 07 80', 1],
      ['a trailing zero bit', '03 02 06 80', 'named bits', '03 02 07 80', 1],
      ['a trailing zero octet', '03 03 00 80 00', 'named bits', '03 02 07 80', 1],
      ['no bit in one octet', '03 02 00 00', 'named bits', '03 02 00 01', 1 << 7],
      ['a bit among the unused ones', '03 02 07 81', 'named bits', '03 02 00 81', 0b10000001],
      [
        'a bit among the unused ones of the last octet',
        '03 03 07 00 81',
        'named bits',
        '03 03 07 00 80',
        1 << 8,
      ],
    ],
  );

  it('reads the bits by their numbers', () => {
    expect(der.readNamedBits(any('03 02 02 04'), 'it')).to.equal(1 << 5);
    expect(der.readNamedBits(any('03 02 01 06'), 'it')).to.equal((1 << 5) | (1 << 6));
    expect(der.readNamedBits(any('03 03 07 04 80'), 'it')).to.equal((1 << 5) | (1 << 8));
    expect(der.readNamedBits(any('03 03 00 00 01'), 'it')).to.equal(1 << 15);
  });

  it('looks at 16 bits at most, and at none behind the element', () => {
    expect(der.readNamedBits(any('03 04 00 80 00 81'), 'it')).to.equal(1);
    const reader = new der.DerReader(hex('03 02 00 81 ff'));
    expect(der.readNamedBits(reader.any('it'), 'it')).to.equal(0b10000001);
  });

  it('does not take the byte behind an empty one for its count of unused bits', () => {
    const reader = new der.DerReader(hex('03 00 00'));
    expect(() => der.readNamedBits(reader.any('it'), 'it')).to.throw(der.DerError);
  });
});

describe('readOid', () => {
  // X.690 §8.19
  const long = `06 40 2a ${'01'.repeat(63)}`;
  table(
    (text) => der.readOid(any(text), 'it'),
    [
      ['nothing', '06 00', 'not a DER object identifier', '06 01 00', '0.0'],
      [
        'a part that does not end',
        '06 02 55 9d',
        'not a DER object identifier',
        '06 02 55 1d',
        '2.5.29',
      ],
      [
        'a first part that does not end',
        '06 01 80',
        'not a DER object identifier',
        '06 01 27',
        '0.39',
      ],
      ['a padded part', '06 03 55 80 1d', 'not a DER object identifier', '06 02 55 1d', '2.5.29'],
      ['a padded first part', '06 02 80 55', 'not a DER object identifier', '06 01 55', '2.5'],
      [
        'a part of more than 52 bits',
        `06 09 2a 88 ${'80'.repeat(6)} 00`,
        'not a DER object identifier',
        `06 09 2a 87 ${'ff'.repeat(6)} 7f`,
        `1.2.${2 ** 52 - 1}`,
      ],
      ['65 octets', `06 41 2a ${'01'.repeat(64)}`, 'too long', long, `1.2${'.1'.repeat(63)}`],
    ],
  );

  for (const [bytes, oid] of [
    ['06 01 28', '1.0'],
    ['06 01 4f', '1.39'],
    ['06 01 50', '2.0'],
    ['06 02 88 37', '2.999'],
    ['06 03 55 1d 11', '2.5.29.17'],
    ['06 09 2a 86 48 86 f7 0d 01 01 0a', '1.2.840.113549.1.1.10'],
    ['06 03 2a 81 00', '1.2.128'],
    ['06 04 2a 81 80 00', '1.2.16384'],
    [`06 09 2a 87 ${'ff'.repeat(6)} 7f`, `1.2.${2 ** 52 - 1}`],
  ] as const) {
    it(`reads ${oid}`, () => {
      expect(der.readOid(any(bytes), 'it')).to.equal(oid);
    });
  }
});

describe('readTime', () => {
  // RFC 5280 §4.1.2.5
  table(
    (text) => der.readTime(any(text), 'it'),
    [
      [
        'another tag',
        utc('260102030405Z').replace(/^17/, '16'),
        'not a time',
        utc('260102030405Z'),
        at('2026-01-02T03:04:05Z'),
      ],
      [
        'no seconds',
        utc('2601020304Z'),
        'with seconds in UTC',
        utc('260102030400Z'),
        at('2026-01-02T03:04:00Z'),
      ],
      [
        'an offset',
        utc('2601020304+0000'),
        'with seconds in UTC',
        utc('260102030400Z'),
        at('2026-01-02T03:04:00Z'),
      ],
      [
        'an offset with seconds',
        utc('260102030405+0000'),
        'with seconds in UTC',
        utc('260102030405Z'),
        at('2026-01-02T03:04:05Z'),
      ],
      [
        'no zone',
        utc('260102030405'),
        'with seconds in UTC',
        utc('260102030405Z'),
        at('2026-01-02T03:04:05Z'),
      ],
      [
        'something behind the zone',
        utc('260102030405Z0'),
        'with seconds in UTC',
        utc('260102030405Z'),
        at('2026-01-02T03:04:05Z'),
      ],
      [
        'another letter for the zone',
        utc('260102030405z'),
        'with seconds in UTC',
        utc('260102030405Z'),
        at('2026-01-02T03:04:05Z'),
      ],
      ['nothing', utc(''), 'with seconds in UTC', utc('700101000000Z'), 0],
      [
        'four digits of a year in UTCTime',
        utc('20260102030405Z'),
        'with seconds in UTC',
        general('20260102030405Z'),
        at('2026-01-02T03:04:05Z'),
      ],
      [
        'two digits of a year in GeneralizedTime',
        general('260102030405Z'),
        'with seconds in UTC',
        utc('260102030405Z'),
        at('2026-01-02T03:04:05Z'),
      ],
      [
        'fractions',
        general('20260102030405.5Z'),
        'with seconds in UTC',
        general('20260102030405Z'),
        at('2026-01-02T03:04:05Z'),
      ],
      [
        'GeneralizedTime without seconds',
        general('202601020304Z'),
        'with seconds in UTC',
        general('20260102030400Z'),
        at('2026-01-02T03:04:00Z'),
      ],
      [
        'a letter',
        utc('2601020304a5Z'),
        'other than digits',
        utc('260102030405Z'),
        at('2026-01-02T03:04:05Z'),
      ],
      [
        'a letter behind a digit',
        utc('26010203040aZ'),
        'other than digits',
        utc('260102030400Z'),
        at('2026-01-02T03:04:00Z'),
      ],
      [
        'a sign',
        utc('-10102030405Z'),
        'other than digits',
        utc('010102030405Z'),
        at('2001-01-02T03:04:05Z'),
      ],
      [
        'a sign behind a digit',
        utc('2-0102030405Z'),
        'other than digits',
        utc('200102030405Z'),
        at('2020-01-02T03:04:05Z'),
      ],
      [
        'a blank',
        utc('26 102030405Z'),
        'other than digits',
        utc('260102030405Z'),
        at('2026-01-02T03:04:05Z'),
      ],
      [
        'month 0',
        utc('260002030405Z'),
        'that exists',
        utc('260102030405Z'),
        at('2026-01-02T03:04:05Z'),
      ],
      [
        'month 13',
        utc('261302030405Z'),
        'that exists',
        utc('261202030405Z'),
        at('2026-12-02T03:04:05Z'),
      ],
      [
        'day 0',
        utc('260100030405Z'),
        'that exists',
        utc('260131030405Z'),
        at('2026-01-31T03:04:05Z'),
      ],
      [
        '31 April',
        utc('260431030405Z'),
        'that exists',
        utc('260430030405Z'),
        at('2026-04-30T03:04:05Z'),
      ],
      [
        '29 February of a common year',
        utc('270229030405Z'),
        'that exists',
        utc('280229030405Z'),
        at('2028-02-29T03:04:05Z'),
      ],
      [
        '29 February 2100',
        general('21000229000000Z'),
        'that exists',
        general('20000229000000Z'),
        at('2000-02-29T00:00:00Z'),
      ],
      [
        'hour 24',
        utc('260102240000Z'),
        'that exists',
        utc('260102235959Z'),
        at('2026-01-02T23:59:59Z'),
      ],
      [
        'minute 60',
        utc('260102036000Z'),
        'that exists',
        utc('260102035900Z'),
        at('2026-01-02T03:59:00Z'),
      ],
      [
        'second 60',
        utc('260102030460Z'),
        'that exists',
        utc('260102030459Z'),
        at('2026-01-02T03:04:59Z'),
      ],
    ],
  );

  for (const [text, iso] of [
    [utc('500101000000Z'), '1950-01-01T00:00:00Z'],
    [utc('491231235959Z'), '2049-12-31T23:59:59Z'],
    [utc('000101000000Z'), '2000-01-01T00:00:00Z'],
    [utc('991231235959Z'), '1999-12-31T23:59:59Z'],
    [general('20500101000000Z'), '2050-01-01T00:00:00Z'],
    [general('99991231235959Z'), '9999-12-31T23:59:59Z'],
    [general('00010203040506Z'), '0001-02-03T04:05:06Z'],
  ] as const) {
    it(`reads ${iso}`, () => {
      expect(der.readTime(any(text), 'it')).to.equal(at(iso));
    });
  }
});
