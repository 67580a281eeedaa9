import { sign } from 'node:crypto';
import { X509Bundles, type X509Svid } from 'agent-spiffe';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { signList, verifyList } from '#lib/agent/revocation/list.js';
import { expectStep, GrantWorld, NOW, RESEARCHER } from '../../support/grants.js';
import { refusal } from '../../support/refusal.js';

const AT = NOW.getTime() / 1000;
const GOOD = {
  iss: RESEARCHER.toString(),
  iat: AT,
  exp: AT + 15,
  since_ms: AT * 1000 - 1,
  seq: 3,
  revoked: ['a', 'b'],
};

const encode = (text: string): string => Buffer.from(text).toString('base64url');

describe('a list of revoked grants', () => {
  const ca = TestCa.create('example.org', { now: () => NOW });
  const bundles = X509Bundles.of(ca.bundle);
  const svid: X509Svid = ca.issue(RESEARCHER);
  const x5c = svid.certificates.map((der) => Buffer.from(der).toString('base64'));
  const HEADER = { alg: 'ES256', typ: 'spiffe-revocations+jwt', x5c };

  /** A JWS by the SVID's key, whatever it says. */
  function written(header: object | string, claims: object | string, by = svid): string {
    const [head, body] = [header, claims].map((part) =>
      encode(typeof part === 'string' ? part : JSON.stringify(part)),
    );
    const signed = `${head}.${body}`;
    const how = { key: by.privateKey, dsaEncoding: 'ieee-p1363' } as const;
    return `${signed}.${sign('sha256', Buffer.from(signed), how).toString('base64url')}`;
  }
  const read = (text: string, now = NOW.getTime()) => verifyList(text, RESEARCHER, bundles, now);
  const refused = (says: RegExp, text: string): void => {
    refusal('ERR_SPIFFE_REVOCATION_LIST_INVALID', says, () => read(text));
  };

  it('says since when it answers, which number it is, and what is revoked', () => {
    const list = read(written(HEADER, GOOD));
    expect(list).to.deep.include({ since: GOOD.since_ms, sequence: 3, issuedAt: AT * 1000 });
    expect([...list.revoked]).to.deep.equal(['a', 'b']);
    read(written({ ...HEADER, kid: 'ignored' }, { ...GOOD, more: 'ignored' }));
  });

  it('says which tasks have ended, or nothing of them', () => {
    expect([...(read(written(HEADER, { ...GOOD, ended: ['t'] })).ended ?? [])]).to.deep.equal([
      't',
    ]);
    expect(read(written(HEADER, { ...GOOD, ended: [] })).ended?.size).to.equal(0);
    expect(read(written(HEADER, GOOD)).ended).to.equal(undefined);
  });

  for (const [what, says, header] of [
    ['the type of a token', /header/, { ...HEADER, typ: 'aat+jwt' }],
    ['no type', /header/, { alg: 'ES256', x5c }],
    ['an algorithm for another key', /header/, { ...HEADER, alg: 'ES384' }],
    ['no algorithm', /header/, { ...HEADER, alg: 'none' }],
    ['something critical', /header/, { ...HEADER, crit: ['exp'] }],
    ['no certificates', /x5c/, { alg: 'ES256', typ: HEADER.typ }],
    ['an empty list of certificates', /x5c/, { ...HEADER, x5c: [] }],
    ['certificates that are no texts', /x5c/, { ...HEADER, x5c: [7] }],
    ['certificates that are not base64', /x5c/, { ...HEADER, x5c: ['*'] }],
    ['certificates that are none', /does not verify/, { ...HEADER, x5c: ['AAAA'] }],
  ] as const) {
    it(`is refused with ${what} in its header`, () => {
      refused(says, written(header, GOOD));
      read(written(HEADER, GOOD));
    });
  }

  for (const [what, says, claims] of [
    ['another issuer', /its iss/, { ...GOOD, iss: `${RESEARCHER}/task/1` }],
    ['no issuer', /its iss/, { ...GOOD, iss: undefined }],
    ['no number', /its seq/, { ...GOOD, seq: undefined }],
    ['a number that is none', /its seq/, { ...GOOD, seq: '3' }],
    ['a number below none', /its seq/, { ...GOOD, seq: -1 }],
    ['a time with a fraction', /its iat/, { ...GOOD, iat: AT + 0.5 }],
    ['no beginning', /its since_ms/, { ...GOOD, since_ms: null }],
    ['no end', /its exp/, { ...GOOD, exp: undefined }],
    ['an end before its time', /not valid/, { ...GOOD, iat: AT + 15 }],
    ['a longer time than ten minutes', /not valid/, { ...GOOD, exp: AT + 601 }],
    ['an end that is over', /stale/, { ...GOOD, iat: AT - 15, exp: AT }],
    ['a date ahead', /future/, { ...GOOD, iat: AT + 31, exp: AT + 46 }],
    ['a beginning ahead', /future/, { ...GOOD, since_ms: AT * 1000 + 30_001 }],
    ['nothing of what is revoked', /its revoked/, { ...GOOD, revoked: undefined }],
    ['something else in place of what is revoked', /its revoked/, { ...GOOD, revoked: { a: 1 } }],
    ['an id that is no text', /its revoked/, { ...GOOD, revoked: ['a', 7] }],
    ['something else in place of ended tasks', /its ended/, { ...GOOD, ended: 'a' }],
    ['an ended task that is no text', /its ended/, { ...GOOD, ended: ['a', null] }],
    ['a member twice', /payload/, JSON.stringify(GOOD).replace('{', '{"revoked":[],')],
    ['something that is no object', /payload/, '[]'],
  ] as const) {
    it(`is refused with ${what} in its payload`, () => {
      refused(says, written(HEADER, claims));
      read(written(HEADER, GOOD));
    });
  }

  it('is refused when another key signed it than the one in its certificates', () => {
    refused(/signature/, written(HEADER, GOOD, ca.issue(RESEARCHER)));
    read(written(HEADER, GOOD));
  });

  it('is refused when it is longer than eight million characters, before anything is read', () => {
    refused(/longer than 8388608/, 'a'.repeat(8_388_609));
    refused(/no compact JWS/, 'a'.repeat(8_388_608));
  });

  it('of 100,000 ids is taken', () => {
    const ids = Array.from({ length: 100_000 }, (_, at) => `019ab2c4-7d3e-7a10-9c52-${at + 1e11}`);
    const content = { since: 0, sequence: 1, ids };
    expect(read(signList(svid, content, NOW.getTime(), 15_000)).revoked.size).to.equal(100_000);
  });

  it('is no root of a grant, and a root of the same key is no list', () => {
    const world = new GrantWorld();
    const root = world.root();
    const list = signList(world.svid, { since: 0, sequence: 1, ids: [] }, NOW.getTime(), 15_000);
    expectStep('2c', () => world.verify({ ...world.present([root]), chain: [list] }));
    const named = written(HEADER, { ...GOOD, jti: 'a' });
    const beside = { ...world.present([root]), chain: [named], issuer: svid.certificates };
    expectStep('3a', () => world.verify(beside, { bundles }));
    refused(/x5c/, root);
    world.verify(world.present([root]));
  });
});
