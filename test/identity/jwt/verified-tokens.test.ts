import { JwtBundles, type JwtSvid } from 'agent-spiffe';
import { expect } from 'chai';
import { VerifiedTokens } from '#lib/identity/jwt/verified-tokens.js';
import { publicJwk } from '../../support/craft-token.js';
import { AUDIENCE, bundle, KEYS, NOW, NOW_SECONDS, token } from '../../support/jwt-world.js';
import { refusal } from '../../support/refusal.js';
import { rejection } from '../../support/rejection.js';

const USUAL = { audience: AUDIENCE, now: NOW, leewayMs: 0 };
const at = (seconds: number): Date => new Date((NOW_SECONDS + seconds) * 1000);

function tokens(most?: number): VerifiedTokens {
  return new VerifiedTokens(JwtBundles.of(bundle()), most);
}

const short = (jti: string, exp: number): string =>
  token({ claims: { jti, exp: NOW_SECONDS + exp } });

/** A promise whichever way it is answered. */
async function ask(known: VerifiedTokens, text: string): Promise<JwtSvid> {
  return known.verify(text, USUAL);
}

describe('tokens verified before', () => {
  it('give the same object, without looking at the signature again', async () => {
    const known = tokens();
    const text = token();
    const first = await known.verify(text, USUAL);
    // No promise: it was looked up.
    expect(known.verify(text, USUAL)).to.equal(first);
    expect(known.size).to.equal(1);
  });

  it('are judged by the audience each time (JWT-11)', async () => {
    const known = tokens();
    const text = token({ claims: { aud: ['a', 'b'] } });
    const first = await known.verify(text, { ...USUAL, audience: 'a' });
    expect(known.verify(text, { ...USUAL, audience: ['b', 'c'] })).to.equal(first);
    refusal('ERR_SPIFFE_JWT_AUDIENCE', 'we are "c"', () =>
      known.verify(text, { ...USUAL, audience: 'c' }),
    );
    refusal('ERR_SPIFFE_OPTION_INVALID', 'without an audience', () =>
      known.verify(text, { ...USUAL, audience: [] }),
    );
  });

  it('are judged by the clock and its leeway each time (JWT-15, JWT-16)', async () => {
    const known = tokens();
    const text = token({ claims: { exp: NOW_SECONDS + 60, nbf: NOW_SECONDS } });
    const first = await known.verify(text, USUAL);
    expect(known.verify(text, { ...USUAL, now: at(59) })).to.equal(first);
    expect(known.verify(text, { ...USUAL, now: at(61), leewayMs: 2000 })).to.equal(first);
    for (const now of [at(60), at(-1)])
      refusal('ERR_SPIFFE_JWT_EXPIRED', '', () => known.verify(text, { ...USUAL, now }));
    refusal('ERR_SPIFFE_OPTION_INVALID', 'no valid Date', () =>
      known.verify(text, { ...USUAL, now: new Date(Number.NaN) }),
    );
  });

  it('are only those whose signature was good', async () => {
    const known = tokens();
    for (let time = 0; time < 2; time++) {
      await rejection('ERR_SPIFFE_JWT_UNTRUSTED', ask(known, token({}, KEYS.other)));
    }
    expect(known.size).to.equal(0);
  });

  it('are only those that were for us in time', async () => {
    const known = tokens();
    const text = token();
    const refused = [{ audience: 'mail' }, { now: at(400) }];
    for (const change of refused)
      expect(() => known.verify(text, { ...USUAL, ...change })).to.throw('ERR_SPIFFE_JWT_');
    expect(known.size).to.equal(0);
    await known.verify(text, USUAL);
    expect(known.size).to.equal(1);
  });

  it('are other tokens where a letter differs', async () => {
    const known = tokens();
    const text = token();
    await known.verify(text, USUAL);
    const other = text.replace(
      /\.[^.]([^.]+)$/,
      (part) => (part[1] === 'A' ? '.B' : '.A') + part.slice(2),
    );
    await rejection('ERR_SPIFFE_JWT_UNTRUSTED', ask(known, other));
  });

  it('say nothing about another state of the bundles', async () => {
    const text = token();
    await tokens().verify(text, USUAL);
    for (const other of [bundle([]), bundle([publicJwk(KEYS.other, 'key-1')])])
      await rejection(
        'ERR_SPIFFE_JWT_UNTRUSTED',
        ask(new VerifiedTokens(JwtBundles.of(other)), text),
      );
    const none = new VerifiedTokens(JwtBundles.of());
    await rejection('ERR_SPIFFE_BUNDLE_NOT_FOUND', ask(none, text));
  });

  it('are no more than told; the one that was not asked for the longest goes', async () => {
    const known = tokens(2);
    const [a, b, c] = ['a', 'b', 'c'].map((jti) => token({ claims: { jti } })) as [
      string,
      string,
      string,
    ];
    const first = await known.verify(a, USUAL);
    const second = await known.verify(b, USUAL);
    expect(known.verify(a, USUAL)).to.equal(first);
    await known.verify(c, USUAL);
    expect(known.size).to.equal(2);
    expect(known.verify(a, USUAL)).to.equal(first);
    expect(await known.verify(b, USUAL)).not.to.equal(second);
  });

  it('go when they have expired beyond every leeway, for which they are looked through now and then', async () => {
    const known = tokens();
    const verifyAt = (seconds: number): Promise<JwtSvid> =>
      Promise.resolve(known.verify(short(`${seconds}`, 10_000), { ...USUAL, now: at(seconds) }));
    await known.verify(short('a', 10), USUAL);
    await verifyAt(129);
    await verifyAt(138.9);
    expect(known.size).to.equal(3);
    await verifyAt(139);
    expect(known.size).to.equal(3);
  });

  it('go at the instant at which the longest leeway ends', async () => {
    const known = tokens();
    await known.verify(short('a', 10), USUAL);
    await known.verify(short('b', 10_000), { ...USUAL, now: at(130) });
    expect(known.size).to.equal(1);
  });

  it('are those that the thread pool has judged too', async () => {
    const known = tokens();
    const texts = ['a', 'b', 'c'].map((jti) => token({ claims: { jti } }));
    const [, second] = texts.map((text) => known.verify(text, USUAL));
    expect(second).to.be.instanceOf(Promise);
    const svid = await second;
    await ask(known, texts[2] ?? '');
    expect(known.size).to.equal(3);
    expect(known.verify(texts[1] ?? '', USUAL)).to.equal(svid);
    expect(svid?.token).to.equal(texts[1]);
  });

  it('that came at the same time are one', async () => {
    const known = tokens();
    const text = token();
    const results = await Promise.all([0, 1, 2].map(() => ask(known, text)));
    expect(known.size).to.equal(1);
    expect(new Set(results.map(({ token: same }) => same)).size).to.equal(1);
  });
});
