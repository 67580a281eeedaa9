import { constants, createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { JwtBundles, SpiffeError, type SpiffeErrorCode } from 'agent-spiffe';
import { expect } from 'chai';
import { makeKey } from '#lib/testing/keys.js';
import { base64url, publicJwk, signJws, signToken } from '../../support/craft-token.js';
import {
  bundle,
  type Circumstances,
  ID,
  KEYS,
  NOW_SECONDS,
  token,
  verify,
} from '../../support/jwt-world.js';

/** A token, and how it is verified where that is not as usual. */
type Case = readonly [text: string, circumstances?: Circumstances];

/** One defect, beside the same without it. */
interface Row {
  readonly requirement: string;
  readonly what: string;
  readonly code: SpiffeErrorCode;
  readonly says: string;
  readonly bad: () => Case;
  readonly twin: () => Case;
}

const FORM = 'ERR_SPIFFE_JWT_SVID_INVALID';
const AUDIENCE = 'ERR_SPIFFE_JWT_AUDIENCE';
const EXPIRED = 'ERR_SPIFFE_JWT_EXPIRED';
const UNTRUSTED = 'ERR_SPIFFE_JWT_UNTRUSTED';
const UNKNOWN = 'ERR_SPIFFE_BUNDLE_NOT_FOUND';

const good = (): Case => [token()];
const header = (change: Record<string, unknown>, key?: KeyObject): Case => [
  token({ header: change }, key),
];
const claims = (change: Record<string, unknown>): Case => [token({ claims: change })];

type Parts = [header: string, payload: string, signature: string];

/** A good token whose parts are changed after it was signed. */
function unsigned(change: (parts: Parts) => readonly string[]): Case {
  return [change(token().split('.') as Parts).join('.')];
}

/** A token whose parts are changed and then signed as they stand. */
function resigned(change: (parts: Parts) => readonly string[]): Case {
  const [head = '', body = ''] = change(token().split('.') as Parts);
  const signature = signJws(KEYS['key-1'], 'ES256', Buffer.from(`${head}.${body}`));
  return [`${head}.${body}.${signature.toString('base64url')}`];
}

/** A token of these texts, signed as they stand. */
const texts = (head: string | undefined, body: string): Case => [
  signToken(
    KEYS['key-1'],
    'ES256',
    head ?? JSON.stringify({ alg: 'ES256', kid: 'key-1', typ: 'JWT' }),
    body,
  ),
];
const payload = (more = ''): string =>
  `{"sub":"${ID}","aud":"reports","exp":${NOW_SECONDS + 60}${more}}`;

/** A token under this algorithm, with what stands as its signature. */
function signedBy(alg: string, kid: string, make: (data: Buffer) => Buffer): Case {
  const [, body = ''] = token().split('.');
  const head = base64url(JSON.stringify({ alg, kid, typ: 'JWT' }));
  return [`${head}.${body}.${make(Buffer.from(`${head}.${body}`)).toString('base64url')}`];
}

const raw = (digest: string, key: KeyObject) => (data: Buffer) =>
  sign(digest, data, { key, dsaEncoding: 'ieee-p1363' });
const pss = (digest: string, saltLength: number) => (data: Buffer) =>
  sign(digest, data, { key: KEYS.rsa, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });

/** A PSS signature that begins with a zero, as one in 256 does. */
function zeroFirst(data: Buffer): Buffer {
  for (;;) {
    const made = pss('sha256', 32)(data);
    if (made[0] === 0) return made;
  }
}

/** Signatures are random: one whose base64url has a letter that base64 writes otherwise. */
function withDash(): Parts {
  for (;;) {
    const parts = token().split('.') as Parts;
    if (/[-_]/.test(parts[2])) return parts;
  }
}

/** The same bytes in base64url, but for bits that are not used. */
function surplusBits(part: string): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = letters.indexOf(part.at(-1) ?? '');
  return part.slice(0, -1) + letters.charAt(last + 1);
}

