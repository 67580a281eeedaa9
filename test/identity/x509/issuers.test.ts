import { createPublicKey } from 'node:crypto';
import { expect } from 'chai';
import type { Authority } from '#lib/testing/authority.js';
import { distinguishedName, writeCertificate } from '#lib/testing/certificate.js';
import { bitString, element, nothing, sequence } from '#lib/testing/der.js';
import { basicConstraints, keyUsage, uriNameConstraints } from '#lib/testing/extensions.js';
import { makeKey } from '#lib/testing/keys.js';
import {
  authority,
  type Case,
  type Change,
  DAY_MS,
  drop,
  judgeRows,
  leaf,
  leafOf,
  MIDDLE,
  NOW,
  put,
  ROOT,
  type Row,
  raw,
  set,
  verify,
} from '../../support/chain.js';
import { below, namesake, selfIssued, under } from '../../support/lineage.js';
import { refusal } from '../../support/refusal.js';

const later = (ms: number): Date => new Date(NOW.getTime() + ms);
const BASIC_CONSTRAINTS = '2.5.29.19';

const unknown = (critical: boolean): Change =>
  put({ oid: '1.3.6.1.4.1.59999.1', critical, value: nothing() });
const pathLength = (length: number): Change =>
  put(basicConstraints({ ca: true, pathLength: length }));

const expiredLeaf = { notBefore: later(-2 * DAY_MS), notAfter: later(-1000) };
const futureLeaf = { notBefore: later(1000), notAfter: later(DAY_MS) };
const good = (): Case => ({ chain: [leaf()] });
const goodBelow = (): Case => ({ chain: [leaf(MIDDLE), MIDDLE.certificate] });

const flip = (bytes: Uint8Array, at: number): Uint8Array =>
  Uint8Array.from(bytes).with(at < 0 ? bytes.length + at : at, (bytes.at(at) ?? 0) ^ 1);

const UNTRUSTED = 'ERR_SPIFFE_X509_UNTRUSTED';
const EXPIRED = 'ERR_SPIFFE_X509_EXPIRED';
const noSignature = 'was not made by the issuer';

const VALIDITY: readonly Row[] = [
  {
    requirement: 'X509-27',
    what: 'a leaf that expired a second ago',
    code: EXPIRED,
    says: 'the leaf expired at 2026-06-01T11:59:59',
    bad: () => ({ chain: [leaf(ROOT, set(expiredLeaf))] }),
    twin: good,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'a leaf that is valid from the next second',
    code: EXPIRED,
    says: 'the leaf is not valid before 2026-06-01T12:00:01',
    bad: () => ({ chain: [leaf(ROOT, set(futureLeaf))] }),
    twin: good,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'a leaf valid never',
    code: EXPIRED,
    says: 'the leaf',
    bad: () => ({
      chain: [leaf(ROOT, set({ notBefore: later(DAY_MS), notAfter: later(-DAY_MS) }))],
    }),
    twin: good,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'an expired intermediate',
    code: EXPIRED,
    says: 'an issuer in its chain expired',
    bad: () => below(set(expiredLeaf)),
    twin: () => below(set({ ...expiredLeaf, notAfter: later(1000) })),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'an intermediate from the future',
    code: EXPIRED,
    says: 'an issuer in its chain is not valid before',
    bad: () => below(set(futureLeaf)),
    twin: () => below(set({ ...futureLeaf, notBefore: later(0) })),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27, A-27',
    what: 'an expired anchor',
    code: EXPIRED,
    says: 'an issuer in its chain expired',
    bad: () => under(set(expiredLeaf)),
    twin: () => under(set({ ...expiredLeaf, notAfter: later(1000) })),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27, A-27',
    what: 'an anchor from the future',
    code: EXPIRED,
    says: 'an issuer in its chain is not valid before',
    bad: () => under(set(futureLeaf)),
    twin: () => under(set({ ...futureLeaf, notBefore: later(0) })),
    openssl: 'refuses',
  },
];

