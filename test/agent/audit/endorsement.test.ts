import { generateKeyPairSync } from 'node:crypto';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { type Endorsement, endorse, verifyEndorsement } from '#lib/agent/audit/endorsement.js';
import { VerifierKey } from '#lib/agent/audit/note.js';
import { AGENT } from '../../support/audit.js';

const ORIGIN = 'example.org/agents/researcher/audit/0';
const INDEX = 7;

function keyNamed(name: string): VerifierKey {
  const { publicKey } = generateKeyPairSync('ed25519');
  return VerifierKey.of(name, publicKey.export({ format: 'der', type: 'spki' }));
}

describe('the endorsement of a log key', () => {
  const key = keyNamed(ORIGIN);
  const ca = TestCa.create('example.org', { intermediate: true });
  const svid = ca.issue(AGENT);
  const good = endorse(svid, { origin: ORIGIN, index: INDEX, key });

  for (const [keyType, algorithm] of [
    ['ec-p256', 'ECDSA-P256-SHA256'],
    ['ec-p384', 'ECDSA-P384-SHA384'],
    ['rsa-2048', 'RSASSA-PKCS1-SHA256'],
  ] as const) {
    it(`holds by an SVID of type ${keyType}, as ${algorithm}`, function () {
      this.timeout(30_000);
      const by = TestCa.create('example.org', { keyType }).issue(AGENT);
      const endorsement = endorse(by, { origin: ORIGIN, index: INDEX, key });
      expect(endorsement.algorithm).to.equal(algorithm);
      const verified = verifyEndorsement(JSON.parse(JSON.stringify(endorsement)), INDEX);
      expect(verified).to.include({ origin: ORIGIN, index: INDEX, id: AGENT });
    });
  }

  it('gives the whole chain and the key', () => {
    const verified = verifyEndorsement(good, INDEX);
    if (typeof verified === 'string') throw new Error(verified);
    expect(verified.key.text).to.equal(key.text);
    expect(verified.svid.map((der) => Buffer.from(der))).to.deep.equal(
      svid.certificates.map((der) => Buffer.from(der)),
    );
  });

  const MALFORMED = 'its origin, key, signature or SVID is malformed';
  const [leaf = '', ...rest] = good.svid;
  const BROKEN: readonly (readonly [string, unknown, string])[] = [
    ['nothing', undefined, 'it holds no endorsement'],
    ['a list', [good], 'it holds no endorsement'],
    ['no origin', { ...good, origin: undefined }, MALFORMED],
    ['an origin that is no text', { ...good, origin: 7 }, MALFORMED],
    ['no key', { ...good, key: undefined }, MALFORMED],
    ['a key that is none', { ...good, key: good.key.slice(0, -2) }, MALFORMED],
    ['no signature', { ...good, signature: 7 }, 'its signature is not by the key'],
    ['a signature in another alphabet', { ...good, signature: '_-__' }, MALFORMED],
    ['no SVID', { ...good, svid: undefined }, MALFORMED],
    ['an empty SVID', { ...good, svid: [] }, MALFORMED],
    ['an SVID that is no text', { ...good, svid: [7] }, MALFORMED],
    ['an SVID with more that is not base64', { ...good, svid: [leaf, '*'] }, MALFORMED],
    ['an SVID that is no certificate', { ...good, svid: ['AAAA'] }, 'its SVID cannot be used'],
    ['the SVID of a CA', { ...good, svid: rest }, 'its SVID cannot be used'],
    [
      'another algorithm',
      { ...good, algorithm: 'ECDSA-P384-SHA384' },
      'its algorithm is not the one',
    ],
    ['another origin', { ...good, origin: 'example.org/x' }, 'named otherwise than the log'],
    ['another key', { ...good, key: keyNamed(ORIGIN).text }, 'its signature is not by the key'],
    [
      'another SVID',
      {
        ...good,
        svid: [Buffer.from(ca.issue(AGENT).certificates[0] as Uint8Array).toString('base64')],
      },
      'its signature is not by the key',
    ],
  ];
  for (const [what, endorsement, says] of BROKEN) {
    it(`does not hold with ${what}`, () => {
      expect(verifyEndorsement(endorsement, INDEX)).to.be.a('string').and.to.include(says);
    });
  }

  it('does not hold at another place', () => {
    expect(verifyEndorsement(good, INDEX + 1)).to.include('its signature is not by the key');
  });

  it('does not hold for a key that is named otherwise, though the SVID signed that', () => {
    const other: Endorsement = endorse(svid, {
      origin: ORIGIN,
      index: INDEX,
      key: keyNamed('example.org/x'),
    });
    expect(verifyEndorsement(other, INDEX)).to.include('named otherwise than the log');
  });
});
