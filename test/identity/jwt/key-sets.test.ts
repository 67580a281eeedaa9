import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { JwtBundle, type JwtBundleOptions, type SpiffeErrorCode } from 'agent-spiffe';
import { expect } from 'chai';
import { publicJwk } from '../../support/craft-token.js';
import { bundle, entries, type Jwk, KEYS, TD, token, verify } from '../../support/jwt-world.js';
import { refusal } from '../../support/refusal.js';
import { rejection } from '../../support/rejection.js';

/** One defect in the entry of the key that signed the token. */
interface Row {
  readonly requirement: string;
  readonly what: string;
  /** What is said of the entry that is left out; nothing, where it is none of ours. */
  readonly says: string | undefined;
  readonly bad: unknown;
  readonly twin?: unknown;
  readonly format?: JwtBundleOptions['format'];
  readonly signer?: KeyObject;
  readonly header?: Readonly<Record<string, unknown>>;
}

const EC = publicJwk(KEYS['key-1'], 'key-1');
const RSA = publicJwk(KEYS.rsa, 'rsa');
const BY_RSA = { signer: KEYS.rsa, header: { alg: 'RS256', kid: 'rsa' } };
const privateJwk = (key: KeyObject): Jwk => ({ ...key.export({ format: 'jwk' }) });

const smallRsa = createPrivateKey({
  key: generateKeyPairSync('rsa', {
    modulusLength: 1024,
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
    publicKeyEncoding: { type: 'spki', format: 'der' },
  }).privateKey,
  format: 'der',
  type: 'pkcs8',
});
const bytes = (...values: readonly number[]): string => Buffer.from(values).toString('base64url');
const flipped = (part: unknown): string => {
  const point = Buffer.from(String(part), 'base64url');
  point.writeUInt8(point.readUInt8(31) ^ 1, 31);
  return point.toString('base64url');
};

