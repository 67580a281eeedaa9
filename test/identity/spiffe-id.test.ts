import { inspect } from 'node:util';
import { SpiffeId, TrustDomain } from 'agent-spiffe';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { refusal } from '../support/refusal.js';

/** [requirement, refused, what the message says, its twin that passes]. */
type Row = readonly [requirement: string, refused: string, says: string, twin: string];

const domain255 = 'd'.repeat(255);
const idOf = (bytes: number): string => `spiffe://td/${'p'.repeat(bytes - 'spiffe://td/'.length)}`;

const TABLE: readonly Row[] = [
  // Scheme and shape
  ['ID-01', '', 'empty', 'spiffe://td'],
  ['ID-01', 'td/a', 'begin with spiffe://', 'spiffe://td/a'],
  ['ID-01', 'spiffe:td/a', 'begin with spiffe://', 'spiffe://td/a'],
  ['ID-01', 'spiffe:/td/a', 'begin with spiffe://', 'spiffe://td/a'],
  ['ID-01', '//td/a', 'begin with spiffe://', 'spiffe://td/a'],
  ['ID-01', 'https://td/a', 'begin with spiffe://', 'spiffe://td/a'],
  ['ID-01', 'spiffes://td/a', 'begin with spiffe://', 'spiffe://td/a'],
  ['ID-01', ' spiffe://td/a', 'begin with spiffe://', 'spiffe://td/a'],
  ['ID-01', '\ufeffspiffe://td/a', 'begin with spiffe://', 'spiffe://td/a'],
  ['ID-01', 'spiffe:\\\\td\\a', 'begin with spiffe://', 'spiffe://td/a'],
  ['ID-01', 'spiffe://', 'trust domain is missing', 'spiffe://t'],
  ['ID-01', 'spiffe:///a', 'trust domain is missing', 'spiffe://t/a'],
  ['ID-01, A-01', 'SPIFFE://td/a', 'lower case', 'spiffe://td/a'],
  ['ID-01, A-01', 'Spiffe://td/a', 'lower case', 'spiffe://td/a'],
  // Query and fragment
  ['ID-02', 'spiffe://td/a?b=c', 'query or fragment', 'spiffe://td/a/b-c'],
  ['ID-02', 'spiffe://td/a?', 'query or fragment', 'spiffe://td/a'],
  ['ID-02', 'spiffe://td/a#b', 'query or fragment', 'spiffe://td/a/b'],
  ['ID-02', 'spiffe://td/a#', 'query or fragment', 'spiffe://td/a'],
  ['ID-02', 'spiffe://td?', 'query or fragment', 'spiffe://td'],
  ['ID-02', 'spiffe://td#', 'query or fragment', 'spiffe://td'],
  // The authority is a host and nothing else
  ['ID-03', 'spiffe://user@td/a', 'user info and port', 'spiffe://user.td/a'],
  ['ID-03', 'spiffe://@td/a', 'user info and port', 'spiffe://td/a'],
  ['ID-03', 'spiffe://td:8443/a', 'user info and port', 'spiffe://td.8443/a'],
  ['ID-03', 'spiffe://td:/a', 'user info and port', 'spiffe://td/a'],
  ['ID-03', 'spiffe://td:', 'user info and port', 'spiffe://td'],
  ['ID-04', 'spiffe://Td/a', 'lower case', 'spiffe://td/a'],
  ['ID-04', 'spiffe://tD', 'lower case', 'spiffe://td'],
  ['ID-05', 'spiffe://t d/a', 'only a-z 0-9 . - _', 'spiffe://t-d/a'],
  ['ID-05', 'spiffe://t~d/a', 'only a-z 0-9 . - _', 'spiffe://t_d/a'],
  ['ID-05', 'spiffe://t*d/a', 'only a-z 0-9 . - _', 'spiffe://t.d/a'],
  ['ID-05', 'spiffe://t,d/a', 'only a-z 0-9 . - _', 'spiffe://td/a'],
  ['ID-05', 'spiffe://t\\d/a', 'only a-z 0-9 . - _', 'spiffe://td/a'],
  ['ID-05', 'spiffe://t\u0000d/a', 'only a-z 0-9 . - _', 'spiffe://td/a'],
  ['ID-05', 'spiffe://t\td/a', 'only a-z 0-9 . - _', 'spiffe://td/a'],
  ['ID-05', 'spiffe://münchen/a', 'only a-z 0-9 . - _', 'spiffe://xn--mnchen-3ya/a'],
  // U+212A, the Kelvin sign, is a k to a case-insensitive pattern; U+0131 is a dotless i.
  ['ID-05', 'spiffe://\u212aelvin/a', 'only a-z 0-9 . - _', 'spiffe://kelvin/a'],
  ['ID-05', 'spiffe://\u0131d/a', 'only a-z 0-9 . - _', 'spiffe://id/a'],
  ['ID-05', 'spiffe://td\n', 'only a-z 0-9 . - _', 'spiffe://td'],
  ['ID-06', 'spiffe://%74d/a', 'only a-z 0-9 . - _', 'spiffe://td/a'],
  ['ID-06', 'spiffe://td%2e/a', 'only a-z 0-9 . - _', 'spiffe://td./a'],
  ['ID-08', 'spiffe://[::1]/a', 'IPv6', 'spiffe://127.0.0.1/a'],
  ['ID-08', 'spiffe://[::1]', 'IPv6', 'spiffe://127.1'],
  // The path
  ['ID-09', 'spiffe://td/%61', 'percent-encoding', 'spiffe://td/a'],
  ['ID-09', 'spiffe://td/a%2fb', 'percent-encoding', 'spiffe://td/a/b'],
  ['ID-09', 'spiffe://td/%2e%2e/a', 'percent-encoding', 'spiffe://td/.../a'],
  ['ID-09', 'spiffe://td/a%', 'percent-encoding', 'spiffe://td/a'],
  ['ID-10', 'spiffe://td//a', 'may not be empty', 'spiffe://td/a'],
  ['ID-10', 'spiffe://td/a//b', 'may not be empty', 'spiffe://td/a/b'],
  ['ID-10', 'spiffe://td/.', 'may not be . or ..', 'spiffe://td/...'],
  ['ID-10', 'spiffe://td/..', 'may not be . or ..', 'spiffe://td/..a'],
  ['ID-10', 'spiffe://td/./a', 'may not be . or ..', 'spiffe://td/.a'],
  ['ID-10', 'spiffe://td/a/../b', 'may not be . or ..', 'spiffe://td/a/..b'],
  ['ID-10', 'spiffe://td/a/.', 'may not be . or ..', 'spiffe://td/a/a.'],
  ['ID-10', 'spiffe://td/a/b/..', 'may not be . or ..', 'spiffe://td/a/b/b..'],
  ['ID-11', 'spiffe://td/', 'trailing slash', 'spiffe://td'],
  ['ID-11', 'spiffe://td/a/', 'trailing slash', 'spiffe://td/a'],
  ['ID-11', 'spiffe://td//', 'trailing slash', 'spiffe://td/-'],
  ['ID-12', 'spiffe://td/a b', 'in a segment', 'spiffe://td/a_b'],
  ['ID-12', 'spiffe://td/a\n', 'in a segment', 'spiffe://td/a'],
  ['ID-12', 'spiffe://td/a\nspiffe://td/b', 'in a segment', 'spiffe://td/a-spiffe/td/b'],
  ['ID-12', 'spiffe://td/a:b', 'in a segment', 'spiffe://td/a.b'],
  ['ID-12', 'spiffe://td/a@b', 'in a segment', 'spiffe://td/a-b'],
  ['ID-12', 'spiffe://td/~a', 'in a segment', 'spiffe://td/_a'],
  ['ID-12', 'spiffe://td/a;b', 'in a segment', 'spiffe://td/ab'],
  ['ID-12', 'spiffe://td/a\\b', 'in a segment', 'spiffe://td/a/b'],
  ['ID-12', 'spiffe://td/é', 'in a segment', 'spiffe://td/e'],
  ['ID-12', 'spiffe://td/a\u200b', 'in a segment', 'spiffe://td/a'],
  ['ID-12', 'spiffe://td/a, URI:spiffe://td/b', 'in a segment', 'spiffe://td/a/URI/spiffe/td/b'],
  ['ID-12', 'spiffe://td/*', 'in a segment', 'spiffe://td/-'],
  // Limits
  ['ID-11', `${idOf(2047)}/`, 'trailing slash', idOf(2047)],
  ['ID-05', `spiffe://${domain255.slice(1)}~/a`, 'only a-z 0-9 . - _', `spiffe://${domain255}/a`],
  ['ID-15, ID-16, A-02', idOf(2049), '2048', idOf(2048)],
  ['ID-15, A-02', `spiffe://td${'/a'.repeat(1019)}`, '2048', `spiffe://td${'/a'.repeat(1018)}`],
  ['ID-17', `spiffe://${domain255}d/a`, '255', `spiffe://${domain255}/a`],
  ['ID-17', `spiffe://${domain255}d`, '255', `spiffe://${domain255}`],
];

