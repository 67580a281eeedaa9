import { expect } from 'chai';
import { quote } from '#lib/internal/quote.js';

const TABLE: readonly (readonly [value: unknown, shown: string])[] = [
  ['spiffe://td/a', '"spiffe://td/a"'],
  ['', '""'],
  ['a "b" \\ c', '"a \\"b\\" \\\\ c"'],
  ['é € 😀', '"é € 😀"'],
  // Nothing ends the line, steers a terminal or turns the text about it round.
  ['a\nb\r\tc', '"a\\nb\\r\\tc"'],
  ['\u0000\u001b[31m', '"\\u0000\\u001b[31m"'],
  ['\u007f\u009b31m', '"\\u{7f}\\u{9b}31m"'],
  ['a\u2028b\u2029c', '"a\\u{2028}b\\u{2029}c"'],
  ['\u202eevil', '"\\u{202e}evil"'],
  ['\ufeffa\u200b', '"\\u{feff}a\\u{200b}"'],
  ['\ud800', '"\\ud800"'],
  // Other values are named by their kind alone: what they hold may be a secret.
  [undefined, 'a value of type undefined'],
  [null, 'null'],
  [5, 'a value of type number'],
  [{ key: 'secret' }, 'a value of type object'],
  [Symbol('s'), 'a value of type symbol'],
  [['secret'], 'a value of type object'],
];

describe('quote', () => {
  for (const [value, shown] of TABLE) {
    it(`shows ${shown}`, () => {
      expect(quote(value)).to.equal(shown);
    });
  }

  it('cuts at 200 characters', () => {
    expect(quote('a'.repeat(200))).to.equal(`"${'a'.repeat(200)}"`);
    expect(quote('a'.repeat(201))).to.equal(`"${'a'.repeat(200)}…"`);
    expect(quote('a'.repeat(1e6))).to.have.lengthOf(203);
  });

  it('leaves no half of a character where it cuts', () => {
    expect(quote(`${'a'.repeat(199)}😀`)).to.equal(`"${'a'.repeat(199)}\\ud83d…"`);
  });
});