const ROWS: readonly Row[] = [
  { requirement: 'A-19', what: 'null', says: 'not an object', bad: null },
  { requirement: 'A-19', what: 'text', says: 'not an object', bad: JSON.stringify(EC) },
  { requirement: 'A-19', what: 'a list', says: 'not an object', bad: [EC] },
  {
    requirement: 'JWT-24',
    what: 'without kid',
    says: 'without kid',
    bad: { ...EC, kid: undefined },
  },
  {
    requirement: 'JWT-24',
    what: 'with an empty kid',
    says: 'without kid',
    bad: { ...EC, kid: '' },
  },
  {
    requirement: 'JWT-24',
    what: 'with a number as kid',
    says: 'without kid',
    bad: { ...EC, kid: 1 },
  },
  {
    requirement: 'BDL-11',
    what: 'without kty',
    says: 'neither EC nor RSA',
    bad: { ...EC, kty: undefined },
  },
  {
    requirement: 'BDL-11',
    what: 'of an unknown kty',
    says: 'neither EC nor RSA',
    bad: { ...EC, kty: 'AKP' },
  },
  {
    requirement: 'BDL-11',
    what: 'of kty ec in lower case',
    says: 'neither EC nor RSA',
    bad: { ...EC, kty: 'ec' },
  },
  {
    requirement: 'BDL-11 JWT-04',
    what: 'on Ed25519',
    says: 'neither EC nor RSA',
    bad: { kid: 'key-1', kty: 'OKP', crv: 'Ed25519', x: EC['x'] },
  },
  {
    requirement: 'A-32',
    what: 'that is symmetric',
    says: 'holds a private key',
    bad: { kid: 'key-1', kty: 'oct', k: EC['x'] },
  },
  {
    requirement: 'A-32',
    what: 'with the private half of an EC key',
    says: 'holds a private key',
    bad: { ...EC, ...privateJwk(KEYS['key-1']) },
  },
  {
    requirement: 'A-32',
    what: 'with the private half of an RSA key',
    says: 'holds a private key',
    bad: { ...RSA, ...privateJwk(KEYS.rsa) },
    twin: RSA,
    ...BY_RSA,
  },
  ...['p', 'q', 'dp', 'dq', 'qi', 'oth', 'd'].map(
    (name): Row => ({
      requirement: 'A-32',
      what: `with the member ${name} of a private key, though the rest is public`,
      says: 'holds a private key',
      bad: { ...RSA, [name]: 'AA' },
      twin: RSA,
      ...BY_RSA,
    }),
  ),
  {
    requirement: 'JWT-05',
    what: 'on secp256k1',
    says: 'no key on P-256',
    bad: { ...EC, crv: 'secp256k1' },
  },
  {
    requirement: 'JWT-05',
    what: 'without crv',
    says: 'no key on P-256',
    bad: { ...EC, crv: undefined },
  },
  {
    requirement: 'RFC 7518 6.2.1',
    what: 'with nothing of an EC key but its kty',
    says: 'no key on P-256',
    bad: { kid: 'key-1', kty: 'EC' },
  },
  {
    requirement: 'RFC 7518 6.2.1.2',
    what: 'whose coordinates are of another curve',
    says: 'no key on P-256',
    bad: { ...EC, crv: 'P-384' },
  },
  {
    requirement: 'RFC 7518 6.2.1.2',
    what: 'without y',
    says: 'no key on P-256',
    bad: { ...EC, y: undefined },
  },
  {
    requirement: 'RFC 7518 6.2.1.2',
    what: 'with a number as x',
    says: 'no key on P-256',
    bad: { ...EC, x: 1 },
  },
  {
    requirement: 'RFC 7518 6.2.1.2',
    what: 'whose x is a byte short',
    says: 'no key on P-256',
    bad: { ...EC, x: Buffer.from(String(EC['x']), 'base64url').subarray(1).toString('base64url') },
  },
  {
    requirement: 'RFC 7518 6.2.1.2',
    what: 'whose x has a zero before it',
    says: 'no key on P-256',
    bad: {
      ...EC,
      x: Buffer.concat([Buffer.alloc(1), Buffer.from(String(EC['x']), 'base64url')]).toString(
        'base64url',
      ),
    },
  },
  {
    requirement: 'RFC 7515 2',
    what: 'whose x is padded',
    says: 'no key on P-256',
    bad: { ...EC, x: `${String(EC['x'])}=` },
  },
  {
    requirement: 'RFC 7515 2',
    what: 'whose x is hexadecimal',
    says: 'no key on P-256',
    bad: { ...EC, x: Buffer.from(String(EC['x']), 'base64url').toString('hex') },
  },
  {
    requirement: 'A-19',
    what: 'that is no point of its curve',
    says: 'no valid key',
    bad: { ...EC, y: flipped(EC['y']) },
  },
  {
    requirement: 'JWT-05',
    what: 'of RSA with 1024 bits',
    says: 'no RSA key of 2048 to 8192 bits',
    bad: publicJwk(smallRsa, 'rsa'),
    twin: RSA,
    ...BY_RSA,
    signer: smallRsa,
  },
  {
    requirement: 'JWT-05',
    what: 'of RSA with 2047 bits',
    says: 'no RSA key of 2048 to 8192 bits',
    bad: { ...RSA, n: bytes(0x7f, ...Array.from({ length: 255 }, () => 0xff)) },
    twin: RSA,
    ...BY_RSA,
  },
  {
    requirement: 'A-19',
    what: 'of RSA with 8193 bits, which would cost too much to use',
    says: 'no RSA key of 2048 to 8192 bits',
    bad: { ...RSA, n: bytes(1, ...Array.from({ length: 1024 }, () => 0xff)) },
    twin: RSA,
    ...BY_RSA,
  },
  {
    requirement: 'RFC 7518 6.3.1',
    what: 'of RSA without modulus',
    says: 'no RSA key of 2048 to 8192 bits',
    bad: { ...RSA, n: undefined },
    twin: RSA,
    ...BY_RSA,
  },
  {
    requirement: 'RFC 7518 6.3.1',
    what: 'of RSA without exponent',
    says: 'no exponent',
    bad: { ...RSA, e: undefined },
    twin: RSA,
    ...BY_RSA,
  },
  {
    requirement: 'RFC 7518 6.3.1',
    what: 'of RSA with an empty exponent',
    says: 'no exponent',
    bad: { ...RSA, e: '' },
    twin: RSA,
    ...BY_RSA,
  },
  {
    requirement: 'A-19',
    what: 'of RSA with an exponent that would cost too much to use',
    says: 'no exponent of at most 4',
    bad: { ...RSA, e: bytes(1, 0, 0, 0, 1) },
    twin: RSA,
    ...BY_RSA,
  },
  {
    requirement: 'RFC 7515 2',
    what: 'of RSA with a padded exponent',
    says: 'no exponent',
    bad: { ...RSA, e: 'AQABAA==' },
    twin: RSA,
    ...BY_RSA,
  },
  {
    requirement: 'JWT-25 WLA-35',
    what: 'for X.509-SVIDs',
    says: undefined,
    bad: { ...EC, use: 'x509-svid' },
    twin: { ...EC, use: 'jwt-svid' },
  },
  {
    requirement: 'JWT-25 WLA-46 A-11',
    what: 'for WIT-SVIDs',
    says: undefined,
    bad: { ...EC, use: 'wit-svid' },
    twin: { ...EC, use: 'sig' },
  },
  {
    requirement: 'JWT-25',
    what: 'for encryption',
    says: undefined,
    bad: { ...EC, use: 'enc' },
    twin: { ...EC, use: undefined },
  },
  {
    requirement: 'JWT-25 BDL-13',
    what: 'whose use is in upper case',
    says: undefined,
    bad: { ...EC, use: 'JWT-SVID' },
    twin: { ...EC, use: 'jwt-svid' },
  },
  {
    requirement: 'JWT-25',
    what: 'with a number as use',
    says: undefined,
    bad: { ...EC, use: 1 },
    twin: { ...EC, use: 'jwt-svid' },
  },
  {
    requirement: 'JWT-25 BDL-12',
    what: 'without use, in a SPIFFE bundle',
    says: undefined,
    bad: { ...EC, use: undefined },
    twin: { ...EC, use: 'jwt-svid' },
    format: 'spiffe',
  },
  {
    requirement: 'JWT-25 BDL-12',
    what: 'with the use of plain sets, in a SPIFFE bundle',
    says: undefined,
    bad: { ...EC, use: 'sig' },
    twin: { ...EC, use: 'jwt-svid' },
    format: 'spiffe',
  },
];