/** A payload whose last letter has bits that are not used. */
const oddPayload = (): string => {
  for (let more = ''; ; more += ' ')
    if (Buffer.from(payload(more)).length % 3 !== 0) return payload(more);
};

const otherDomain = (): Circumstances => ({
  bundles: JwtBundles.of(bundle(), bundle([publicJwk(KEYS.other, 'key-1')], 'jwks', 'other.test')),
});

const FORMS: readonly Row[] = [
  {
    requirement: 'JWT-01',
    what: 'in the general JSON serialization',
    code: FORM,
    says: 'three parts',
    bad: () => {
      const [protectedHeader, body, signature] = token().split('.');
      const signatures = [{ protected: protectedHeader, signature }];
      return [JSON.stringify({ payload: body, signatures })];
    },
    twin: good,
  },
  {
    requirement: 'JWT-01',
    what: 'in the flattened JSON serialization',
    code: FORM,
    says: 'three parts',
    bad: () => {
      const [protectedHeader, body, signature] = token().split('.');
      return [JSON.stringify({ protected: protectedHeader, payload: body, signature })];
    },
    twin: good,
  },
  {
    requirement: 'JWT-01',
    what: 'with the five parts of a JWE',
    code: FORM,
    says: 'three parts',
    bad: () => unsigned((parts) => [...parts, 'AA', 'AA']),
    twin: good,
  },
  {
    requirement: 'JWT-01',
    what: 'without a signature part',
    code: FORM,
    says: 'three parts',
    bad: () => unsigned(([head, body]) => [head, body]),
    twin: good,
  },
  {
    requirement: 'JWT-01',
    what: 'with an empty signature',
    code: FORM,
    says: 'three parts',
    bad: () => unsigned(([head, body]) => [head, body, '']),
    twin: good,
  },
  {
    requirement: 'JWT-01',
    what: 'with an empty payload',
    code: FORM,
    says: 'three parts',
    bad: () => resigned(([head]) => [head, '']),
    twin: () => resigned((parts) => parts),
  },
  {
    requirement: 'JWT-01',
    what: 'with an empty header',
    code: FORM,
    says: 'three parts',
    bad: () => resigned(([, body]) => ['', body]),
    twin: () => resigned((parts) => parts),
  },
  {
    requirement: 'JWT-01',
    what: 'with a blank before it',
    code: FORM,
    says: 'header is not base64url',
    bad: () => [` ${token()}`],
    twin: good,
  },
  {
    requirement: 'JWT-01',
    what: 'with a newline behind it',
    code: FORM,
    says: 'signature is not base64url',
    bad: () => [`${token()}\n`],
    twin: good,
  },
  {
    requirement: 'JWT-01',
    what: 'with its scheme before it',
    code: FORM,
    says: 'header is not base64url',
    bad: () => [`Bearer ${token()}`],
    twin: good,
  },
  {
    requirement: 'JWT-01',
    what: 'whose payload is padded, and signed so',
    code: FORM,
    says: 'payload is not base64url',
    bad: () => resigned(([head]) => [head, Buffer.from(oddPayload()).toString('base64')]),
    twin: () => resigned(([head]) => [head, base64url(oddPayload())]),
  },
  {
    requirement: 'JWT-01',
    what: 'whose signature is in the other alphabet',
    code: FORM,
    says: 'signature is not base64url',
    bad: () => {
      const [head, body, signature] = withDash();
      return [`${head}.${body}.${signature.replaceAll('-', '+').replaceAll('_', '/')}`];
    },
    twin: () => [withDash().join('.')],
  },
  {
    requirement: 'JWT-01',
    what: 'whose payload holds what base64url passes over, and signed so',
    code: FORM,
    says: 'payload is not base64url',
    bad: () => resigned(([head, body]) => [head, `${body.slice(0, 8)}!${body.slice(8)}`]),
    twin: () => resigned((parts) => parts),
  },
  {
    requirement: 'JWT-01',
    what: 'whose payload has unused bits set, and signed so',
    code: FORM,
    says: 'payload is not base64url',
    bad: () => resigned(([head]) => [head, surplusBits(base64url(oddPayload()))]),
    twin: () => resigned(([head]) => [head, base64url(oddPayload())]),
  },
  {
    requirement: 'JWT-01',
    what: 'whose signature has unused bits set',
    code: FORM,
    says: 'signature is not base64url',
    // 64 bytes leave four bits over.
    bad: () => unsigned(([head, body, signature]) => [head, body, surplusBits(signature)]),
    twin: good,
  },
  {
    requirement: 'JWT-01',
    what: 'that is longer than 64 KiB',
    code: FORM,
    says: 'longer than 65536',
    bad: () => claims({ filling: 'x'.repeat(49_000) }),
    twin: () => claims({ filling: 'x'.repeat(48_000) }),
  },
  {
    requirement: 'RFC 7515 5.2',
    what: 'whose header is a list',
    code: FORM,
    says: 'header is not a JSON object',
    bad: () => texts('["ES256"]', payload()),
    twin: () => texts(undefined, payload()),
  },
  {
    requirement: 'RFC 7519 7.2',
    what: 'whose payload is a list',
    code: FORM,
    says: 'payload is not a JSON object',
    bad: () => texts(undefined, `[${payload()}]`),
    twin: () => texts(undefined, payload()),
  },
  {
    requirement: 'RFC 7519 7.2',
    what: 'whose payload begins with a byte order mark',
    code: FORM,
    says: 'payload is not a JSON object',
    bad: () => texts(undefined, `\uFEFF${payload()}`),
    twin: () => texts(undefined, ` ${payload()}`),
  },
  {
    requirement: 'RFC 7519 7.2',
    what: 'whose payload is Latin-1',
    code: FORM,
    says: 'payload is not a JSON object',
    bad: () =>
      resigned(([head]) => [
        head,
        Buffer.from(payload(',"name":"Zoë"'), 'latin1').toString('base64url'),
      ]),
    twin: () => resigned(([head]) => [head, base64url(payload(',"name":"Zoë"'))]),
  },
  {
    requirement: 'RFC 7519 7.2',
    what: 'whose payload has something behind it',
    code: FORM,
    says: 'payload is not a JSON object',
    bad: () => texts(undefined, `${payload()}{}`),
    twin: () => texts(undefined, `${payload()} \n`),
  },
];

