import { inspect } from 'node:util';
import { type JwtBundleSet, JwtBundles, type VerifyJwtOptions, verifyJwtSvid } from 'agent-spiffe';
import { expect } from 'chai';
import { CompactSign, createLocalJWKSet, importPKCS8, jwtVerify, SignJWT } from 'jose';
import { judgeToken } from '#lib/identity/jwt/judge.js';
import { JwtSvid } from '#lib/identity/jwt/svid.js';
import { craftToken, goodParts, publicJwk, signToken } from '../../support/craft-token.js';
import {
  AUDIENCE,
  bundle,
  entries,
  ID,
  KEYS,
  NOW,
  NOW_SECONDS,
  token,
  verify,
} from '../../support/jwt-world.js';
import { refusal } from '../../support/refusal.js';
import { rejection } from '../../support/rejection.js';

const ALGORITHMS = [
  ['ES256', 'key-1'],
  ['ES384', 'p-384'],
  ['ES512', 'p-521'],
  ['RS256', 'rsa'],
  ['RS384', 'rsa'],
  ['RS512', 'rsa'],
  ['PS256', 'rsa'],
  ['PS384', 'rsa'],
  ['PS512', 'rsa'],
] as const;

const byKid = (alg: string, kid: keyof typeof KEYS, change: object = {}): string =>
  token({ header: { alg, kid }, claims: { ...change } }, KEYS[kid]);

const at = (seconds: number): Date => new Date((NOW_SECONDS + seconds) * 1000);