const ISSUERS: readonly Row[] = [
  {
    requirement: 'X509-10, X509-27',
    what: 'an intermediate whose cA is false',
    code: UNTRUSTED,
    says: 'is not a CA',
    bad: () => below(put(basicConstraints({ ca: false }))),
    twin: () => below(put(basicConstraints({ ca: true }))),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-10, X509-27',
    what: 'an intermediate without basic constraints',
    code: UNTRUSTED,
    says: 'is not a CA',
    bad: () => below(drop(BASIC_CONSTRAINTS)),
    twin: () => below(put(basicConstraints({ ca: true }, { critical: false }))),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-10, X509-27',
    what: 'an intermediate of version 1',
    code: UNTRUSTED,
    says: 'is not a CA',
    bad: () => below(raw({ version: Buffer.alloc(0), extensions: Buffer.alloc(0) })),
    twin: goodBelow,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-10, X509-27',
    what: 'a workload that certifies another',
    code: UNTRUSTED,
    says: 'is not a CA',
    bad: () => {
      const fields = leafOf(ROOT, 'spiffe://example.org/other');
      const workload: Authority = {
        ...MIDDLE,
        name: distinguishedName({ commonName: 'w' }),
        certificate: writeCertificate({
          ...fields,
          subject: distinguishedName({ commonName: 'w' }),
          publicKey: createPublicKey(MIDDLE.key),
        }),
      };
      return { chain: [leaf(workload), workload.certificate] };
    },
    twin: goodBelow,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-10, X509-27',
    what: 'an anchor whose cA is false',
    code: UNTRUSTED,
    says: 'is not a CA',
    bad: () => under(put(basicConstraints({ ca: false }))),
    twin: () => under(),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-10, X509-27',
    what: 'an anchor of version 1',
    code: UNTRUSTED,
    says: 'is not a CA',
    bad: () => under(raw({ version: Buffer.alloc(0), extensions: Buffer.alloc(0) })),
    twin: () => under(),
  },
  {
    requirement: 'X509-27',
    what: 'an intermediate without keyCertSign',
    code: UNTRUSTED,
    says: 'may not sign certificates',
    bad: () => below(put(keyUsage(['digitalSignature', 'cRLSign']))),
    twin: () => below(put(keyUsage(['digitalSignature', 'keyCertSign']))),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'an anchor without keyCertSign',
    code: UNTRUSTED,
    says: 'may not sign certificates',
    bad: () => under(put(keyUsage(['cRLSign']))),
    twin: () => under(put(keyUsage(['keyCertSign']))),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'an unknown critical extension in an intermediate',
    code: UNTRUSTED,
    says: '1.3.6.1.4.1.59999.1',
    bad: () => below(unknown(true)),
    twin: () => below(unknown(false)),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'an unknown critical extension in an anchor',
    code: UNTRUSTED,
    says: '1.3.6.1.4.1.59999.1',
    bad: () => under(unknown(true)),
    twin: () => under(unknown(false)),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'critical policy constraints, which are not applied',
    code: UNTRUSTED,
    says: '2.5.29.36',
    bad: () =>
      below(
        put({ oid: '2.5.29.36', critical: true, value: sequence(element(0x80, Buffer.from([0]))) }),
      ),
    twin: () => below(put({ oid: '2.5.29.36', value: sequence(element(0x80, Buffer.from([1]))) })),
  },
  {
    requirement: 'X509-19, A-31',
    what: 'critical name constraints in an intermediate, though the leaf is within them',
    code: UNTRUSTED,
    says: 'name constraints (2.5.29.30)',
    bad: () => below(put(uriNameConstraints({ permitted: ['example.org'] }))),
    twin: () => below(put(uriNameConstraints({ permitted: ['example.org'] }, { critical: false }))),
    openssl: 'accepts',
  },
  {
    requirement: 'X509-19, A-31',
    what: 'critical name constraints in an anchor',
    code: UNTRUSTED,
    says: 'name constraints (2.5.29.30)',
    bad: () => under(put(uriNameConstraints({ excluded: ['other.org'] }))),
    twin: () => under(put(uriNameConstraints({ excluded: ['other.org'] }, { critical: false }))),
    openssl: 'accepts',
  },
  {
    requirement: 'X509-16',
    what: 'one intermediate below pathLen 0',
    code: UNTRUSTED,
    says: 'allows 0 intermediates below it, not 1',
    bad: () => {
      const top = authority({ issuer: ROOT }, pathLength(0));
      const low = authority({ issuer: top });
      return { chain: [leaf(low), low.certificate, top.certificate] };
    },
    twin: () => below(pathLength(0)),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-16',
    what: 'two intermediates below pathLen 1',
    code: UNTRUSTED,
    says: 'allows 1 intermediates below it, not 2',
    bad: () => {
      const top = authority({ issuer: ROOT }, pathLength(1));
      const mid = authority({ issuer: top });
      const low = authority({ issuer: mid });
      return { chain: [leaf(low), low.certificate, mid.certificate, top.certificate] };
    },
    twin: () => {
      const top = authority({ issuer: ROOT }, pathLength(1));
      const low = authority({ issuer: top });
      return { chain: [leaf(low), low.certificate, top.certificate] };
    },
    openssl: 'refuses',
  },
  {
    requirement: 'X509-16, X509-27',
    what: 'an intermediate below an anchor with pathLen 0',
    code: UNTRUSTED,
    says: 'allows 0 intermediates',
    bad: () => {
      const anchor = authority({}, pathLength(0));
      const low = authority({ issuer: anchor });
      return { chain: [leaf(low), low.certificate], anchors: [anchor.certificate] };
    },
    twin: () => under(pathLength(0)),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-16, A-28',
    what: 'two intermediates, one of them self-issued, below one with pathLen 0',
    code: UNTRUSTED,
    says: 'allows 0 intermediates below it, not 1',
    bad: () => {
      const top = authority({ issuer: ROOT }, pathLength(0));
      const again = selfIssued(top);
      const low = authority({ issuer: again });
      return { chain: [leaf(low), low.certificate, again.certificate, top.certificate] };
    },
    twin: () => {
      const top = authority({ issuer: ROOT }, pathLength(0));
      const again = selfIssued(top);
      return { chain: [leaf(again), again.certificate, top.certificate] };
    },
    openssl: 'refuses',
  },
];