const secp256k1 = (): KeyObject =>
  generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey;
const ed25519 = (): KeyObject => generateKeyPairSync('ed25519').privateKey;

const HEADERS: readonly Row[] = [
  {
    requirement: 'JWT-04',
    what: 'with alg none and no signature to speak of',
    code: FORM,
    says: 'its alg is none of',
    bad: () => signedBy('none', 'key-1', () => Buffer.from('x')),
    twin: () => signedBy('ES256', 'key-1', raw('sha256', KEYS['key-1'])),
  },
  {
    requirement: 'JWT-04',
    what: 'with an HMAC by the public key',
    code: FORM,
    says: 'its alg is none of',
    bad: () => {
      const secret = JSON.stringify(publicJwk(KEYS['key-1'], 'key-1'));
      return signedBy('HS256', 'key-1', (data) =>
        createHmac('sha256', secret).update(data).digest(),
      );
    },
    twin: () => signedBy('ES256', 'key-1', raw('sha256', KEYS['key-1'])),
  },
  {
    requirement: 'JWT-04',
    what: 'signed with EdDSA',
    code: FORM,
    says: 'its alg is none of',
    bad: () => signedBy('EdDSA', 'key-1', (data) => sign(null, data, ed25519())),
    twin: () => signedBy('ES256', 'key-1', raw('sha256', KEYS['key-1'])),
  },
  {
    requirement: 'JWT-04',
    what: 'signed with ES256K',
    code: FORM,
    says: 'its alg is none of',
    bad: () => signedBy('ES256K', 'key-1', raw('sha256', secp256k1())),
    twin: () => signedBy('ES256', 'key-1', raw('sha256', KEYS['key-1'])),
  },
  {
    requirement: 'JWT-04',
    what: 'without alg',
    code: FORM,
    says: 'its alg is none of',
    bad: () => texts('{"kid":"key-1"}', payload()),
    twin: () => texts('{"kid":"key-1","alg":"ES256"}', payload()),
  },
  {
    requirement: 'JWT-04',
    what: 'with its alg in lower case',
    code: FORM,
    says: 'its alg is none of',
    bad: () => header({ alg: 'es256' }),
    twin: () => header({ alg: 'ES256' }),
  },
  {
    requirement: 'JWT-04',
    what: 'with a list of algorithms',
    code: FORM,
    says: 'its alg is none of',
    bad: () => header({ alg: ['ES256'] }),
    twin: () => header({ alg: 'ES256' }),
  },
  {
    requirement: 'JWT-04',
    what: 'whose bad alg hides behind a bad typ: alg is judged first',
    code: FORM,
    says: 'its alg is none of',
    bad: () => header({ alg: 'none', typ: 'x' }),
    twin: () => header({ typ: undefined }),
  },
  {
    requirement: 'JWT-08 WIT-32',
    what: 'of typ wit+jwt',
    code: FORM,
    says: 'its typ is neither',
    bad: () => header({ typ: 'wit+jwt' }),
    twin: () => header({ typ: 'JWT' }),
  },
  {
    requirement: 'JWT-08',
    what: 'of typ at+jwt',
    code: FORM,
    says: 'its typ is neither',
    bad: () => header({ typ: 'at+jwt' }),
    twin: () => header({ typ: 'JOSE' }),
  },
  {
    requirement: 'JWT-08 A-12',
    what: 'of typ jwt in lower case',
    code: FORM,
    says: 'its typ is neither',
    bad: () => header({ typ: 'jwt' }),
    twin: () => header({ typ: undefined }),
  },
  {
    requirement: 'JWT-08',
    what: 'of typ null',
    code: FORM,
    says: 'its typ is neither',
    bad: () => header({ typ: null }),
    twin: () => header({ typ: 'JWT' }),
  },
  {
    requirement: 'JWT-03 A-32',
    what: 'with an empty crit',
    code: FORM,
    says: 'has crit',
    bad: () => header({ crit: [] }),
    twin: () => header({ critical: [] }),
  },
  {
    requirement: 'JWT-03',
    what: 'with a crit that lists what it has',
    code: FORM,
    says: 'has crit',
    bad: () => header({ crit: ['b64'], b64: true }),
    twin: () => header({ b64: true }),
  },
  {
    requirement: 'RFC 7515 4.1.4',
    what: 'with a number as kid',
    code: FORM,
    says: 'its kid is not a string',
    bad: () => header({ kid: 1 }),
    twin: () => header({ kid: 'key-1' }),
  },
  {
    requirement: 'JWT-03',
    what: 'signed by the key that it brings along',
    code: UNTRUSTED,
    says: 'no key of its kid',
    bad: () => header({ jwk: publicJwk(KEYS.other, 'key-1') }, KEYS.other),
    // A-04: other headers are passed over.
    twin: () => header({ jwk: publicJwk(KEYS.other, 'key-1') }),
  },
  {
    requirement: 'JWT-03',
    what: 'signed by a key that is to be had elsewhere',
    code: UNTRUSTED,
    says: 'no key of its kid',
    bad: () => header({ jku: 'https://evil.test/keys', x5u: 'https://evil.test/c' }, KEYS.other),
    twin: () => header({ jku: 'https://evil.test/keys', x5u: 'https://evil.test/c' }),
  },
];