/** Accepted, and nothing is close to it that would not be. */
const ACCEPTED: readonly (readonly [requirement: string, text: string])[] = [
  ['ID-07', 'spiffe://192.0.2.1/a'],
  ['ID-07', 'spiffe://999.999.999.999/a'],
  ['ID-07', 'spiffe://localhost/a'],
  ['ID-08', 'spiffe://_x/a'],
  ['ID-08', 'spiffe://-a-/a'],
  ['ID-08', 'spiffe://a..b/a'],
  ['ID-08', 'spiffe://.a/a'],
  ['ID-08', 'spiffe://a./a'],
  ['ID-08', 'spiffe://./a'],
  ['ID-08', 'spiffe://../a'],
  ['ID-08', `spiffe://${'l'.repeat(64)}.org/a`],
  ['ID-12', 'spiffe://td/-'],
  ['ID-12', 'spiffe://td/_'],
  ['ID-12', 'spiffe://td/A.b-C_9'],
  ['ID-13', 'spiffe://td/9eebccd2-12bf-40a6-b262-65fe0487d453'],
  ['ID-13', 'spiffe://td/ns/prod/sa/web'],
  ['ID-14', 'spiffe://td'],
  ['ID-05', 'spiffe://__proto__/constructor'],
];

const NOT_TEXT: readonly unknown[] = [
  undefined,
  null,
  5,
  true,
  {},
  [],
  ['spiffe://td/a'],
  new String('spiffe://td/a'),
  new URL('spiffe://td/a'),
  { toString: () => 'spiffe://td/a' },
  Buffer.from('spiffe://td/a'),
];

