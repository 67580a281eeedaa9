import { expect } from 'chai';
import { canonicalJson } from '#lib/internal/canonical-json.js';
import type { JsonValue } from '#lib/internal/json.js';

/** The double with these bits. */
function double(hex: string): number {
  return Buffer.from(hex, 'hex').readDoubleBE();
}

describe('canonical JSON (RFC 8785)', () => {
  it('writes the example of 3.2.2 as the RFC does', () => {
    const input = JSON.parse(String.raw`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }`) as JsonValue;
    expect(canonicalJson(input)).to.equal(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
  });

  it('sorts the names of 3.2.3 by UTF-16 code units', () => {
    const input = JSON.parse(String.raw`{
      "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"
    }`) as JsonValue;
    expect(Object.values(JSON.parse(canonicalJson(input)) as object).slice(1)).to.deep.equal([
      'Carriage Return',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ]);
    expect(canonicalJson(input)).to.match(/^\{"\\r":"Carriage Return","1":"One"/);
  });

  for (const [hex, text] of [
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['c340000000000000', '-9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['44b52d02c7e14af7', '1.0000000000000001e+23'],
    ['444b1ae4d6e2ef4e', '999999999999999700000'],
    ['444b1ae4d6e2ef4f', '999999999999999900000'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
  ] as const) {
    it(`writes the double ${hex} as ${text} (appendix B)`, () => {
      expect(canonicalJson(double(hex))).to.equal(text);
    });
  }

  it('orders names that look like numbers as text', () => {
    expect(canonicalJson({ 10: 1, 9: 2, a: 3 })).to.equal('{"10":1,"9":2,"a":3}');
  });

  it('knows members called __proto__ and constructor', () => {
    const input = JSON.parse('{"b":1,"__proto__":{"x":1},"constructor":2}') as JsonValue;
    expect(canonicalJson(input)).to.equal('{"__proto__":{"x":1},"b":1,"constructor":2}');
  });

  it('is what JSON.stringify writes for a literal in order', () => {
    const value = { a: [], b: {}, c: [1, 'x', null], d: { e: false } };
    expect(canonicalJson(value)).to.equal(JSON.stringify(value));
  });

  for (const [name, value] of [
    ['a number that is not finite', Number.NaN],
    ['a lone surrogate', '\ud800'],
    ['a name with a lone surrogate', { '\udc00': 1 }],
    ['undefined', { a: undefined }],
    ['a function', [() => 1]],
    ['a BigInt', 1n],
  ] as const) {
    it(`refuses ${name}`, () => {
      expect(() => canonicalJson(value as unknown as JsonValue)).to.throw(TypeError);
    });
  }

  it('takes a surrogate pair', () => {
    expect(canonicalJson('\ud83d\ude00')).to.equal('"😀"');
  });
});
