import { JwtBundle, JwtBundles, verifyJwtSvid } from 'agent-spiffe';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { JwtSvid } from '#lib/identity/jwt/svid.js';
import { type KeyType, makeKey } from '#lib/testing/keys.js';
import { base64url, publicJwk } from '../support/craft-token.js';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';
import { mutateJson, mutateJsonText } from '../support/mutation/json.js';
import type { Random } from '../support/mutation/random.js';
import { mutateText } from '../support/mutation/text.js';

const KIB = 1024;
const HEADERS = ['alg', 'kid', 'typ', 'crit', 'jwk', '__proto__'];
const CLAIMS = ['sub', 'aud', 'exp', 'iat', 'nbf', '__proto__', 'toString'];
const KEY_MEMBERS = ['keys', 'kty', 'crv', 'x', 'y', 'n', 'e', 'd', 'kid', 'use', '__proto__'];
const TOKEN_PARTS = ['.', '..', '=', '+', '/', '-', '_', 'A', ' ', '\n', 'e30', 'é', '\u0000'];

const shown = (value: string): string => JSON.stringify(value.slice(0, 4000));

function changedJson(random: Random, value: string, names: readonly string[]): string {
  if (random.oneIn(3)) return mutateJsonText(random, value);
  try {
    return JSON.stringify(mutateJson(random, JSON.parse(value), names)) ?? '';
  } catch {
    return mutateJsonText(random, value);
  }
}

function changedToken(random: Random, token: string): string {
  if (random.oneIn(3)) return mutateText(random, token, TOKEN_PARTS);
  const parts = token.split('.');
  const at = random.int(Math.min(2, parts.length));
  const inside = Buffer.from(parts[at] ?? '', 'base64url').toString();
  return parts
    .with(at, base64url(changedJson(random, inside, at === 0 ? HEADERS : CLAIMS)))
    .join('.');
}

/** A document of one key, many times over. */
function many(type: KeyType): string {
  const jwk = publicJwk(makeKey(type), '');
  return JSON.stringify({
    keys: Array.from({ length: 2000 }, (_, at) => ({ ...jwk, kid: `${at}` })),
  });
}

describe('fuzzed JWT, with nothing but SpiffeError and never more than 50 ms', function () {
  this.timeout(FUZZ_TIMEOUT_MS);
  const ca = TestCa.create('example.org');
  let token: string;

  before(async () => {
    ({ token } = await ca.issueJwt('spiffe://example.org/workload', { audience: 'reports' }));
  });

  it('JwtSvid.parseUnverified: what it takes has a path, an audience of texts, and an expiry that is a time', async () => {
    const deep = '['.repeat(30 * KIB);
    const [head = ''] = token.split('.');
    await fuzz({
      good: [token],
      nasty: [
        '.'.repeat(60 * KIB),
        'a.'.repeat(30 * KIB),
        `${head}.${base64url(deep)}.AA`,
        `${base64url(`{"a":${deep}`)}.AA.AA`,
        `${head}.${base64url(`{"a":${deep}${']'.repeat(deep.length)}}`)}.AA`,
        'x'.repeat(1000 * KIB),
      ],
      mutate: changedToken,
      parse: (value) => {
        const svid = JwtSvid.parseUnverified(value);
        expect(svid.expiresAt.getTime()).not.to.be.NaN;
        expect(svid.audience.every((name) => typeof name === 'string')).to.equal(true);
        expect(svid.id.path).not.to.equal('');
      },
      show: shown,
    });
  });

  it('verifyJwtSvid: nothing that was changed is believed', async () => {
    const bundles = JwtBundles.of(ca.jwtBundle);
    const now = new Date();
    await fuzz({
      good: [token],
      mutate: changedToken,
      parse: async (value) => {
        await verifyJwtSvid(value, bundles, { audience: 'reports', now });
        expect(value).to.equal(token);
      },
      show: shown,
    });
  });

  it('JwtBundle.parse: what it leaves out it names, and many keys hold nobody up', async () => {
    await fuzz({
      good: [Buffer.from(ca.jwtBundleJson).toString()],
      nasty: [
        `{"keys":${'['.repeat(60 * KIB)}`,
        `{"keys":[${'{},'.repeat(20 * KIB)}{}]}`,
        ...(['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048'] as const).map(many),
      ],
      mutate: (random, value) => changedJson(random, value, KEY_MEMBERS),
      parse: (value) => {
        for (const format of ['jwks', 'spiffe'] as const) {
          const { keyIds, skipped } = JwtBundle.parse('example.org', value, { format });
          expect([...keyIds, ...skipped].every((name) => name !== '')).to.equal(true);
        }
      },
      show: shown,
    });
  });
});