const parse = (text: unknown): SpiffeId => SpiffeId.parse(text as string);
const below = (segment: unknown): SpiffeId => SpiffeId.of('td', 'first', segment as string);

const consists = (part: string, of: string): boolean =>
  part.length > 0 && part.split('').every((letter) => of.includes(letter));

/** The grammar of SPIFFE-ID §2 written a second time, letter by letter. */
function isLegal(text: string): boolean {
  const scheme = 'spiffe://';
  if (text.length > 2048 || text.slice(0, scheme.length) !== scheme) return false;
  const [name = '', ...segments] = text.slice(scheme.length).split('/');
  const small = 'abcdefghijklmnopqrstuvwxyz0123456789.-_';
  const all = `${small}ABCDEFGHIJKLMNOPQRSTUVWXYZ`;
  if (!consists(name, small) || name.length > 255) return false;
  return segments.every((s) => consists(s, all) && s !== '.' && s !== '..');
}

const letters = (alphabet: string, max: number) =>
  fc.string({ unit: fc.constantFrom(...alphabet.split('')), minLength: 1, maxLength: max });
const anyName = letters('abz09.-_', 12);
const anySegment = letters('abzABZ09.-_', 8).filter((s) => s !== '.' && s !== '..');
const anyId = fc
  .tuple(anyName, fc.array(anySegment, { maxLength: 4 }))
  .map(([name, segments]) => [`spiffe://${name}`, ...segments].join('/'));
