import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { JwtBundle, JwtBundles, verifyJwtSvid } from 'agent-spiffe';
import { makeKey } from '#lib/testing/keys.js';
import { base64url, goodParts, publicJwk, signJws } from '../craft-token.js';
import { base64, type Case, said, saidLater } from './case.js';
import { mutateJson, mutateJsonText } from './json.js';
import type { Random } from './random.js';
import { mutateText } from './text.js';

const ALGORITHMS = [
  'ES256',
  'ES384',
  'ES512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
];
const ODD_ALGORITHMS = ['none', 'HS256', 'EdDSA', 'ES256K', 'es256', '', 'RS1'];
const HEADERS = [
  'alg',
  'kid',
  'typ',
  'crit',
  'jku',
  'jwk',
  'x5c',
  'x5u',
  'b64',
  'cty',
  'zip',
  'enc',
  '__proto__',
  'Alg',
];
const CLAIMS = [
  'sub',
  'aud',
  'exp',
  'iat',
  'nbf',
  'iss',
  'jti',
  '__proto__',
  'Sub',
  'EXP',
  'constructor',
];
const JWK_MEMBERS = [
  'kty',
  'crv',
  'x',
  'y',
  'n',
  'e',
  'd',
  'k',
  'kid',
  'use',
  'alg',
  'key_ops',
  'x5c',
  'x5t',
  'ext',
];
const TOKEN_PARTS = ['.', '..', '=', '+', '/', '-', '_', 'A', ' ', '\n', '%', 'e30', 'é', '\u0000'];
const SUBJECTS = [
  'spiffe://example.org',
  'spiffe://example.org/',
  'SPIFFE://example.org/a',
  'spiffe://other.org/a',
  'spiffe://example.org/a/../b',
  'https://example.org/a',
  '',
];
const MINUTE = 60;
/** Off the present in seconds; nothing within a few seconds of the leeway, which both set at a minute. */
const OFFSETS = [
  -400, -90, -70, -50, -20, 0, 20, 50, 70, 90, 400, 1e6, 1e9, 1e15, 1e30, -1e10, 0.5,
];

interface NamedKey {
  readonly kid: string;
  readonly key: KeyObject;
  readonly jwk: Readonly<Record<string, unknown>>;
}

function named(kid: string, key: KeyObject): NamedKey {
  return { kid, key, jwk: publicJwk(key, kid) };
}

/** Good and bad tokens and key sets, each a few changes away from a good one. */
export class TokenMaker {
  readonly #random: Random;
  readonly #keys: ReadonlyMap<string, NamedKey>;
  readonly #good: readonly Readonly<Record<string, unknown>>[];
  readonly #goodJwks: string;
  readonly #parsed = new Map<string, JwtBundles>();
  /** Entries that a set of keys may hold beside the good ones. */
  readonly #odd: readonly Readonly<Record<string, unknown>>[];