const RSA = (): KeyObject => KEYS.rsa;
const zeros = (length: number) => () => Buffer.alloc(length);

const SIGNATURES: readonly Row[] = [
  {
    requirement: 'JWT-05',
    what: 'under ES256 by a key on P-384',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => signedBy('ES256', 'p-384', raw('sha256', KEYS['p-384'])),
    twin: () => signedBy('ES384', 'p-384', raw('sha384', KEYS['p-384'])),
  },
  {
    requirement: 'JWT-05',
    what: 'under ES384 by a key on P-256',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => signedBy('ES384', 'key-1', raw('sha384', KEYS['key-1'])),
    twin: () => signedBy('ES256', 'key-1', raw('sha256', KEYS['key-1'])),
  },
  {
    requirement: 'JWT-05',
    what: 'under ES512 by a key on P-384',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => signedBy('ES512', 'p-384', raw('sha512', KEYS['p-384'])),
    twin: () => signedBy('ES512', 'p-521', raw('sha512', KEYS['p-521'])),
  },
  {
    requirement: 'JWT-05',
    what: 'under ES512 with the digest of ES256',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => signedBy('ES512', 'p-521', raw('sha256', KEYS['p-521'])),
    twin: () => signedBy('ES512', 'p-521', raw('sha512', KEYS['p-521'])),
  },
  {
    requirement: 'JWT-05',
    what: 'under ES256 by an RSA key',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => signedBy('ES256', 'rsa', (data) => sign('sha256', data, RSA())),
    twin: () => signedBy('RS256', 'rsa', (data) => sign('sha256', data, RSA())),
  },
  {
    requirement: 'JWT-05',
    what: 'under RS256 by a key on P-256',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => signedBy('RS256', 'key-1', (data) => sign('sha256', data, KEYS['key-1'])),
    twin: () => signedBy('RS256', 'rsa', (data) => sign('sha256', data, RSA())),
  },
  {
    requirement: 'JWT-05',
    what: 'under PS256 with a PKCS#1 signature',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => signedBy('PS256', 'rsa', (data) => sign('sha256', data, RSA())),
    twin: () => signedBy('PS256', 'rsa', pss('sha256', 32)),
  },
  {
    requirement: 'JWT-05',
    what: 'under RS256 with a PSS signature',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => signedBy('RS256', 'rsa', pss('sha256', 32)),
    twin: () => signedBy('RS256', 'rsa', (data) => sign('sha256', data, RSA())),
  },
  ...(
    [
      ['PS256', 'sha256', 32, 31],
      ['PS256', 'sha256', 32, 0],
      ['PS384', 'sha384', 48, 32],
      ['PS512', 'sha512', 64, constants.RSA_PSS_SALTLEN_MAX_SIGN],
    ] as const
  ).map(
    ([alg, digest, right, wrong]): Row => ({
      requirement: 'JWT-05 RFC 7518 3.5',
      what: `under ${alg} with ${wrong < 0 ? 'the longest salt' : `a salt of ${wrong}`}`,
      code: UNTRUSTED,
      says: 'signed it (JWT-20)',
      bad: () => signedBy(alg, 'rsa', pss(digest, wrong)),
      twin: () => signedBy(alg, 'rsa', pss(digest, right)),
    }),
  ),
  {
    requirement: 'JWT-05 RFC 8017 8.1.2',
    what: 'under PS256 with a zero lost from the beginning of its signature',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => signedBy('PS256', 'rsa', (data) => zeroFirst(data).subarray(1)),
    twin: () => signedBy('PS256', 'rsa', zeroFirst),
  },
  {
    requirement: 'JWT-05 RFC 8017 8.1.2',
    what: 'under RS256 with a zero before its signature',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () =>
      signedBy('RS256', 'rsa', (data) =>
        Buffer.concat([Buffer.alloc(1), sign('sha256', data, RSA())]),
      ),
    twin: () => signedBy('RS256', 'rsa', (data) => sign('sha256', data, RSA())),
  },
  {
    requirement: 'JWT-05',
    what: 'under RS384 with the digest of RS256',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => signedBy('RS384', 'rsa', (data) => sign('sha256', data, RSA())),
    twin: () => signedBy('RS384', 'rsa', (data) => sign('sha384', data, RSA())),
  },
  {
    requirement: 'JWT-05',
    what: 'with its ECDSA signature in DER',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => signedBy('ES256', 'key-1', (data) => sign('sha256', data, KEYS['key-1'])),
    twin: () => signedBy('ES256', 'key-1', raw('sha256', KEYS['key-1'])),
  },
  {
    requirement: 'JWT-05',
    what: 'with a zero before its signature',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () =>
      signedBy('ES256', 'key-1', (data) =>
        Buffer.concat([Buffer.alloc(1), raw('sha256', KEYS['key-1'])(data)]),
      ),
    twin: () => signedBy('ES256', 'key-1', raw('sha256', KEYS['key-1'])),
  },
  {
    requirement: 'JWT-05',
    what: 'whose R and S are each written in one byte more',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () =>
      signedBy('ES256', 'key-1', (data) => {
        const made = raw('sha256', KEYS['key-1'])(data);
        const zero = Buffer.alloc(1);
        return Buffer.concat([zero, made.subarray(0, 32), zero, made.subarray(32)]);
      }),
    twin: () => signedBy('ES256', 'key-1', raw('sha256', KEYS['key-1'])),
  },
  {
    requirement: 'JWT-20',
    what: 'whose R and S are zero',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => signedBy('ES256', 'key-1', zeros(64)),
    twin: () => signedBy('ES256', 'key-1', raw('sha256', KEYS['key-1'])),
  },
  {
    requirement: 'JWT-20',
    what: 'whose RSA signature is zero',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => signedBy('RS256', 'rsa', zeros(256)),
    twin: () => signedBy('RS256', 'rsa', (data) => sign('sha256', data, RSA())),
  },
  {
    requirement: 'JWT-20',
    what: 'with the signature of another payload',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () =>
      unsigned(([head, body]) => [head, body, token({ claims: { jti: '2' } }).split('.')[2] ?? '']),
    twin: good,
  },
  {
    requirement: 'JWT-07',
    what: 'whose kid is that of another key',
    code: UNTRUSTED,
    says: 'no key of its kid',
    bad: () => header({ kid: 'p-384' }),
    twin: () => header({ kid: 'key-1' }),
  },
  {
    requirement: 'JWT-07',
    what: 'whose kid differs in case',
    code: UNTRUSTED,
    says: 'no key of its kid',
    bad: () => header({ kid: 'Key-1' }),
    twin: () => header({ kid: 'key-1' }),
  },
  {
    requirement: 'JWT-07 A-03',
    what: 'without kid, signed by none of the keys',
    code: UNTRUSTED,
    says: 'no key in the bundle',
    bad: () => header({ kid: undefined }, KEYS.other),
    twin: () => header({ kid: undefined }),
  },
  {
    requirement: 'WLA-47 JWT-20',
    what: 'of a trust domain without a bundle',
    code: UNKNOWN,
    says: 'no JWT bundle for the trust domain other.test',
    bad: () => [token({ claims: { sub: 'spiffe://other.test/x' } }, KEYS.other)],
    twin: () => [token({ claims: { sub: 'spiffe://other.test/x' } }, KEYS.other), otherDomain()],
  },
  {
    requirement: 'JWT-20 WLA-47',
    what: 'of our trust domain by a key of another one, under the same kid',
    code: UNTRUSTED,
    says: 'no key of its kid in the bundle of example.org',
    bad: () => [token({}, KEYS.other), otherDomain()],
    twin: () => [token(), otherDomain()],
  },
  {
    requirement: 'JWT-20',
    what: 'whose iss names another domain, by a key of that one',
    code: UNTRUSTED,
    says: 'in the bundle of example.org',
    bad: () => [token({ claims: { iss: 'spiffe://other.test' } }, KEYS.other), otherDomain()],
    twin: () => [token({ claims: { iss: 'spiffe://other.test' } }), otherDomain()],
  },
  {
    requirement: 'JWT-26 BDL-14',
    what: 'of a trust domain whose bundle is empty',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => [token(), { keys: [] }],
    twin: () => [token(), { keys: [publicJwk(KEYS['key-1'], 'key-1')] }],
  },
  {
    requirement: 'A-03',
    what: 'without kid, by a key behind 32 others of its kind',
    code: UNTRUSTED,
    says: 'signed it (JWT-20)',
    bad: () => [token({ header: { kid: undefined } }), { keys: crowd(32) }],
    twin: () => [token({ header: { kid: undefined } }), { keys: crowd(31) }],
  },
];