const anyLetter = fc.oneof(
  fc.constantFrom(...'/.%?#@:[]*~ \n\t\0\\SpiffeA'.split('')),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
);

describe('SpiffeId', () => {
  describe('parse', () => {
    for (const [requirement, refused, says, twin] of TABLE) {
      const shown =
        refused.length > 60 ? `an ID of ${refused.length} bytes` : JSON.stringify(refused);
      it(`refuses ${shown} and takes its twin (${requirement})`, () => {
        const error = refusal('ERR_SPIFFE_ID_INVALID', says, () => SpiffeId.parse(refused));
        expect(error.message).to.match(/^cannot parse "/);
        expect(SpiffeId.parse(twin).toString()).to.equal(twin);
      });
    }

    for (const [requirement, text] of ACCEPTED) {
      it(`takes ${JSON.stringify(text.slice(0, 60))} as it stands (${requirement})`, () => {
        expect(SpiffeId.parse(text).toString()).to.equal(text);
      });
    }

    for (const value of NOT_TEXT) {
      it(`refuses ${inspect(value, { compact: true, breakLength: Infinity }).slice(0, 40)}, which is not text`, () => {
        refusal('ERR_SPIFFE_ID_INVALID', 'it is not a string', () => parse(value));
      });
    }

    it('splits an ID into trust domain and path', () => {
      const id = SpiffeId.parse('spiffe://example.org/ns/prod');
      expect(id.trustDomain.name).to.equal('example.org');
      expect(id.path).to.equal('/ns/prod');
      expect(SpiffeId.parse('spiffe://example.org').path).to.equal('');
    });

    it('shows a long text cut short', () => {
      const error = refusal('ERR_SPIFFE_ID_INVALID', '2048', () => SpiffeId.parse('x'.repeat(1e6)));
      expect(error.message.length).to.be.below(400);
    });

    it('takes time in proportion to the length, whatever the text', () => {
      for (const text of [`spiffe://td${'/a'.repeat(1e6)}`, `spiffe://${'.'.repeat(1e6)}`]) {
        const start = performance.now();
        refusal('ERR_SPIFFE_ID_INVALID', '2048', () => SpiffeId.parse(text));
        expect(performance.now() - start).to.be.below(1000);
      }
    });

    it('agrees with the grammar of SPIFFE-ID 2 on any text', () => {
      const texts = fc.oneof(
        fc.string({ unit: 'binary', maxLength: 30 }),
        fc.string({ unit: 'binary', maxLength: 30 }).map((rest) => `spiffe://${rest}`),
        // One letter put into, or in place of one of, an ID that is legal.
        fc.tuple(anyId, anyLetter, fc.nat(), fc.boolean()).map(([id, letter, at, replace]) => {
          const place = at % (id.length + 1);
          return id.slice(0, place) + letter + id.slice(place + (replace ? 1 : 0));
        }),
      );
      fc.assert(
        fc.property(texts, (text) => {
          if (isLegal(text)) expect(SpiffeId.parse(text).toString()).to.equal(text);
          else refusal('ERR_SPIFFE_ID_INVALID', 'cannot parse', () => SpiffeId.parse(text));
        }),
        { numRuns: 2000 },
      );
    });
  });

  describe('of', () => {
    it('gives the ID of the segments, which parses to itself (ID-16)', () => {
      fc.assert(
        fc.property(anyName, fc.array(anySegment, { maxLength: 4 }), (name, segments) => {
          const id = SpiffeId.of(name, ...segments);
          expect(id.toString()).to.equal([`spiffe://${name}`, ...segments].join('/'));
          expect(SpiffeId.parse(id.toString()).equals(id)).to.equal(true);
        }),
        { numRuns: 300 },
      );
    });

    it('takes a trust domain as it takes its name', () => {
      const domain = TrustDomain.parse('td');
      expect(SpiffeId.of(domain, 'a').equals(SpiffeId.of('td', 'a'))).to.equal(true);
    });

    it("gives the trust domain's own ID without segments (ID-14)", () => {
      expect(SpiffeId.of('td').toString()).to.equal('spiffe://td');
    });

    const segments: readonly (readonly [
      requirement: string,
      refused: unknown,
      says: string,
      twin: string,
    ])[] = [
      ['ID-10', '', 'may not be empty', 'a'],
      ['ID-10', '.', 'may not be . or ..', '.a'],
      ['ID-10', '..', 'may not be . or ..', '...'],
      ['ID-09', '%61', 'percent-encoding', 'a'],
      ['ID-12', 'a/b', 'in a segment', 'a-b'],
      ['ID-12', '/', 'in a segment', '-'],
      ['ID-12', 'a\n', 'in a segment', 'a'],
      ['ID-12', 'a b', 'in a segment', 'a_b'],
      ['ID-02', 'a?', 'in a segment', 'a'],
      ['ID-02', 'a#', 'in a segment', 'a'],
      ['ID-12', undefined, 'not a string', 'undefined'],
      ['ID-12', 5, 'not a string', '5'],
      ['ID-12', ['a'], 'not a string', 'a'],
      ['ID-12', { toString: () => 'a' }, 'not a string', 'a'],
    ];
    for (const [requirement, refused, says, twin] of segments) {
      it(`refuses the segment ${inspect(refused)} and takes its twin (${requirement})`, () => {
        const error = refusal('ERR_SPIFFE_ID_INVALID', says, () => below(refused));
        expect(error.message).to.match(/^cannot build /);
        expect(below(twin).path).to.equal(`/first/${twin}`);
      });
    }

    it('builds 2048 bytes and refuses 2049 (ID-15, ID-16)', () => {
      const longest = 'p'.repeat(2048 - 'spiffe://td/'.length);
      expect(SpiffeId.of('td', longest).toString()).to.have.lengthOf(2048);
      refusal('ERR_SPIFFE_ID_INVALID', '2048', () => SpiffeId.of('td', `${longest}p`));
      refusal('ERR_SPIFFE_ID_INVALID', '2048', () => SpiffeId.of('td', 'a', longest.slice(1)));
    });

    for (const name of ['', 'TD', 'spiffe://td', 'td/a', undefined, null]) {
      it(`refuses the trust domain ${inspect(name)}`, () => {
        refusal('ERR_SPIFFE_TRUST_DOMAIN_INVALID', 'cannot take', () =>
          SpiffeId.of(name as string, 'a'),
        );
      });
    }
  });

  describe('comparison', () => {
    const id = SpiffeId.parse('spiffe://td/a/b');

    it('is equal exactly when the texts are', () => {
      expect(id.equals(SpiffeId.of('td', 'a', 'b'))).to.equal(true);
    });

    for (const other of ['spiffe://td/a', 'spiffe://td/a/b/c', 'spiffe://td', 'spiffe://te/a/b']) {
      it(`is not equal to ${other}`, () => {
        expect(id.equals(SpiffeId.parse(other))).to.equal(false);
      });
    }

    it('tells upper from lower case in a path (ID-18)', () => {
      expect(id.equals(SpiffeId.parse('spiffe://td/A/b'))).to.equal(false);
    });

    it('knows its trust domain, given as such or by name', () => {
      expect(id.memberOf(TrustDomain.parse('td'))).to.equal(true);
      expect(id.memberOf('td')).to.equal(true);
      expect(id.memberOf(TrustDomain.parse('td.'))).to.equal(false);
      expect(id.memberOf('spiffe://td')).to.equal(false);
      expect(id.memberOf('t')).to.equal(false);
    });
  });

  it('cannot be changed', () => {
    const id = SpiffeId.parse('spiffe://td/a');
    expect(() => Object.assign(id, { path: '/admin' })).to.throw(TypeError);
    expect(() => Object.assign(id.trustDomain, { name: 'other' })).to.throw(TypeError);
    expect(id.toString()).to.equal('spiffe://td/a');
  });

  it('is its text in JSON', () => {
    expect(JSON.stringify({ id: SpiffeId.parse('spiffe://td/a') })).to.equal(
      '{"id":"spiffe://td/a"}',
    );
  });
});