describe('verifyJwtSvid', () => {
  for (const [alg, kid] of ALGORITHMS) {
    it(`JWT-04 JWT-05 JWT-20: takes ${alg}, signed by jose`, async () => {
      const pem = KEYS[kid].export({ type: 'pkcs8', format: 'pem' }).toString();
      const signed = await new SignJWT({ sub: ID, aud: AUDIENCE, exp: NOW_SECONDS + 60 })
        .setProtectedHeader({ alg, kid })
        .sign(await importPKCS8(pem, alg));
      const svid = await verify(signed);
      expect(String(svid.id)).to.equal(ID);
      const [head, body, signature = ''] = signed.split('.');
      const other = signature.replace(/^./, (letter) => (letter === 'A' ? 'B' : 'A'));
      await rejection('ERR_SPIFFE_JWT_UNTRUSTED', verify(`${head}.${body}.${other}`));
    });

    it(`agrees with jose about ${alg}`, async () => {
      const keys = createLocalJWKSet({ keys: entries() });
      const text = byKid(alg, kid);
      await jwtVerify(text, keys, { currentDate: NOW, audience: AUDIENCE });
      expect((await verify(text)).claims).to.include({ sub: ID });
    });
  }

  it('gives what the token says, frozen through and through', async () => {
    const text = token({ claims: { team: { names: ['a', { b: 1 }] }, aud: ['x', AUDIENCE] } });
    const svid = await verify(text);
    expect(svid).to.be.instanceOf(JwtSvid);
    expect(String(svid.id)).to.equal(ID);
    expect(svid.audience).to.deep.equal(['x', AUDIENCE]);
    expect(svid.expiresAt.toISOString()).to.equal('2030-01-01T00:05:00.000Z');
    expect(svid.hint).to.equal('');
    expect(svid.token).to.equal(text);
    const { team } = svid.claims as { team: { names: unknown[] } };
    for (const part of [svid, svid.audience, svid.claims, team, team.names, team.names[1]])
      expect(part).to.be.frozen;
    svid.expiresAt.setTime(0);
    expect(svid.expiresAt.getTime()).to.equal((NOW_SECONDS + 300) * 1000);
  });

  it('JWT-07 A-03: takes a token without kid, and tries each key that fits', async () => {
    for (const [alg, kid] of ALGORITHMS)
      await verify(token({ header: { alg, kid: undefined } }, KEYS[kid]));
    const keys = [publicJwk(KEYS.other, 'first'), publicJwk(KEYS['key-1'], 'second')];
    await verify(token({ header: { kid: undefined } }), { keys });
  });

  it('WLA-35 A-11: takes keys without use, as SPIRE gives them, and those of use jwt-svid or sig', async () => {
    for (const use of [undefined, 'jwt-svid', 'sig'])
      await verify(token(), { keys: entries().map((entry) => ({ ...entry, use })) });
  });

  it('JWT-07: of two keys with one kid takes whichever signed', async () => {
    const two = [publicJwk(KEYS.other, 'key-1'), publicJwk(KEYS['key-1'], 'key-1')];
    await verify(token(), { keys: two });
    await verify(token(), { keys: two.toReversed() });
  });

  for (const kid of ['__proto__', 'constructor', '']) {
    it(`JWT-07: knows a key by the kid ${JSON.stringify(kid)} if there is one`, async () => {
      const keys = [publicJwk(KEYS['key-1'], kid === '' ? 'x' : kid)];
      const outcome = verify(token({ header: { kid } }), { keys });
      if (kid === '') await rejection('ERR_SPIFFE_JWT_UNTRUSTED', outcome);
      else expect(String((await outcome).id)).to.equal(ID);
      await rejection('ERR_SPIFFE_JWT_UNTRUSTED', verify(token({ header: { kid } })));
    });
  }

  for (const typ of ['JWT', 'JOSE', undefined]) {
    it(`JWT-08: takes typ ${typ}`, async () => {
      expect(String((await verify(token({ header: { typ } }))).id)).to.equal(ID);
    });
  }

  it('JWT-02 A-04: passes over headers that an issuer may not set', async () => {
    await verify(token({ header: { x5c: ['AA'], jku: 'https://a.test', cty: 'JWT', zip: 'DEF' } }));
  });

  it('JWT-18 JWT-19 JWT-20: neither needs nor minds other claims; iss and jti decide nothing', async () => {
    const claims = {
      iss: 'https://other.test',
      jti: 'again',
      roles: [null],
      iat: NOW_SECONDS + 1e6,
    };
    await verify(token({ claims }));
    await verify(token({ claims }));
    await verify(token({ claims: { iat: undefined } }));
  });

  it('JWT-17: sets no bound to a life', async () => {
    await verify(token({ claims: { exp: NOW_SECONDS + 1e9 } }));
  });

  it('JWT-01: takes the compact form only from text', async () => {
    const bytes = Buffer.from(token()) as unknown as string;
    await rejection('ERR_SPIFFE_JWT_SVID_INVALID', verify(bytes));
    await rejection('ERR_SPIFFE_JWT_SVID_INVALID', verify(undefined as unknown as string));
  });

  it('JWT-01: takes a payload signed unencoded for what it is: no JWT', async () => {
    const signed = await new CompactSign(Buffer.from('hello'))
      .setProtectedHeader({ alg: 'ES256', kid: 'key-1' })
      .sign(KEYS['key-1']);
    await rejection('ERR_SPIFFE_JWT_SVID_INVALID', verify(signed));
  });

  it('takes a token of 64 KiB, and none that is longer', async () => {
    const longs = new Map<number, string>();
    // Base64url has no length of 4n + 1: header and payload together reach every length.
    for (const more of ['', 'x', 'xx'])
      for (let filling = 48_850; filling < 48_950; filling++) {
        const header = { more };
        const text = token({ header, claims: { filling: 'x'.repeat(filling) } });
        longs.set(text.length, text);
      }
    await verify(longs.get(65_536) ?? '');
    await rejection('ERR_SPIFFE_JWT_SVID_INVALID', verify(longs.get(65_537) ?? ''));
  });

  it('reads a header that it has read before as it did then', async () => {
    const again = { header: { alg: 'ES256', kid: 'key-1', typ: 'wit+jwt', n: 'again' } };
    for (let time = 0; time < 2; time++)
      await rejection('ERR_SPIFFE_JWT_SVID_INVALID', verify(token(again)));
    const long = { header: { filling: 'x'.repeat(1000) } };
    for (let time = 0; time < 2; time++) await verify(token(long));
  });

  it('takes a payload that nests deeper than any stack', async () => {
    const depth = 20_000;
    const { claims } = goodParts(NOW);
    const nested = `${'['.repeat(depth)}${']'.repeat(depth)}`;
    const text = JSON.stringify({ ...claims, nested: 0 }).replace(
      '"nested":0',
      `"nested":${nested}`,
    );
    const head = JSON.stringify(goodParts(NOW).header);
    expect(String((await verify(signToken(KEYS['key-1'], 'ES256', head, text))).id)).to.equal(ID);
  });

  describe('the audience that we answer to', () => {
    for (const [what, audience] of [
      ['an empty list', []],
      ['an empty name', ''],
      ['an empty name among others', [AUDIENCE, '']],
      ['none', undefined],
      ['a number', [1]],
    ] as const) {
      it(`JWT-12: with ${what} nothing validates`, async () => {
        const given = audience as unknown as string;
        // Even where the token says the same.
        const text = token({ claims: { aud: audience ?? AUDIENCE } });
        await rejection('ERR_SPIFFE_OPTION_INVALID', verify(text, { audience: given }));
      });
    }

    it('JWT-12: with no options at all nothing validates', async () => {
      const none = undefined as unknown as VerifyJwtOptions;
      await rejection('ERR_SPIFFE_OPTION_INVALID', verifyJwtSvid(token(), JwtBundles.of(), none));
    });

    it('JWT-11: is one name or several, of which the token names at least one', async () => {
      const text = token({ claims: { aud: ['a', 'b'] } });
      for (const audience of ['a', 'b', ['x', 'b'], ['a', 'b']]) await verify(text, { audience });
      const error = await rejection(
        'ERR_SPIFFE_JWT_AUDIENCE',
        verify(text, { audience: ['A', 'ab', 'a,b', 'a b', 'b ', 'c'] }),
      );
      expect(error.message).to.include('it is for "a", "b", and we are "A", "ab"');
      expect(error.message).to.include('and others');
      const five = verify(text, { audience: ['1', '2', '3', '4', '5'] });
      const { message } = await rejection('ERR_SPIFFE_JWT_AUDIENCE', five);
      expect(message).to.include('we are "1", "2", "3", "4", "5" [');
    });

    it('JWT-11: is compared without normalisation', async () => {
      const [composed, decomposed] = ['caf\u00E9', 'cafe\u0301'];
      const text = token({ claims: { aud: composed } });
      await verify(text, { audience: composed });
      await rejection('ERR_SPIFFE_JWT_AUDIENCE', verify(text, { audience: decomposed }));
    });

    it('shows nothing of a hostile audience but its letters', async () => {
      const aud = ['\u202Eevil\u0000', 'x'.repeat(9000)];
      const { message } = await rejection(
        'ERR_SPIFFE_JWT_AUDIENCE',
        verify(token({ claims: { aud } })),
      );
      expect(message).not.to.match(/\p{C}/u);
      expect(message.length).to.be.below(600);
    });
  });

  describe('the clock', () => {
    const text = token({ claims: { exp: NOW_SECONDS + 60, nbf: NOW_SECONDS } });

    it('JWT-15 A-23: may be 30 seconds off unless told otherwise, for exp and nbf', async () => {
      const options = { audience: AUDIENCE };
      const bundles = JwtBundles.of(bundle());
      for (const seconds of [-30, 0, 89.999])
        await verifyJwtSvid(text, bundles, { ...options, now: at(seconds) });
      for (const seconds of [-30.001, 90])
        await rejection(
          'ERR_SPIFFE_JWT_EXPIRED',
          verifyJwtSvid(text, bundles, { ...options, now: at(seconds) }),
        );
    });

    it('JWT-15: is taken at its word without leeway', async () => {
      for (const seconds of [0, 59.999]) await verify(text, { now: at(seconds), leewayMs: 0 });
      for (const seconds of [-0.001, 60])
        await rejection('ERR_SPIFFE_JWT_EXPIRED', verify(text, { now: at(seconds), leewayMs: 0 }));
    });

    it('A-23: may be 120 seconds off at most', async () => {
      await verify(text, { now: at(179), leewayMs: 120_000 });
      for (const leewayMs of [120_001, -1, Number.NaN, '30' as unknown as number]) {
        const error = await rejection('ERR_SPIFFE_OPTION_INVALID', verify(text, { leewayMs }));
        expect(error.message).to.include('from 0 to 120000');
      }
    });

    it('is the wall clock unless given', async () => {
      const bundles = JwtBundles.of(bundle());
      const { header, claims } = goodParts();
      const fresh = craftToken(KEYS['key-1'], { header, claims });
      await verifyJwtSvid(fresh, bundles, { audience: AUDIENCE });
      const old = craftToken(KEYS['key-1'], {
        header,
        claims: { ...claims, exp: Math.floor(Date.now() / 1000) - 31 },
      });
      await rejection(
        'ERR_SPIFFE_JWT_EXPIRED',
        verifyJwtSvid(old, bundles, { audience: AUDIENCE }),
      );
    });

    it('is refused where it shows no instant: no token would be expired then', async () => {
      await rejection('ERR_SPIFFE_OPTION_INVALID', verify(text, { now: new Date(Number.NaN) }));
    });
  });

  describe('the bundle', () => {
    it('WLA-47: is that of the subject, whatever else the set holds', async () => {
      const other = bundle(entries(), 'jwks', 'other.test');
      const text = token({ claims: { sub: 'spiffe://other.test/x' } });
      await verify(text, { bundles: JwtBundles.of(other) });
      await rejection('ERR_SPIFFE_BUNDLE_NOT_FOUND', verify(text));
    });

    it('WLA-47: is not believed for another trust domain than its own', async () => {
      const one = bundle();
      const bad: JwtBundleSet = { get: () => one };
      const options = { audience: AUDIENCE, now: NOW };
      await verifyJwtSvid(token(), bad, options);
      const text = token({ claims: { sub: 'spiffe://other.test/x' } });
      await rejection('ERR_SPIFFE_BUNDLE_NOT_FOUND', verifyJwtSvid(text, bad, options));
    });

    it('BDL-03: that replaces another decides alone', async () => {
      const before = bundle([publicJwk(KEYS['key-1'], 'key-1')]);
      const after = bundle([publicJwk(KEYS.other, 'key-2')]);
      await verify(token(), { bundles: JwtBundles.of(before) });
      const both = { bundles: JwtBundles.of(before, after) };
      await rejection('ERR_SPIFFE_JWT_UNTRUSTED', verify(token(), both));
      await verify(token({ header: { kid: 'key-2' } }, KEYS.other), both);
    });
  });

  describe('many at a time', () => {
    for (const [alg, kid] of ALGORITHMS) {
      it(`agree with one at a time (${alg})`, async () => {
        const good = Array.from({ length: 8 }, (_, n) => byKid(alg, kid, { jti: `${n}` }));
        const bad = good.map((text, n) => {
          const [head, body] = text.split('.');
          return `${head}.${body}.${good[(n + 1) % 8]?.split('.')[2]}`;
        });
        // The first of them is judged at once, the others in the thread pool.
        const outcomes = await Promise.allSettled([...good, ...bad].map((text) => verify(text)));
        expect(outcomes.map(({ status }) => status)).to.deep.equal([
          ...good.map(() => 'fulfilled'),
          ...bad.map(() => 'rejected'),
        ]);
        for (const [n, text] of bad.entries()) {
          const outcome = outcomes[8 + n] as PromiseRejectedResult;
          expect(outcome.reason).to.have.property('code', 'ERR_SPIFFE_JWT_UNTRUSTED');
          await rejection('ERR_SPIFFE_JWT_UNTRUSTED', verify(text));
        }
      });
    }

    it('are left to the thread pool, but for the first and for RSA', async () => {
      const bundles = JwtBundles.of(bundle());
      const under: unknown[] = [];
      const judged = (text: string): boolean => {
        const result = judgeToken(text, bundles, { audience: AUDIENCE, now: NOW });
        under.push(result);
        return result instanceof Promise;
      };
      const text = token();
      const rsa = byKid('RS256', 'rsa');
      await new Promise((resolve) => setImmediate(resolve));
      expect([text, text, text, rsa].map(judged)).to.deep.equal([false, true, true, false]);
      // Whoever waited for the first has gone on; the others are still under way.
      await Promise.resolve();
      expect([text, rsa].map(judged)).to.deep.equal([true, false]);
      await Promise.all(under);
      expect([text, rsa].map(judged)).to.deep.equal([false, false]);
    });

    it('refuse a signature of the wrong length, and try the keys one after another', async () => {
      const keys = [publicJwk(KEYS.other, 'key-1'), publicJwk(KEYS['key-1'], 'key-1')];
      const short = token().slice(0, -4);
      const outcomes = await Promise.allSettled(
        [token(), token(), short, short].map((text) => verify(text, { keys })),
      );
      expect(outcomes.map(({ status }) => status)).to.deep.equal([
        'fulfilled',
        'fulfilled',
        'rejected',
        'rejected',
      ]);
    });
  });
});

