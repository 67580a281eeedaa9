import { createPublicKey } from 'node:crypto';
import { expect } from 'chai';
import type { Authority } from '#lib/testing/authority.js';
import { distinguishedName } from '#lib/testing/certificate.js';
import { element, objectIdentifier, sequence, set as setOf, utf8String } from '#lib/testing/der.js';
import {
  authorityKeyIdentifier,
  basicConstraints,
  extKeyUsage,
  keyUsage,
  subjectAltName,
  uriNameConstraints,
} from '#lib/testing/extensions.js';
import { makeKey } from '#lib/testing/keys.js';
import {
  authority,
  type Case,
  type Change,
  DAY_MS,
  drop,
  judgeRows,
  leaf,
  MIDDLE,
  NOW,
  put,
  ROOT,
  type Row,
  set,
  verify,
} from '../../support/chain.js';
import { below, crossSign, line, lineOf, namesake } from '../../support/lineage.js';
import { refusal } from '../../support/refusal.js';

const later = (ms: number): Date => new Date(NOW.getTime() + ms);
const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const AUTHORITY_KEY_ID = '2.5.29.35';

const pathLength = (length: number): Change =>
  put(basicConstraints({ ca: true, pathLength: length }));

const expiredLeaf = { notBefore: later(-2 * DAY_MS), notAfter: later(-1000) };
const good = (): Case => ({ chain: [leaf()] });
const goodBelow = (): Case => ({ chain: [leaf(MIDDLE), MIDDLE.certificate] });

const flip = (bytes: Uint8Array, at: number): Uint8Array =>
  Uint8Array.from(bytes).with(at < 0 ? bytes.length + at : at, (bytes.at(at) ?? 0) ^ 1);

const UNTRUSTED = 'ERR_SPIFFE_X509_UNTRUSTED';
const noName = 'has the name of its issuer';

const TRUST: readonly Row[] = [
  {
    requirement: 'X509-27',
    what: 'a leaf whose intermediate is missing',
    code: UNTRUSTED,
    says: noName,
    bad: () => ({ chain: [leaf(MIDDLE)] }),
    twin: goodBelow,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'an intermediate of another name',
    code: UNTRUSTED,
    says: noName,
    bad: () => ({ chain: [leaf(MIDDLE), authority({ issuer: ROOT }).certificate] }),
    twin: goodBelow,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'an issuer name that differs in one letter',
    code: UNTRUSTED,
    says: noName,
    bad: () => {
      const name = Buffer.from(ROOT.name);
      const at = name.indexOf('authority');
      return { chain: [leaf({ ...ROOT, name: flip(name, at) })] };
    },
    twin: good,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-30',
    what: 'a root that is sent along but is not in the bundle',
    code: UNTRUSTED,
    says: noName,
    bad: () => {
      const own = authority();
      return { chain: [leaf(own), own.certificate] };
    },
    twin: () => ({ chain: [leaf(), ROOT.certificate] }),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-30',
    what: 'a chain up to a root that is not in the bundle',
    code: UNTRUSTED,
    says: noName,
    bad: () => ({ chain: [leaf(MIDDLE), MIDDLE.certificate], anchors: [authority().certificate] }),
    twin: goodBelow,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-30, X509-37',
    what: 'a bundle without authorities',
    code: UNTRUSTED,
    says: 'none of the 0 authorities',
    bad: () => ({ chain: [leaf()], anchors: [] }),
    twin: good,
  },
  {
    requirement: 'X509-05, X509-30',
    what: 'a self-signed leaf',
    code: UNTRUSTED,
    says: noName,
    bad: () => {
      const name = distinguishedName({ commonName: 'self' });
      const key = makeKey('ec-p256');
      return {
        chain: [
          leaf(
            ROOT,
            set({ subject: name, issuer: name, publicKey: createPublicKey(key), signingKey: key }),
          ),
        ],
      };
    },
    twin: good,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-05, X509-10',
    what: 'a self-signed leaf that stands in the bundle',
    code: UNTRUSTED,
    says: 'is not a CA',
    bad: () => {
      const name = distinguishedName({ commonName: 'self' });
      const key = makeKey('ec-p256');
      const self = leaf(
        ROOT,
        set({ subject: name, issuer: name, publicKey: createPublicKey(key), signingKey: key }),
      );
      return { chain: [self], anchors: [self] };
    },
    twin: good,
  },
  {
    requirement: 'X509-05, X509-30',
    what: 'a leaf that stands in the bundle without its authority',
    code: UNTRUSTED,
    says: noName,
    bad: () => {
      const one = leaf();
      return { chain: [one], anchors: [one] };
    },
    twin: () => {
      const one = leaf();
      return { chain: [one], anchors: [one, ROOT.certificate] };
    },
    openssl: 'accepts',
  },
  {
    requirement: 'X509-27',
    what: 'a loop of two authorities that certify each other',
    code: UNTRUSTED,
    says: noName,
    bad: () => {
      const a = authority();
      const b = authority();
      return { chain: [leaf(a), crossSign(a, b).certificate, crossSign(b, a).certificate] };
    },
    twin: () => {
      const a = authority();
      const b = authority();
      return {
        chain: [leaf(a), crossSign(a, b).certificate, crossSign(b, a).certificate],
        anchors: [b.certificate],
      };
    },
    openssl: 'refuses',
  },
];