const SIGNATURES: readonly Row[] = [
  {
    requirement: 'X509-27',
    what: 'a leaf altered after it was signed',
    code: UNTRUSTED,
    says: noSignature,
    bad: () => {
      const bytes = leaf();
      const at = Buffer.from(bytes).lastIndexOf('gent');
      return { chain: [flip(bytes, at)] };
    },
    twin: good,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'a leaf with one bit of its signature altered',
    code: UNTRUSTED,
    says: noSignature,
    bad: () => ({ chain: [flip(leaf(), -1)] }),
    twin: good,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'an empty signature',
    code: UNTRUSTED,
    says: noSignature,
    bad: () => ({ chain: [leaf(ROOT, raw({ signature: bitString(Buffer.alloc(0)) }))] }),
    twin: good,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'the signature of another leaf',
    code: UNTRUSTED,
    says: noSignature,
    bad: () => {
      const other = leaf();
      const signature = other.subarray(-72);
      return { chain: [leaf(ROOT, raw({ signature: bitString(signature.subarray(2)) }))] };
    },
    twin: good,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'an intermediate altered after it was signed',
    code: UNTRUSTED,
    says: noSignature,
    bad: () => {
      const { certificate } = MIDDLE;
      return { chain: [leaf(MIDDLE), flip(certificate, certificate.length - 1)] };
    },
    twin: goodBelow,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27, X509-30',
    what: 'an authority of the same name that is not in the bundle',
    code: UNTRUSTED,
    says: noSignature,
    bad: () => ({ chain: [leaf(namesake(ROOT))] }),
    twin: good,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'the leaf signed by its own key under the name of the authority',
    code: UNTRUSTED,
    says: noSignature,
    bad: () => ({ chain: [leaf(ROOT, set({ signingKey: makeKey('ec-p256') }))] }),
    twin: good,
    openssl: 'refuses',
  },
];

describe('each certificate of the path', () => {
  describe('by the time', () => judgeRows(VALIDITY));
  describe('as an issuer', () => judgeRows(ISSUERS));
  describe('by its signature', () => judgeRows(SIGNATURES));

  it('holds at its first and its last instant, and at none beside them (X509-27)', () => {
    const chain = [leaf(ROOT, set({ notBefore: later(1000), notAfter: later(5000) }))];
    for (const [ms, holds] of [
      [999, false],
      [1000, true],
      [5000, true],
      [5001, false],
    ] as const) {
      const judge = () => verify({ chain, now: later(ms) });
      if (holds) expect(judge().chain).to.have.lengthOf(2);
      else refusal(EXPIRED, 'the leaf', judge);
    }
  });

  it('holds until its shortest certificate ends (X509-27)', () => {
    const middle = authority({ issuer: ROOT }, set({ notAfter: later(5000) }));
    const chain = [leaf(middle), middle.certificate];
    expect(verify({ chain, now: later(5000) }).chain).to.have.lengthOf(3);
    refusal(EXPIRED, 'an issuer in its chain', () => verify({ chain, now: later(5001) }));
  });
});