describe('JwtSvid.parseUnverified', () => {
  it('takes what was fetched, with its hint, by whomever it is signed', () => {
    const svid = JwtSvid.parseUnverified(token({}, KEYS.other), { hint: 'main' });
    expect(svid.hint).to.equal('main');
    expect(String(svid.id)).to.equal(ID);
    expect(JwtSvid.parseUnverified(token()).hint).to.equal('');
  });

  for (const [what, change] of [
    ['without audience (JWT-10)', { claims: { aud: undefined } }],
    ['without exp (JWT-14)', { claims: { exp: undefined } }],
    ['whose alg is none (JWT-04)', { header: { alg: 'none' } }],
  ] as const) {
    it(`holds its form to the standard: refused ${what}`, () => {
      refusal('ERR_SPIFFE_JWT_SVID_INVALID', 'not a valid JWT-SVID', () =>
        JwtSvid.parseUnverified(token(change)),
      );
    });
  }
});

describe('a token', () => {
  it('is in nothing that is printed or serialised', async () => {
    const text = token();
    const svid = await verify(text);
    const pieces = text.split('.').concat(text);
    const shown = [
      inspect(svid, { depth: 20, showHidden: true, maxStringLength: null }),
      JSON.stringify(svid),
      JSON.stringify(Object.values(svid)),
    ].join('\n');
    for (const piece of pieces) expect(shown).not.to.include(piece);
    expect(JSON.parse(JSON.stringify(svid))).to.deep.equal({
      id: ID,
      hint: '',
      audience: [AUDIENCE],
      expiresAt: '2030-01-01T00:05:00.000Z',
    });
    expect(svid.token).to.equal(text);
  });
});