const ACCEPTED: readonly (readonly [requirement: string, what: string, one: () => Case])[] = [
  ['X509-27', 'intermediates in their order', () => lineOf(line(3))],
  [
    'X509-27',
    'intermediates in the opposite order',
    () => {
      const { chain } = lineOf(line(4));
      return { chain: [chain[0] as Uint8Array, ...chain.slice(1).toReversed()] };
    },
  ],
  [
    'X509-27',
    'intermediates mixed with what is not needed',
    () => {
      const [first = leaf(), ...rest] = lineOf(line(3)).chain;
      return {
        chain: [
          first,
          MIDDLE.certificate,
          ...rest.toReversed(),
          authority().certificate,
          ROOT.certificate,
        ],
      };
    },
  ],
  [
    'X509-27',
    'the same intermediate many times over',
    () => ({ chain: [leaf(MIDDLE), ...Array.from({ length: 15 }, () => MIDDLE.certificate)] }),
  ],
  [
    'X509-27',
    'the root sent along',
    () => ({ chain: [leaf(MIDDLE), MIDDLE.certificate, ROOT.certificate] }),
  ],
  ['X509-27', 'sixteen certificates', () => lineOf(line(15))],
  [
    'X509-27',
    'two roots of one name, the right one last',
    () => ({ chain: [leaf()], anchors: [namesake(ROOT).certificate, ROOT.certificate] }),
  ],
  [
    'X509-27',
    'two roots of one name, the right one first',
    () => ({ chain: [leaf()], anchors: [ROOT.certificate, namesake(ROOT).certificate] }),
  ],
  [
    'X509-27',
    'two roots of one name, and a leaf that does not say which',
    () => ({
      chain: [leaf(ROOT, drop(AUTHORITY_KEY_ID))],
      anchors: [namesake(ROOT).certificate, ROOT.certificate],
    }),
  ],
  [
    'X509-27',
    'two roots of one name, and a leaf that names the wrong one',
    () => {
      const wrong = namesake(ROOT);
      return {
        chain: [leaf(ROOT, put(authorityKeyIdentifier(wrong.keyId)))],
        anchors: [wrong.certificate, ROOT.certificate],
      };
    },
  ],
  [
    'X509-27',
    'a root, and a namesake that is not valid',
    () => ({
      chain: [leaf(ROOT, drop(AUTHORITY_KEY_ID))],
      anchors: [
        namesake(ROOT, set(expiredLeaf)).certificate,
        ROOT.certificate,
        namesake(ROOT, drop(BASIC_CONSTRAINTS)).certificate,
      ],
    }),
  ],
  [
    'X509-27',
    'an authority key id that nobody has',
    () => ({ chain: [leaf(ROOT, put(authorityKeyIdentifier(Buffer.from('nobody'))))] }),
  ],
  [
    'X509-27',
    '[leaf, same-name wrong CA, right CA]',
    () => ({ chain: [leaf(MIDDLE), namesake(MIDDLE).certificate, MIDDLE.certificate] }),
  ],
  [
    'X509-27',
    '[leaf, right CA, same-name wrong CA]',
    () => ({ chain: [leaf(MIDDLE), MIDDLE.certificate, namesake(MIDDLE).certificate] }),
  ],
  [
    'X509-27',
    '[leaf, a CA of the right name and key below a root that is unknown, right CA]',
    () => ({
      chain: [leaf(MIDDLE), crossSign(MIDDLE, authority()).certificate, MIDDLE.certificate],
    }),
  ],
  [
    'X509-27, ID-22',
    'an authority that another has cross-signed',
    () => {
      const old = authority();
      const young = authority();
      return {
        chain: [leaf(young), crossSign(young, old).certificate],
        anchors: [old.certificate],
      };
    },
  ],
  [
    'X509-27, ID-22',
    'a cross-signed authority that is in the bundle itself',
    () => {
      const old = authority();
      const young = authority();
      return {
        chain: [leaf(young), crossSign(young, old).certificate],
        anchors: [young.certificate],
      };
    },
  ],
  [
    'X509-27',
    'two ways up, the first through an expired cross-certificate',
    () => {
      const old = authority();
      const young = authority();
      return {
        chain: [
          leaf(young),
          crossSign(young, old, set(expiredLeaf)).certificate,
          crossSign(young, old).certificate,
        ],
        anchors: [old.certificate],
      };
    },
  ],
  [
    'X509-27',
    'a way out of a loop',
    () => {
      const a = authority();
      const b = authority();
      return {
        chain: [
          leaf(a),
          crossSign(a, b).certificate,
          crossSign(b, a).certificate,
          crossSign(b, ROOT).certificate,
        ],
      };
    },
  ],
  [
    'X509-27',
    'a renewed root: one name and key, two certificates',
    () => {
      const renewed = crossSign(ROOT, ROOT);
      return { chain: [leaf(), ROOT.certificate], anchors: [renewed.certificate] };
    },
  ],
  [
    'X509-34',
    'an anchor that is not self-signed',
    () => ({ chain: [leaf(MIDDLE)], anchors: [MIDDLE.certificate] }),
  ],
  [
    'X509-34',
    'an anchor that is not self-signed and is sent along',
    () => ({ chain: [leaf(MIDDLE), MIDDLE.certificate], anchors: [MIDDLE.certificate] }),
  ],
  [
    'X509-34',
    'an intermediate below an anchor that is not self-signed',
    () => {
      const low = authority({ issuer: MIDDLE });
      return { chain: [leaf(low), low.certificate], anchors: [MIDDLE.certificate] };
    },
  ],
  ['X509-11, X509-14, A-08', 'an intermediate without a SPIFFE ID', () => below(drop('2.5.29.17'))],
  [
    'X509-13, X509-14, A-08',
    'an intermediate of another trust domain',
    () => below(put(subjectAltName({ uris: ['spiffe://other.org'] }))),
  ],
  [
    'X509-12, A-08',
    'an intermediate whose ID has a path',
    () => below(put(subjectAltName({ uris: ['spiffe://example.org/ca'] }))),
  ],
  [
    'X509-12, A-08',
    'an intermediate whose URI is no SPIFFE ID',
    () => below(put(subjectAltName({ uris: ['spiffe://example.org/'] }))),
  ],
  [
    'X509-12, A-29',
    'an intermediate with two URIs',
    () => below(put(subjectAltName({ uris: ['spiffe://example.org', 'https://example.org'] }))),
  ],
  [
    'X509-21',
    'an intermediate that may sign certificates but no CRLs',
    () => below(put(keyUsage(['keyCertSign']))),
  ],
  [
    'X509-27',
    'an intermediate without key usage (RFC 5280 6.1.4 (n))',
    () => below(drop(KEY_USAGE)),
  ],
  [
    'X509-26',
    'an intermediate with extended key usage of any kind',
    () => below(put(extKeyUsage(['1.3.6.1.5.5.7.3.3'], { critical: true }))),
  ],
  [
    'X509-16',
    'a path as long as pathLen allows',
    () => {
      const top = authority({ issuer: ROOT }, pathLength(2));
      const mid = authority({ issuer: top }, pathLength(1));
      const low = authority({ issuer: mid }, pathLength(0));
      return { chain: [leaf(low), low.certificate, mid.certificate, top.certificate] };
    },
  ],
  [
    'X509-18, X509-19, A-31',
    'name constraints that are not critical, which are not evaluated',
    () => below(put(uriNameConstraints({ excluded: ['example.org'] }, { critical: false }))),
  ],
];