  constructor(random: Random) {
    this.#random = random;
    const rsa = named('rsa', makeKey('rsa-2048'));
    const keys = {
      ES256: named('p256', makeKey('ec-p256')),
      ES384: named('p384', makeKey('ec-p384')),
      ES512: named('p521', makeKey('ec-p521')),
    };
    this.#keys = new Map(ALGORITHMS.map((alg) => [alg, keys[alg as 'ES256'] ?? rsa]));
    this.#good = [...new Set(this.#keys.values())].map(({ jwk }) => jwk);
    this.#goodJwks = JSON.stringify({ keys: this.#good });
    const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
    const edwards = generateKeyPairSync('ed25519').publicKey;
    this.#odd = [
      { ...small.export({ format: 'jwk' }), kid: 'small' },
      { ...edwards.export({ format: 'jwk' }), kid: 'edwards' },
      { ...keys.ES256.key.export({ format: 'jwk' }), kid: 'private' },
      { kty: 'oct', k: 'c2VjcmV0', kid: 'symmetric' },
      { kty: 'AKP', alg: 'ML-DSA-44', pub: 'AAAA', kid: 'unknown' },
      { ...keys.ES384.jwk, kid: '' },
      { ...keys.ES384.jwk, kid: undefined },
      { ...keys.ES384.jwk, kid: 'p256' },
    ];
  }

  /** A token, the key set of its domain and the audience. */
  token(): Case {
    const random = this.#random;
    const made: string[] = [];
    const text = this.#text(made);
    const jwks = this.#jwks(random.oneIn(8), made);
    const audience = random.oneIn(20)
      ? random.pick([['payroll'], ['Reports'], ['payroll', 'reports']])
      : ['reports'];
    const domain = random.oneIn(40) ? 'other.org' : 'example.org';
    return {
      kind: 'jwt',
      made,
      question: { kind: 'jwt', text, bundles: { [domain]: base64(Buffer.from(jwks)) }, audience },
      ours: () =>
        saidLater(async () => {
          const svid = await verifyJwtSvid(text, this.#bundles(domain, jwks), {
            audience,
            leewayMs: MINUTE * 1000,
          });
          // What callers build on: an instant, and an audience of texts.
          if (Number.isNaN(svid.expiresAt.getTime())) throw new TypeError('it expires at no time');
          return { id: svid.id.toString() };
        }),
    };
  }

  /** A set of keys. */
  keys(): Case {
    const made: string[] = [];
    const jwks = this.#jwks(true, made);
    return {
      kind: 'jwks',
      made,
      question: { kind: 'jwks', trustDomain: 'example.org', data: base64(Buffer.from(jwks)) },
      ours: () =>
        said(() => {
          const { keyIds } = JwtBundle.parse('example.org', jwks);
          // Half of a surrogate pair does not come through Go: here as there it becomes U+FFFD.
          return { items: keyIds.map((kid) => Buffer.from(kid).toString()) };
        }),
    };
  }

  /** Most tokens are judged by one and the same set: it is parsed once. */
  #bundles(domain: string, jwks: string): JwtBundles {
    if (jwks !== this.#goodJwks) return JwtBundles.of(JwtBundle.parse(domain, jwks));
    const known = this.#parsed.get(domain) ?? JwtBundles.of(JwtBundle.parse(domain, jwks));
    this.#parsed.set(domain, known);
    return known;
  }

  #text(made: string[]): string {
    const random = this.#random;
    const alg = random.oneIn(3) ? random.pick(ALGORITHMS) : 'ES256';
    const good = goodParts();
    const key = this.#keys.get(alg) as NamedKey;
    let header: unknown = { ...good.header, alg, kid: key.kid };
    let claims: unknown = good.claims;
    const kind = random.pick([
      'nothing',
      'header',
      'claims',
      'claims',
      'time',
      'subject',
      'alg',
      'kid',
      'text',
      'text',
      'header text',
      'claims text',
      'signature',
    ]);
    made.push(kind);
    if (kind === 'header') header = mutateJson(random, header, HEADERS);
    if (kind === 'claims') claims = mutateJson(random, claims, CLAIMS);
    if (kind === 'time')
      claims = {
        ...good.claims,
        [random.pick(['exp', 'nbf', 'iat'])]: Date.now() / 1000 + random.pick(OFFSETS),
      };
    if (kind === 'subject') claims = { ...good.claims, sub: random.pick(SUBJECTS) };
    if (kind === 'alg')
      header = {
        ...good.header,
        kid: key.kid,
        alg: random.pick([...ALGORITHMS, ...ODD_ALGORITHMS]),
      };
    if (kind === 'kid')
      header = {
        alg,
        typ: 'JWT',
        ...random.pick([
          {},
          { kid: '' },
          { kid: 1 },
          { kid: 'P256' },
          { kid: 'p384' },
          { kid: 'small' },
        ]),
      };
    let headText = JSON.stringify(header);
    let claimsText = JSON.stringify(claims);
    if (kind === 'header text') headText = mutateJsonText(random, headText);
    if (kind === 'claims text') claimsText = mutateJsonText(random, claimsText);
    const signed = `${base64url(headText)}.${base64url(claimsText)}`;
    let signature = signJws(key.key, alg, Buffer.from(signed));
    if (kind === 'signature') signature = this.#signature(signature, signed);
    const text = `${signed}.${signature.toString('base64url')}`;
    return kind === 'text' ? mutateText(random, text, TOKEN_PARTS) : text;
  }

  #signature(good: Buffer, signed: string): Buffer {
    const random = this.#random;
    const key = this.#keys.get('ES256') as NamedKey;
    return random.pick([
      Buffer.alloc(0),
      good.subarray(1),
      Buffer.concat([good, Buffer.alloc(1)]),
      Buffer.concat([Buffer.alloc(1), good]),
      Buffer.alloc(good.length),
      signJws(key.key, 'ES384', Buffer.from(signed)),
      signJws(
        (this.#keys.get('RS256') as NamedKey).key,
        random.pick(['RS256', 'PS256', 'RS512']),
        Buffer.from(signed),
      ),
    ]);
  }

  #jwks(changed: boolean, made: string[]): string {
    const random = this.#random;
    if (!changed) return this.#goodJwks;
    const good = this.#good;
    const kind = random.pick([
      'an odd key',
      'an odd key',
      'a changed key',
      'a changed key',
      'a changed document',
      'changed text',
      'a use',
    ]);
    made.push(`keys: ${kind}`);
    const at = random.int(good.length);
    switch (kind) {
      case 'an odd key':
        return JSON.stringify({ keys: random.shuffle([...good, random.pick(this.#odd)]) });
      case 'a changed key':
        return JSON.stringify({
          keys: good.with(at, mutateJson(random, good[at], JWK_MEMBERS) as never),
        });
      case 'a use':
        return JSON.stringify({
          keys: good.map((jwk) => ({
            ...jwk,
            use: random.pick(['jwt-svid', 'x509-svid', 'wit-svid', 'sig', 'enc', '', 1, null]),
          })),
        });
      case 'a changed document':
        return JSON.stringify(
          mutateJson(random, { keys: good }, ['keys', 'Keys', 'spiffe_sequence']),
        );
      default:
        return mutateJsonText(random, JSON.stringify({ keys: good }));
    }
  }
}
