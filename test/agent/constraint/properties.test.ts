import { check, type JsonValue, oneOf, pathUnder, urlUnder } from 'agent-spiffe/agent';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { canonicalJson } from '#lib/internal/canonical-json.js';
import { freezeJson } from '#lib/internal/frozen-json.js';

const BASE = 'https://api.example.org/v1/files';
const PIECES = [
  'https:',
  'http:',
  '//',
  '/',
  '\\',
  '@',
  ':',
  ':443',
  ':8443',
  'api.example.org',
  'evil.example',
  'user',
  '?',
  '#',
  '..',
  '.',
  '%2e',
  '%2f',
  '%5c',
  '%00',
  '%25',
  ';',
  'v1',
  'files',
  'a',
  '\t',
  ' ',
  '\u3002',
  '\u00ad',
  'é',
  '127.1',
] as const;

/** Text put together of what parsers disagree about. */
const odd = (start: string): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...PIECES), { maxLength: 8 }).map((pieces) => start + pieces.join(''));

describe('constraints, of random input', () => {
  it('urlUnder takes nothing that a URL parser finds elsewhere, or finds a way out of', () => {
    let taken = 0;
    const under = urlUnder(BASE);
    fc.assert(
      fc.property(fc.oneof(odd(BASE), odd('https://api.example.org'), odd('')), (text) => {
        if (!check(under, text)) return;
        taken += 1;
        const url = new URL(text);
        expect(url.origin).to.equal('https://api.example.org');
        expect(url.username + url.password).to.equal('');
        expect(url.pathname === '/v1/files' || url.pathname.startsWith('/v1/files/')).to.equal(
          true,
        );
        let path = url.pathname;
        for (let i = 0; i < 4; i++) {
          expect(
            path.split(/[/\\]/).some((segment) => /^\.\.?(?:;|$)/.test(segment)),
            path,
          ).to.equal(false);
          path = path.replaceAll(/%(25|2e|2f|5c)/gi, (_all, hex: string) =>
            String.fromCharCode(Number.parseInt(hex, 16)),
          );
        }
      }),
      { numRuns: 5_000 },
    );
    expect(taken).to.be.greaterThan(100);
  });

  it('pathUnder takes nothing whose segments lead out', () => {
    let taken = 0;
    const under = pathUnder('/no-such-directory/data');
    fc.assert(
      fc.property(odd('/no-such-directory/data'), (path) => {
        if (!check(under, path)) return;
        taken += 1;
        expect(path).to.match(/^\/no-such-directory\/data(?:\/|$)/);
        expect(path.split('/').includes('..')).to.equal(false);
      }),
      { numRuns: 5_000 },
    );
    expect(taken).to.be.greaterThan(100);
  });

  it('canonical JSON is JSON, says the same, and does not depend on the order of members', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const json = JSON.parse(JSON.stringify(value)) as JsonValue;
        if (!JSON.stringify(json).isWellFormed() || JSON.stringify(json).includes('\\ud')) return;
        const text = canonicalJson(json);
        expect(JSON.parse(text)).to.deep.equal(json);
        expect(canonicalJson(reversed(json))).to.equal(text);
      }),
    );
  });

  it('a value is one of itself, however its members are ordered', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const json = JSON.parse(JSON.stringify(value)) as JsonValue;
        if (JSON.stringify(json).includes('"__proto__"')) return;
        expect(check(oneOf(json), reversed(json))).to.equal(true);
        expect(freezeJson(json)).to.deep.equal(json);
      }),
    );
  });
});

function reversed(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return (value as readonly JsonValue[]).map(reversed);
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([name, member]) => [name, reversed(member)]),
  );
}