const named = (tag: number): Uint8Array =>
  sequence(setOf(sequence(objectIdentifier('2.5.4.3'), element(tag, Buffer.from('root')))));

describe('the path from a leaf to an authority', () => {
  judgeRows(TRUST);

  describe('may have', () => {
    for (const [requirement, what, build] of ACCEPTED) {
      it(`${what} (${requirement})`, () => {
        const one = build();
        const { chain } = verify(one);
        // The path returned is one of the certificates given, leaf first and anchor last.
        expect(chain[0]).to.deep.equal(one.chain[0]);
        expect(one.anchors ?? [ROOT.certificate]).to.deep.include(chain.at(-1));
      });
    }
  });

  it('is returned leaf first and anchor last, without what was not needed (X509-27)', () => {
    const [high, mid, low] = line(3) as [Authority, Authority, Authority];
    const first = leaf(low);
    const sent = [first, high, MIDDLE, low, ROOT, mid].map((one) =>
      one instanceof Uint8Array ? one : one.certificate,
    );
    expect(verify({ chain: sent }).chain).to.deep.equal([
      first,
      low.certificate,
      mid.certificate,
      high.certificate,
      ROOT.certificate,
    ]);
  });

  it('compares names byte by byte: another encoding of the same letters is another name (X509-27)', () => {
    expect(named(0x0c)).to.deep.equal(
      sequence(setOf(sequence(objectIdentifier('2.5.4.3'), utf8String('root')))),
    );
    const root = authority({}, set({ subject: named(0x0c), issuer: named(0x0c) }));
    const anchors = [root.certificate];
    expect(verify({ chain: [leaf(root)], anchors }).chain).to.have.lengthOf(2);
    refusal(UNTRUSTED, noName, () =>
      verify({ chain: [leaf({ ...root, name: named(0x13) })], anchors }),
    );
  });

  it('is sought in bounded time, whoever certifies whom (X509-27)', () => {
    // Fifteen authorities of one name and key: each may have issued each, and no way leads out.
    const one = authority();
    const web = Array.from({ length: 15 }, () => crossSign(one, one).certificate);
    const start = performance.now();
    refusal(UNTRUSTED, '20 signatures were checked', () => verify({ chain: [leaf(one), ...web] }));
    expect(performance.now() - start).to.be.below(1000);
  });

  it('is not sought past the bound, though it were there (X509-27)', () => {
    // Two that certify each other, many times over, stand before the one certificate that leads out; and that one
    // allows no detour below it.
    const a = authority();
    const b = authority();
    const detours = Array.from({ length: 7 }, () => [
      crossSign(a, b).certificate,
      crossSign(b, a).certificate,
    ]).flat();
    const wayOut = crossSign(a, ROOT, pathLength(0)).certificate;
    refusal(UNTRUSTED, '20 signatures were checked', () =>
      verify({ chain: [leaf(a), ...detours, wayOut] }),
    );
    expect(verify({ chain: [leaf(a), wayOut, ...detours] }).chain).to.have.lengthOf(3);
  });

  it('is found among forty authorities of one name by the id of the key (X509-27)', () => {
    const namesakes = Array.from({ length: 39 }, () => namesake(ROOT).certificate);
    const anchors = [...namesakes, ROOT.certificate];
    expect(verify({ chain: [leaf()], anchors }).chain.at(-1)).to.deep.equal(ROOT.certificate);
    // Without the id each is tried in its turn, 20 of them and not one more.
    const unnamed = leaf(ROOT, drop(AUTHORITY_KEY_ID));
    const last = (count: number) =>
      verify({ chain: [unnamed], anchors: [...namesakes.slice(0, count - 1), ROOT.certificate] });
    expect(last(20).chain).to.have.lengthOf(2);
    refusal(UNTRUSTED, '20 signatures were checked', () => last(21));
  });
});