/** Many keys, and behind them the one that signs. */
function crowd(count: number): readonly unknown[] {
  const others = Array.from({ length: count }, (_, at) => publicJwk(makeKey('ec-p256'), `${at}`));
  return [...others, publicJwk(KEYS['key-1'], 'key-1')];
}

const subjects: readonly (readonly [string, string, unknown, string])[] = [
  ['JWT-09', 'without sub', undefined, 'no subject'],
  ['JWT-09', 'with a number as sub', 7, 'no subject'],
  ['JWT-09', 'with a list as sub', [ID], 'no subject'],
  ['JWT-09', 'with an empty sub', '', 'not a SPIFFE ID'],
  ['JWT-09', 'whose sub is a URL of the web', 'https://example.org/workload', 'not a SPIFFE ID'],
  ['JWT-09 ID-02', 'whose sub has a query', `${ID}?`, 'not a SPIFFE ID'],
  ['JWT-09 ID-11', 'whose sub ends in a slash', `${ID}/`, 'not a SPIFFE ID'],
  ['JWT-09 A-01', 'whose sub is in upper case', 'spiffe://EXAMPLE.org/workload', 'not a SPIFFE'],
  ['JWT-09 A-05', 'whose sub names the trust domain', 'spiffe://example.org', 'not a workload'],
  [
    'JWT-09 ID-17',
    'whose sub is longer than 2048 bytes',
    `spiffe://example.org/${'x'.repeat(2028)}`,
    'not a SPIFFE ID',
  ],
];