const ofNeighbour = (): string => token({ header: { alg: 'ES384', kid: 'p-384' } }, KEYS['p-384']);

describe('a key set in which the entry of the signing key is one', () => {
  it('stands in a table of more than 30', () => {
    expect(ROWS.length).to.be.above(30);
    expect(new Set(ROWS.map(({ what }) => what)).size).to.equal(ROWS.length);
  });

  for (const row of ROWS) {
    const { requirement, what, says, bad, twin = EC, format = 'jwks', header = {} } = row;
    const { signer = KEYS['key-1'] } = row;
    const [neighbour = {}] = entries().filter(({ kid }) => kid === 'p-384');
    const use = format === 'spiffe' ? { use: 'jwt-svid' } : {};
    const beside = { ...neighbour, ...use };

    it(`${requirement}: ${what} loses that key, and no other`, async () => {
      const keys = [bad, beside];
      const parsed = bundle(keys, format);
      expect(parsed.keyIds).to.deep.equal(['p-384']);
      if (says === undefined) expect(parsed.skipped).to.deep.equal([]);
      else expect(parsed.skipped).to.have.length(1).and.to.have.nested.property('0').include(says);
      await rejection(
        'ERR_SPIFFE_JWT_UNTRUSTED',
        verify(token({ header }, signer), { keys, format }),
      );
      await verify(ofNeighbour(), { keys, format });
    });

    it(`${requirement}: without the defect it verifies (${what})`, async () => {
      const keys = [twin, beside];
      expect(bundle(keys, format).skipped).to.deep.equal([]);
      const signing = signer === smallRsa ? KEYS.rsa : signer;
      await verify(token({ header }, signing), { keys, format });
    });
  }
});

