import { inspect } from 'node:util';
import { TrustDomain } from 'agent-spiffe';
import { expect } from 'chai';
import { refusal } from '../support/refusal.js';

const TABLE: readonly (readonly [
  requirement: string,
  refused: unknown,
  says: string,
  twin: string,
])[] = [
  ['ID-01', '', 'empty', 'a'],
  ['ID-04', 'Example.org', 'upper case', 'example.org'],
  ['ID-04', 'example.orG', 'upper case', 'example.org'],
  ['ID-05', 'example org', 'only a-z 0-9 . - _', 'example_org'],
  ['ID-05', 'example.org\n', 'only a-z 0-9 . - _', 'example.org'],
  ['ID-05', '\u212a', 'only a-z 0-9 . - _', 'k'],
  ['ID-05', 'a/b', 'only a-z 0-9 . - _', 'a.b'],
  ['ID-03', 'a:1', 'only a-z 0-9 . - _', 'a-1'],
  ['ID-03', 'a@b', 'only a-z 0-9 . - _', 'a-b'],
  ['ID-06', '%61', 'only a-z 0-9 . - _', 'a'],
  ['ID-08', '[::1]', 'only a-z 0-9 . - _', '127.0.0.1'],
  ['ID-01', 'spiffe://example.org', 'without spiffe://', 'example.org'],
  ['ID-17', 'd'.repeat(256), '255', 'd'.repeat(255)],
  ['ID-05', `${'d'.repeat(254)}~`, 'only a-z 0-9 . - _', `${'d'.repeat(254)}-`],
  ['ID-01', undefined, 'not a string', 'undefined'],
  ['ID-01', null, 'not a string', 'null'],
  ['ID-01', 7, 'not a string', '7'],
  ['ID-01', { name: 'example.org' }, 'not a string', 'example.org'],
  ['ID-01', new String('example.org'), 'not a string', 'example.org'],
];

describe('TrustDomain', () => {
  for (const [requirement, refused, says, twin] of TABLE) {
    it(`refuses ${inspect(refused).slice(0, 40)} and takes its twin (${requirement})`, () => {
      refusal('ERR_SPIFFE_TRUST_DOMAIN_INVALID', says, () => TrustDomain.parse(refused as string));
      expect(TrustDomain.parse(twin).name).to.equal(twin);
    });
  }

  for (const name of ['__proto__', 'constructor', '-', '_', '.', 'a..b', '10.0.0.1', '0']) {
    it(`takes ${name}, whatever it looks like (ID-07, ID-08)`, () => {
      const domain = TrustDomain.parse(name);
      expect(domain.name).to.equal(name);
      expect(domain.idString).to.equal(`spiffe://${name}`);
    });
  }

  it('takes one that is parsed already as it is', () => {
    const domain = TrustDomain.parse('td');
    expect(TrustDomain.parse(domain)).to.equal(domain);
  });

  it('is equal exactly when the names are', () => {
    const domain = TrustDomain.parse('td');
    expect(domain.equals(TrustDomain.parse('td'))).to.equal(true);
    expect(domain.equals(TrustDomain.parse('td.'))).to.equal(false);
    expect(domain.equals(TrustDomain.parse('sub.td'))).to.equal(false);
  });

  it('is its name as text and in JSON', () => {
    const domain = TrustDomain.parse('td');
    expect(domain.toString()).to.equal('td');
    expect(JSON.stringify([domain])).to.equal('["td"]');
  });

  it('cannot be changed', () => {
    const domain = TrustDomain.parse('td');
    expect(() => Object.assign(domain, { name: 'other' })).to.throw(TypeError);
  });
});