const audiences: readonly (readonly [string, string, SpiffeErrorCode, unknown, string])[] = [
  ['JWT-10', 'without aud', FORM, undefined, 'neither a string nor a list'],
  ['JWT-10', 'with an empty list as aud', FORM, [], 'neither a string nor a list'],
  ['JWT-11', 'with a number as aud', FORM, 1, 'neither a string nor a list'],
  ['JWT-11', 'with a number in aud', FORM, ['reports', 1], 'neither a string nor a list'],
  ['JWT-11', 'with a list in aud', FORM, [['reports']], 'neither a string nor a list'],
  ['JWT-11', 'with an object as aud', FORM, { 0: 'reports' }, 'neither a string nor a list'],
  ['JWT-11', 'for another service', AUDIENCE, 'mail', 'it is for "mail", and we are "reports"'],
  ['JWT-11', 'for one whose name begins as ours', AUDIENCE, 'reports-admin', '"reports-admin"'],
  ['JWT-11', 'for one whose name is the beginning of ours', AUDIENCE, 'report', '"report"'],
  ['JWT-11', 'for us in another case', AUDIENCE, 'Reports', '"Reports"'],
  ['JWT-11', 'for us with a blank', AUDIENCE, 'reports ', '"reports "'],
  ['JWT-11', 'for us among others in one string', AUDIENCE, 'mail,reports', '"mail,reports"'],
  ['JWT-11', 'for nobody', AUDIENCE, '', 'it is for ""'],
];