describe('a key set of very many keys', () => {
  it('is taken up to its 128th, and says how many it left out', async () => {
    const [one = {}] = entries();
    const keys = Array.from({ length: 130 }, (_, at) => ({ ...one, kid: `key-${at + 1}` }));
    const { keyIds, skipped } = bundle(keys);
    expect(keyIds).to.deep.equal(keys.slice(0, 128).map(({ kid }) => kid));
    expect(skipped).to.deep.equal(['2 entries behind the first 128, the limit']);
    expect(bundle(keys.slice(0, 128)).skipped).to.deep.equal([]);
    await verify(token({ header: { kid: 'key-128' } }), { keys });
    await rejection(
      'ERR_SPIFFE_JWT_UNTRUSTED',
      verify(token({ header: { kid: 'key-129' } }), { keys }),
    );
  });
});

describe('an RSA key', () => {
  for (const [bits, first] of [
    [2048, 0x80],
    [8192, 0x80],
    [8191, 0x40],
  ] as const) {
    it(`JWT-05: is taken with ${bits} bits`, () => {
      const rest = Array.from({ length: Math.ceil(bits / 8) - 1 }, () => 0xff);
      const { keyIds, skipped } = bundle([{ ...RSA, n: bytes(first, ...rest) }]);
      expect(skipped).to.deep.equal([]);
      expect(keyIds).to.deep.equal(['rsa']);
    });
  }

  it('JWT-05: is taken with an exponent of four octets', () => {
    expect(bundle([{ ...RSA, e: bytes(0x80, 0, 0, 1) }]).keyIds).to.deep.equal(['rsa']);
  });
});

describe('a document that is no key set', () => {
  const good = JSON.stringify({ keys: entries() });
  const rows: readonly (readonly [string, string, string | Uint8Array, SpiffeErrorCode?])[] = [
    ['BDL-10', 'without keys', '{}'],
    ['BDL-10', 'whose keys are an object', '{"keys":{}}'],
    ['BDL-10', 'whose keys are null', '{"keys":null}'],
    ['BDL-10', 'whose keys are inherited', '{"__proto__":{"keys":[]}}'],
    ['BDL-04', 'that is a list', `[${good}]`],
    ['BDL-04', 'that is empty', ''],
    ['BDL-04', 'that is cut off', good.slice(0, -1)],
    ['BDL-04', 'with a byte order mark', `\uFEFF${good}`],
    ['BDL-04', 'that is not UTF-8', Buffer.from('{"keys":[],"x":"\xE9"}', 'latin1')],
  ];
  for (const [requirement, what, document] of rows) {
    it(`${requirement}: is refused ${what}`, () => {
      refusal('ERR_SPIFFE_JWT_BUNDLE_INVALID', 'an array "keys"', () =>
        JwtBundle.parse(TD, document),
      );
    });
  }

  it('BDL-05: is taken with members that nobody knows, as text and as bytes', () => {
    const document = JSON.stringify({ keys: entries(), spiffe_sequence: 1, more: {} });
    expect(JwtBundle.parse(TD, document).keyIds).to.have.length(4);
    expect(JwtBundle.parse(TD, Buffer.from(document)).keyIds).to.have.length(4);
  });

  it('BDL-14: is taken without any key, and trusts nothing then', () => {
    expect(JwtBundle.parse(TD, '{"keys":[]}').keyIds).to.deep.equal([]);
  });

  it('is refused for what is no trust domain', () => {
    refusal('ERR_SPIFFE_TRUST_DOMAIN_INVALID', '', () => JwtBundle.parse('Example.org', good));
  });
});
