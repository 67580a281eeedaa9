import { expect } from 'chai';
import * as fc from 'fast-check';
import {
  parseStrictJson,
  peekString,
  plainJson,
  StrictJsonError,
  WrittenNumber,
} from '#lib/internal/strict-json.js';

const refused = (text: string): void => {
  expect(() => parseStrictJson(text), text).to.throw(StrictJsonError);
};

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

describe('strict JSON', () => {
  it('reads what JSON.parse reads, however it is written', () => {
    fc.assert(
      fc.property(fc.json({ noUnicodeString: false }), fc.boolean(), (text, blanks) => {
        fc.pre(text.isWellFormed());
        const value: unknown = JSON.parse(text);
        const written = blanks ? JSON.stringify(value, null, 1) : text;
        fc.pre(!written.includes('__proto__') && !/\\ud[89a-f]/i.test(written));
        expect(plainJson(parseStrictJson(written))).to.deep.equal(JSON.parse(written));
      }),
    );
  });

  it('refuses what JSON.parse refuses', () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(), fc.string({ maxLength: 2 }), (text, at, more) => {
        const broken = text.slice(0, at % text.length) + more;
        try {
          JSON.parse(broken);
        } catch {
          refused(broken);
        }
      }),
    );
  });

  it('refuses a member that stands twice, also when one is escaped, at any depth', () => {
    for (const text of [
      '{"a":1,"a":1}',
      '{"a":1,"\\u0061":1}',
      '[{"b":{"a":1,"a":2}}]',
      '{"__proto__":1,"__proto__":2}',
      '{"\\u005f_proto__":1,"__proto__":2}',
    ])
      refused(text);
    expect(parseStrictJson('[{"a":1},{"a":1}]')).to.deep.equal([{ a: 1 }, { a: 1 }]);
  });

  it('takes no member for the prototype', () => {
    for (const text of ['{"__proto__":{"a":1}}', '{ "__proto__":{"a":1}}']) {
      const value = parseStrictJson(text) as object;
      expect(Object.keys(value)).to.deep.equal(['__proto__']);
      expect(Object.getPrototypeOf(value)).to.equal(Object.prototype);
      expect(() => plainJson(value as never)).to.throw('__proto__');
    }
  });

  it('refuses lone surrogates, as they are and escaped', () => {
    refused('"\ud800"');
    refused('"\\ud800"');
    refused('{"\\udc00":1}');
    expect(parseStrictJson('"\\ud83d\\ude00"')).to.equal('😀');
  });

  it('reads 128 levels and no more', () => {
    refused(nested(129));
    refused(`{"a":${nested(128)}}`);
    parseStrictJson(nested(128));
    refused(nested(100_000));
  });

  it('keeps the text of numbers that JSON.stringify would write otherwise', () => {
    for (const text of ['1.0', '-0', '1e3', '9007199254740993', '1E400', '0.10']) {
      const number = parseStrictJson(text);
      expect(number).to.be.instanceOf(WrittenNumber);
      expect((number as WrittenNumber).text).to.equal(text);
    }
    for (const text of ['0', '-1.5', '1e+21', '9007199254740991'])
      expect(parseStrictJson(text)).to.equal(Number(text));
    for (const text of ['01', '1.', '.5', '+1', '1e', '0x1', 'NaN', 'Infinity', '-']) refused(text);
  });

  it('finds a text of the outermost object without parsing', () => {
    expect(peekString('{"a":{"jti":"x"},"b":["jti"],"jti":"y"}', 'jti')).to.equal('y');
    expect(peekString('{"a":"\\"jti\\":\\"x","\\u006ati" : "y\\n"}', 'jti')).to.equal('y\n');
    for (const text of [
      '{"jti":5,"x":"jti"}',
      '{"jti":{"a":"x"}}',
      '{"jti":["x"]}',
      '["jti","x"]',
      '{"x":"jti"}',
      '{"jti"',
      '"jti"',
      '{"jti":"x',
      '{"jti":"\\u00',
      '',
    ])
      expect(peekString(text, 'jti'), text).to.equal(undefined);
  });
});