const times: readonly (readonly [string, string, SpiffeErrorCode, object, object, string])[] = [
  ['JWT-14', 'without exp', FORM, { exp: undefined }, {}, 'no exp'],
  ['JWT-15', 'with exp as text', FORM, { exp: `${NOW_SECONDS + 60}` }, {}, 'exp is not a number'],
  ['JWT-15', 'with exp null', FORM, { exp: null }, {}, 'exp is not a number'],
  ['JWT-15', 'with exp true', FORM, { exp: true }, {}, 'exp is not a number'],
  [
    'JWT-15',
    'whose exp is past',
    EXPIRED,
    { exp: NOW_SECONDS - 1 },
    {},
    'it expired at 2029-12-31',
  ],
  [
    'JWT-15 RFC 7519 4.1.4',
    'whose exp is this instant',
    EXPIRED,
    { exp: NOW_SECONDS },
    { exp: NOW_SECONDS + 0.001 },
    'it expired at 2030-01-01T00:00:00.000Z',
  ],
  ['JWT-15', 'whose exp is before 1970', EXPIRED, { exp: -1 }, {}, 'it expired at 1969-12-31'],
  [
    'JWT-16',
    'whose nbf is to come',
    EXPIRED,
    { nbf: NOW_SECONDS + 1 },
    { nbf: NOW_SECONDS },
    'not valid before 2030-01-01T00:00:01.000Z',
  ],
  ['JWT-16', 'with nbf as text', FORM, { nbf: '0' }, { nbf: 0 }, 'nbf is not a number'],
  [
    'JWT-15',
    'whose exp no date can hold',
    FORM,
    { exp: 8.64e12 + 1 },
    { exp: 8.64e12 },
    'exp is not a number of seconds',
  ],
  [
    'JWT-16',
    'whose nbf no date can hold',
    FORM,
    { nbf: -8.64e12 - 1 },
    { nbf: -8.64e12 },
    'nbf is not a number of seconds',
  ],
];