describe('JwtBundle', () => {
  it('equals one of the same domain with the same keys, in whatever order', () => {
    const keys = entries();
    expect(bundle(keys).equals(bundle(keys.toReversed()))).to.equal(true);
    expect(bundle(keys).equals(bundle(keys.map((one) => ({ ...one, use: 'sig' }))))).to.equal(true);
  });

  for (const [what, other] of [
    ['another domain', bundle(entries(), 'jwks', 'other.test')],
    ['fewer keys', bundle(entries().slice(1))],
    ['a key under another kid', bundle([...entries().slice(1), publicJwk(KEYS['key-1'], 'key-2')])],
    ['another key under a kid', bundle([...entries().slice(1), publicJwk(KEYS.other, 'key-1')])],
    ['no keys', bundle([])],
  ] as const) {
    it(`does not equal one of ${what}`, () => {
      expect(bundle().equals(other)).to.equal(false);
      expect(other.equals(bundle())).to.equal(false);
      expect(other.equals(other)).to.equal(true);
    });
  }

  it('is frozen, and shows its kids and what it left out', () => {
    const one = bundle([publicJwk(KEYS.rsa, 'a'), { kty: 'oct' }, publicJwk(KEYS['key-1'], 'b')]);
    expect(one).to.be.frozen;
    expect(one.keyIds).to.be.frozen;
    expect(one.skipped).to.be.frozen;
    expect(one.keyIds).to.deep.equal(['a', 'b']);
    expect(one.skipped).to.have.length(1);
    expect(one.trustDomain.name).to.equal('example.org');
  });

  it('shows a hostile kid shortened', () => {
    const { skipped } = bundle([{ kid: 'x'.repeat(10_000), kty: 'oct', k: 'AA' }]);
    expect(skipped[0]?.length).to.be.below(200);
  });
});

describe('JwtBundles', () => {
  it('are found by trust domain and by name, and can be looked through', () => {
    const one = bundle();
    const two = bundle([], 'jwks', '__proto__');
    const set = JwtBundles.of(one, two);
    expect(set.get('example.org')).to.equal(one);
    expect(set.get(one.trustDomain)).to.equal(one);
    expect(set.get('__proto__')).to.equal(two);
    expect(set.get('constructor')).to.equal(undefined);
    expect(set.size).to.equal(2);
    expect([...set]).to.deep.equal([one, two]);
    expect(set).to.be.frozen;
  });

  it('BDL-03: hold the later of two for one domain', () => {
    const later = bundle([]);
    expect([...JwtBundles.of(bundle(), later)]).to.deep.equal([later]);
  });
});