const CLAIMS: readonly Row[] = [
  ...subjects.map(
    ([requirement, what, sub, says]): Row => ({
      requirement,
      what,
      code: FORM,
      says,
      bad: () => claims({ sub }),
      twin: () => claims({ sub: ID }),
    }),
  ),
  ...audiences.map(
    ([requirement, what, code, aud, says]): Row => ({
      requirement,
      what,
      code,
      says,
      bad: () => claims({ aud }),
      twin: () => claims({ aud: ['mail', 'reports'] }),
    }),
  ),
  ...times.map(
    ([requirement, what, code, change, twin, says]): Row => ({
      requirement,
      what,
      code,
      says,
      bad: () => claims({ ...change }),
      twin: () => claims({ ...twin }),
    }),
  ),
  {
    requirement: 'JWT-15',
    what: 'whose exp overflows to infinity',
    code: FORM,
    says: 'exp is not a number',
    bad: () => texts(undefined, payload().replace(/\d+}$/, '1e400}')),
    twin: () => texts(undefined, payload().replace(/\d+}$/, '1e12}')),
  },
  {
    requirement: 'RFC 7519 4',
    what: 'whose sub is said twice, and is bad the second time',
    code: FORM,
    says: 'not a SPIFFE ID',
    bad: () => texts(undefined, payload(',"sub":"x"')),
    twin: () => texts(undefined, payload(`,"sub":"${ID}"`)),
  },
  {
    requirement: 'JWT-09',
    what: 'whose claims stand in what it inherits',
    code: FORM,
    says: 'no subject',
    bad: () => texts(undefined, `{"__proto__":${payload()}}`),
    twin: () => texts(undefined, payload(',"__proto__":{}')),
  },
];

const TABLE: readonly Row[] = [...FORMS, ...HEADERS, ...SIGNATURES, ...CLAIMS];

describe('a token with one defect', () => {
  it('stands in a table of more than 60', () => {
    expect(TABLE.length).to.be.above(60);
    expect(new Set(TABLE.map(({ what }) => what)).size).to.equal(TABLE.length);
  });

  for (const { requirement, what, code, says, bad, twin } of TABLE) {
    it(`${requirement}: is refused ${what}`, async () => {
      const [text, circumstances] = bad();
      const error: unknown = await verify(text, circumstances).then(
        ({ id }) => `it was taken for ${id}`,
        (reason: unknown) => reason,
      );
      expect(error).to.be.instanceOf(SpiffeError);
      const { code: given, message, cause } = error as SpiffeError;
      expect(given, message).to.equal(code);
      expect(message).to.include(says);
      // A token in a message would be one in a log.
      const parts = text.split('.').filter((part) => part.length > 20);
      for (const part of parts) expect(`${message} ${String(cause)}`).not.to.include(part);
    });

    it(`${requirement}: and taken without the defect (${what})`, async () => {
      const [text, circumstances] = twin();
      expect((await verify(text, circumstances)).id.path).to.not.equal('');
    });
  }
});
