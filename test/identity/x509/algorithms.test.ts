import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { expect } from 'chai';
import type { Authority } from '#lib/testing/authority.js';
import { publicKeyInfo } from '#lib/testing/certificate.js';
import {
  bitString,
  element,
  integer,
  nothing,
  objectIdentifier,
  octetString,
  sequence,
} from '#lib/testing/der.js';
import { makeKey } from '#lib/testing/keys.js';
import { algorithmIdentifier, type SignatureAlgorithm } from '#lib/testing/signature.js';
import {
  authority,
  type Case,
  ID,
  judgeRows,
  leaf,
  leafOf,
  ROOT,
  type Row,
  set,
  signedBy,
  verify,
} from '../../support/chain.js';

const UNTRUSTED = 'ERR_SPIFFE_X509_UNTRUSTED';
const INVALID = 'ERR_SPIFFE_X509_SVID_INVALID';
const noAlgorithm = 'a signature in its chain is none of';
const noKey = 'the key of an issuer in its chain is none of';
const noSignature = 'was not made by the issuer';

const once = <T>(make: () => T): (() => T) => {
  let made: T | undefined;
  return () => (made ??= make());
};
const viaDer = (der: Buffer): KeyObject =>
  createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
const pkcs8 = { type: 'pkcs8', format: 'der' } as const;
const spki = { type: 'spki', format: 'der' } as const;
const rsaOf = (modulusLength: number): KeyObject =>
  viaDer(
    generateKeyPairSync('rsa', {
      modulusLength,
      privateKeyEncoding: pkcs8,
      publicKeyEncoding: spki,
    }).privateKey,
  );
const pssKeyOf = (modulusLength: number): KeyObject =>
  viaDer(
    generateKeyPairSync('rsa-pss', {
      modulusLength,
      privateKeyEncoding: pkcs8,
      publicKeyEncoding: spki,
    }).privateKey,
  );
const curveOf = (namedCurve: string): KeyObject =>
  viaDer(
    generateKeyPairSync('ec', { namedCurve, privateKeyEncoding: pkcs8, publicKeyEncoding: spki })
      .privateKey,
  );

const rsa = once(() => makeKey('rsa-2048'));
const pssKey = once(() => pssKeyOf(2048));
const p384 = once(() => makeKey('ec-p384'));
const p521 = once(() => makeKey('ec-p521'));

/** An authority with this key. Its own signature is nobody's business: an anchor is trusted as it stands. */
function anchorOf(
  key: KeyObject,
  publicKey: KeyObject | Uint8Array = createPublicKey(key),
): Authority {
  return { ...authority({}, set({ publicKey })), key };
}
const caseOf = (anchor: Authority, one: Uint8Array): Case => ({
  chain: [one],
  anchors: [anchor.certificate],
});
/** A leaf signed by one of the writer's algorithms. */
const plain = (key: KeyObject, algorithm: SignatureAlgorithm) => (): Case => {
  const anchor = anchorOf(key);
  return caseOf(anchor, leaf(anchor, set({ algorithm })));
};
/** A leaf that names this algorithm and is signed so. */
const named =
  (
    key: () => KeyObject,
    identifier: Uint8Array,
    how: (tbs: Uint8Array, key: KeyObject) => Uint8Array,
  ) =>
  (): Case => {
    const anchor = anchorOf(key());
    return caseOf(
      anchor,
      signedBy(leafOf(anchor), identifier, (tbs) => how(tbs, key())),
    );
  };

const oid = (text: string, ...parameters: readonly Uint8Array[]): Uint8Array =>
  sequence(objectIdentifier(text), ...parameters);
const digest =
  (hash: string) =>
  (tbs: Uint8Array, key: KeyObject): Uint8Array =>
    sign(hash, tbs, key);

// RFC 4055 §2.1 and §3.1
const SHA1 = oid('1.3.14.3.2.26', nothing());
const SHA224 = oid('2.16.840.1.101.3.4.2.4', nothing());
const SHA256 = oid('2.16.840.1.101.3.4.2.1', nothing());
const SHA256_BARE = oid('2.16.840.1.101.3.4.2.1');
const SHA512 = oid('2.16.840.1.101.3.4.2.3', nothing());
const mgf1 = (hash: Uint8Array): Uint8Array => oid('1.2.840.113549.1.1.8', hash);
interface Pss {
  readonly hash?: Uint8Array | undefined;
  readonly mask?: Uint8Array | undefined;
  readonly salt?: Uint8Array | undefined;
  readonly tail?: readonly Uint8Array[];
}
function pss({
  hash = SHA256,
  mask = mgf1(SHA256),
  salt = integer(32),
  tail = [],
}: Pss = {}): Uint8Array {
  const parameters = [element(0xa0, hash), element(0xa1, mask), element(0xa2, salt), ...tail];
  return oid('1.2.840.113549.1.1.10', sequence(...parameters));
}
const salted =
  (saltLength: number, hash = 'sha256') =>
  (tbs: Uint8Array, key: KeyObject): Uint8Array =>
    sign(hash, tbs, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });

/** One that begins with a zero, as one of 256 does; `cut` off it. */
const beginningWithZero =
  (cut: number) =>
  (tbs: Uint8Array, key: KeyObject): Uint8Array => {
    for (;;) {
      const signature = salted(32)(tbs, key);
      if (signature[0] === 0) return signature.subarray(cut);
    }
  };

const goodRsa = named(rsa, oid('1.2.840.113549.1.1.11', nothing()), digest('sha256'));
const goodPss = named(rsa, pss(), salted(32));
const goodEc = (): Case => ({ chain: [leaf()] });

const ALGORITHMS: readonly Row[] = [
  {
    requirement: 'A-30',
    what: 'ECDSA with SHA-1',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(() => ROOT.key, oid('1.2.840.10045.4.1'), digest('sha1')),
    twin: named(() => ROOT.key, oid('1.2.840.10045.4.3.2'), digest('sha256')),
  },
  {
    requirement: 'A-30',
    what: 'ECDSA with SHA-224',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(() => ROOT.key, oid('1.2.840.10045.4.3.1'), digest('sha224')),
    twin: goodEc,
  },
  {
    requirement: 'A-30',
    what: 'RSA with SHA-1',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(rsa, oid('1.2.840.113549.1.1.5', nothing()), digest('sha1')),
    twin: goodRsa,
  },
  {
    requirement: 'A-30',
    what: 'RSA with MD5',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(rsa, oid('1.2.840.113549.1.1.4', nothing()), digest('md5')),
    twin: goodRsa,
  },
  {
    requirement: 'A-30',
    what: 'RSA with SHA-224',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(rsa, oid('1.2.840.113549.1.1.14', nothing()), digest('sha224')),
    twin: goodRsa,
  },
  {
    requirement: 'A-30',
    what: 'RSA with SHA-512/256',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(rsa, oid('1.2.840.113549.1.1.16', nothing()), digest('sha512-256')),
    twin: goodRsa,
  },
  {
    requirement: 'A-30',
    what: 'Ed25519',
    code: UNTRUSTED,
    says: noKey,
    bad: named(
      once(() =>
        viaDer(
          generateKeyPairSync('ed25519', { privateKeyEncoding: pkcs8, publicKeyEncoding: spki })
            .privateKey,
        ),
      ),
      oid('1.3.101.112'),
      (tbs, key) => sign(null, tbs, key),
    ),
    twin: goodEc,
    openssl: 'accepts',
  },
  {
    requirement: 'A-30',
    what: 'the name of Ed25519 over an ECDSA signature',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(() => ROOT.key, oid('1.3.101.112'), digest('sha256')),
    twin: goodEc,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27, A-34',
    what: 'ECDSA with a parameter (RFC 5758 3.2)',
    code: INVALID,
    says: 'left over',
    bad: named(() => ROOT.key, oid('1.2.840.10045.4.3.2', nothing()), digest('sha256')),
    twin: goodEc,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'RSA with a parameter that is not NULL',
    code: INVALID,
    says: 'left over',
    bad: named(rsa, oid('1.2.840.113549.1.1.11', octetString(Buffer.alloc(0))), digest('sha256')),
    twin: goodRsa,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'RSA with two parameters',
    code: INVALID,
    says: 'left over',
    bad: named(rsa, oid('1.2.840.113549.1.1.11', nothing(), nothing()), digest('sha256')),
    twin: goodRsa,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'RSA with a NULL that holds something',
    code: INVALID,
    says: 'NULL with content',
    bad: named(rsa, oid('1.2.840.113549.1.1.11', Buffer.from('050100', 'hex')), digest('sha256')),
    twin: goodRsa,
  },
  {
    requirement: 'X509-27',
    what: 'another digest than the one that was signed',
    code: UNTRUSTED,
    says: noSignature,
    bad: named(() => ROOT.key, oid('1.2.840.10045.4.3.3'), digest('sha256')),
    twin: named(() => ROOT.key, oid('1.2.840.10045.4.3.3'), digest('sha384')),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'ECDSA under the name of RSA',
    code: UNTRUSTED,
    says: noSignature,
    bad: named(() => ROOT.key, oid('1.2.840.113549.1.1.11', nothing()), digest('sha256')),
    twin: goodEc,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'RSA under the name of ECDSA',
    code: UNTRUSTED,
    says: noSignature,
    bad: named(rsa, oid('1.2.840.10045.4.3.2'), digest('sha256')),
    twin: goodRsa,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'PKCS#1 under the name of PSS',
    code: UNTRUSTED,
    says: noSignature,
    bad: named(rsa, pss(), digest('sha256')),
    twin: goodPss,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'PSS under the name of PKCS#1',
    code: UNTRUSTED,
    says: noSignature,
    bad: named(rsa, oid('1.2.840.113549.1.1.11', nothing()), salted(32)),
    twin: goodPss,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27, RFC 4055 1.2',
    what: 'PKCS#1 by a key that is for PSS',
    code: UNTRUSTED,
    says: noSignature,
    bad: () => {
      const anchor = anchorOf(rsa(), pssInfo());
      return caseOf(anchor, leaf(anchor, set({ algorithm: 'rsa-sha256' })));
    },
    twin: () => {
      const anchor = anchorOf(rsa(), pssInfo());
      return caseOf(anchor, leaf(anchor, set({ algorithm: 'rsa-pss-sha256' })));
    },
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'an ECDSA signature as the bare numbers r and s',
    code: UNTRUSTED,
    says: noSignature,
    bad: named(
      () => ROOT.key,
      oid('1.2.840.10045.4.3.2'),
      (tbs, key) => sign('sha256', tbs, { key, dsaEncoding: 'ieee-p1363' }),
    ),
    twin: goodEc,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'an ECDSA signature with a byte behind it',
    code: UNTRUSTED,
    says: noSignature,
    bad: named(
      () => ROOT.key,
      oid('1.2.840.10045.4.3.2'),
      (tbs, key) => Buffer.concat([sign('sha256', tbs, key), Buffer.alloc(1)]),
    ),
    twin: goodEc,
    openssl: 'refuses',
  },
];

/** The key of {@link rsa} as one that may make PSS signatures only (RFC 4055 §1.2: without parameters, any). */
const pssInfo = once(() => {
  const whole = Buffer.from(publicKeyInfo(createPublicKey(rsa())));
  const pkcs1 = createPublicKey(rsa()).export({ type: 'pkcs1', format: 'der' });
  expect(whole.subarray(-pkcs1.length)).to.deep.equal(pkcs1);
  return sequence(oid('1.2.840.113549.1.1.10'), bitString(pkcs1));
});

const PSS: readonly Row[] = [
  {
    requirement: 'A-30',
    what: 'PSS shorter than the modulus, its leading zero lost (RFC 8017 8.1.2)',
    code: UNTRUSTED,
    says: 'was not made by the issuer',
    bad: named(rsa, pss(), beginningWithZero(1)),
    twin: named(rsa, pss(), beginningWithZero(0)),
  },
  {
    requirement: 'A-30',
    what: 'PSS without parameters, which means SHA-1',
    code: INVALID,
    says: 'PSS parameters',
    bad: named(rsa, oid('1.2.840.113549.1.1.10'), salted(20, 'sha1')),
    twin: goodPss,
  },
  {
    requirement: 'A-30',
    what: 'PSS with parameters left empty, which means SHA-1',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(rsa, oid('1.2.840.113549.1.1.10', sequence()), salted(20, 'sha1')),
    twin: goodPss,
  },
  {
    requirement: 'A-30',
    what: 'PSS whose digest is left to be SHA-1',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(
      rsa,
      oid(
        '1.2.840.113549.1.1.10',
        sequence(element(0xa1, mgf1(SHA256)), element(0xa2, integer(32))),
      ),
      salted(32),
    ),
    twin: goodPss,
  },
  {
    requirement: 'A-30',
    what: 'PSS whose mask is left to be SHA-1',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(
      rsa,
      oid('1.2.840.113549.1.1.10', sequence(element(0xa0, SHA256), element(0xa2, integer(32)))),
      salted(32),
    ),
    twin: goodPss,
  },
  {
    requirement: 'A-30',
    what: 'PSS whose salt is left to be 20 octets',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(
      rsa,
      oid('1.2.840.113549.1.1.10', sequence(element(0xa0, SHA256), element(0xa1, mgf1(SHA256)))),
      salted(20),
    ),
    twin: named(rsa, pss({ salt: integer(20) }), salted(20)),
  },
  {
    requirement: 'A-30',
    what: 'PSS with SHA-1',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(rsa, pss({ hash: SHA1, mask: mgf1(SHA1), salt: integer(20) }), salted(20, 'sha1')),
    twin: goodPss,
  },
  {
    requirement: 'A-30',
    what: 'PSS with SHA-224',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(
      rsa,
      pss({ hash: SHA224, mask: mgf1(SHA224), salt: integer(28) }),
      salted(28, 'sha224'),
    ),
    twin: goodPss,
  },
  {
    requirement: 'A-30',
    what: 'PSS with another digest in its mask',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(rsa, pss({ mask: mgf1(SHA512) }), salted(32)),
    twin: goodPss,
  },
  {
    requirement: 'A-30',
    what: 'PSS with SHA-1 in its mask',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(rsa, pss({ mask: mgf1(SHA1) }), salted(32)),
    twin: goodPss,
  },
  {
    requirement: 'A-30',
    what: 'PSS with another mask than MGF1',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(rsa, pss({ mask: oid('1.2.840.113549.1.1.9', SHA256) }), salted(32)),
    twin: goodPss,
  },
  {
    requirement: 'A-30',
    what: 'PSS with a trailer field',
    code: UNTRUSTED,
    says: noAlgorithm,
    bad: named(rsa, pss({ tail: [element(0xa3, integer(2))] }), salted(32)),
    twin: goodPss,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'PSS with another salt than it says',
    code: UNTRUSTED,
    says: noSignature,
    bad: named(rsa, pss({ salt: integer(32) }), salted(31)),
    twin: named(rsa, pss({ salt: integer(31) }), salted(31)),
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27',
    what: 'PSS that says a salt longer than the key',
    code: UNTRUSTED,
    says: noSignature,
    bad: named(rsa, pss({ salt: integer(5000) }), salted(32)),
    twin: goodPss,
    openssl: 'refuses',
  },
  {
    requirement: 'X509-27, A-34',
    what: 'PSS with a negative salt length',
    code: INVALID,
    says: 'negative',
    bad: named(rsa, pss({ salt: Buffer.from('0201ff', 'hex') }), salted(32)),
    twin: goodPss,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'PSS with something behind its parameters',
    code: INVALID,
    says: 'left over',
    bad: named(
      rsa,
      oid(
        '1.2.840.113549.1.1.10',
        sequence(element(0xa0, SHA256), element(0xa1, mgf1(SHA256)), element(0xa2, integer(32))),
        nothing(),
      ),
      salted(32),
    ),
    twin: goodPss,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'PSS with two digests',
    code: INVALID,
    says: 'left over',
    bad: named(rsa, pss({ hash: Buffer.concat([SHA256, SHA256]) }), salted(32)),
    twin: goodPss,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'PSS with two masks',
    code: INVALID,
    says: 'left over',
    bad: named(rsa, pss({ mask: Buffer.concat([mgf1(SHA256), mgf1(SHA256)]) }), salted(32)),
    twin: goodPss,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'PSS with two salt lengths',
    code: INVALID,
    says: 'left over',
    bad: named(rsa, pss({ salt: Buffer.concat([integer(32), integer(32)]) }), salted(32)),
    twin: goodPss,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'PSS with something behind the digest of its mask',
    code: INVALID,
    says: 'left over',
    bad: named(rsa, pss({ mask: oid('1.2.840.113549.1.1.8', SHA256, nothing()) }), salted(32)),
    twin: goodPss,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'PSS with a digest with two parameters',
    code: INVALID,
    says: 'left over',
    bad: named(rsa, pss({ hash: oid('2.16.840.1.101.3.4.2.1', nothing(), nothing()) }), salted(32)),
    twin: named(rsa, pss({ hash: SHA256_BARE, mask: mgf1(SHA256_BARE) }), salted(32)),
  },
];

const issuerKey = (key: () => KeyObject) => (): Case => {
  const anchor = anchorOf(key());
  return caseOf(anchor, leaf(anchor));
};
/** An anchor whose public key is written by hand; its signature is of no other key. */
const issuerInfo = (info: () => Uint8Array) => (): Case => {
  const anchor = anchorOf(ROOT.key, info());
  return caseOf(anchor, leaf(anchor));
};
const EC = oid('1.2.840.10045.2.1', objectIdentifier('1.2.840.10045.3.1.7'));
const point = once(() => {
  const whole = publicKeyInfo(createPublicKey(ROOT.key));
  return Buffer.from(whole.subarray(-65));
});
const modulus = (): bigint => {
  const { n = '' } = createPublicKey(rsa()).export({ format: 'jwk' });
  return BigInt(`0x${Buffer.from(n, 'base64url').toString('hex')}`);
};
const rsaInfo = (...key: readonly Uint8Array[]): Uint8Array =>
  sequence(oid('1.2.840.113549.1.1.1', nothing()), bitString(sequence(...key)));
const goodEcKey = issuerInfo(() => sequence(EC, bitString(point())));
const rsaIssuer = (info: () => Uint8Array) => (): Case => {
  const anchor = anchorOf(rsa(), info());
  return caseOf(anchor, leaf(anchor));
};
const goodRsaKey = rsaIssuer(() => rsaInfo(integer(modulus()), integer(65537)));
const BUNDLE = 'ERR_SPIFFE_X509_BUNDLE_INVALID';

const KEYS: readonly Row[] = [
  {
    requirement: 'A-30',
    what: 'an authority with a P-224 key',
    code: UNTRUSTED,
    says: noKey,
    bad: issuerKey(() => curveOf('secp224r1')),
    twin: issuerKey(() => curveOf('prime256v1')),
    openssl: 'accepts',
  },
  {
    requirement: 'A-30',
    what: 'an authority with a secp256k1 key',
    code: UNTRUSTED,
    says: noKey,
    bad: issuerKey(() => curveOf('secp256k1')),
    twin: issuerKey(() => curveOf('prime256v1')),
    openssl: 'accepts',
  },
  {
    requirement: 'A-30',
    what: 'an authority with an RSA key of 1024 bits',
    code: UNTRUSTED,
    says: noKey,
    bad: issuerKey(() => rsaOf(1024)),
    twin: goodRsa,
    openssl: 'accepts',
  },
  {
    requirement: 'A-30',
    what: 'an authority with an RSA key of 2047 bits',
    code: UNTRUSTED,
    says: noKey,
    bad: issuerKey(() => rsaOf(2047)),
    twin: issuerKey(() => rsaOf(2048)),
    openssl: 'accepts',
  },
  {
    requirement: 'A-30',
    what: 'an authority with a PSS key of 1024 bits',
    code: UNTRUSTED,
    says: noKey,
    bad: issuerKey(() => pssKeyOf(1024)),
    twin: issuerKey(pssKey),
    openssl: 'accepts',
  },
  {
    requirement: 'X509-27',
    what: 'an authority whose key is no point of its curve',
    code: UNTRUSTED,
    says: noSignature,
    bad: issuerInfo(() => sequence(EC, bitString(Buffer.from(point()).fill(7, 1)))),
    twin: goodEcKey,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'an authority whose key has a bit left over',
    code: BUNDLE,
    says: 'whole octets',
    bad: issuerInfo(() => sequence(EC, Buffer.from('030201fe', 'hex'))),
    twin: goodEcKey,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'an authority whose key has something behind it',
    code: BUNDLE,
    says: 'left over',
    bad: issuerInfo(() => sequence(EC, bitString(point()), nothing())),
    twin: goodEcKey,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'an authority whose curve has something behind it',
    code: BUNDLE,
    says: 'left over',
    bad: issuerInfo(() =>
      sequence(
        oid('1.2.840.10045.2.1', objectIdentifier('1.2.840.10045.3.1.7'), nothing()),
        bitString(point()),
      ),
    ),
    twin: goodEcKey,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'an authority whose RSA key is no sequence',
    code: BUNDLE,
    says: 'the RSA key',
    bad: rsaIssuer(() =>
      sequence(oid('1.2.840.113549.1.1.1', nothing()), bitString(integer(modulus()))),
    ),
    twin: goodRsaKey,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'an authority whose modulus is negative',
    code: BUNDLE,
    says: 'the RSA modulus is negative',
    bad: rsaIssuer(() =>
      rsaInfo(element(2, Buffer.from(integer(modulus()).subarray(5))), integer(65537)),
    ),
    twin: goodRsaKey,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'an authority whose exponent is negative',
    code: BUNDLE,
    says: 'the RSA exponent is negative',
    bad: rsaIssuer(() => rsaInfo(integer(modulus()), Buffer.from('0201ff', 'hex'))),
    twin: goodRsaKey,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'an authority without an exponent',
    code: BUNDLE,
    says: 'the RSA exponent',
    bad: rsaIssuer(() => rsaInfo(integer(modulus()))),
    twin: goodRsaKey,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'an authority whose RSA key has something behind it',
    code: BUNDLE,
    says: 'left over',
    bad: rsaIssuer(() => rsaInfo(integer(modulus()), integer(65537), integer(1))),
    twin: goodRsaKey,
  },
  {
    requirement: 'X509-27, A-34',
    what: 'an authority whose key is of no algorithm',
    code: BUNDLE,
    says: 'the key algorithm',
    bad: issuerInfo(() => sequence(sequence(), bitString(point()))),
    twin: goodEcKey,
  },
];

describe('the signatures of a chain', () => {
  describe('by their algorithm', () => judgeRows(ALGORITHMS));
  describe('by the parameters of PSS', () => judgeRows(PSS));
  describe('by the key of the issuer', () => judgeRows(KEYS));

  const accepted: readonly (readonly [what: string, one: () => Case])[] = [
    ...(['ecdsa-sha256', 'ecdsa-sha384', 'ecdsa-sha512'] as const).flatMap((algorithm) => [
      [`${algorithm} by P-256`, () => plain(ROOT.key, algorithm)()] as const,
      [`${algorithm} by P-384`, () => plain(p384(), algorithm)()] as const,
      [`${algorithm} by P-521`, () => plain(p521(), algorithm)()] as const,
    ]),
    ...(
      [
        'rsa-sha256',
        'rsa-sha384',
        'rsa-sha512',
        'rsa-pss-sha256',
        'rsa-pss-sha384',
        'rsa-pss-sha512',
      ] as const
    ).map((algorithm) => [`${algorithm} by RSA`, () => plain(rsa(), algorithm)()] as const),
    ['rsa-pss-sha256 by a key that is for PSS alone', () => plain(pssKey(), 'rsa-pss-sha256')()],
    [
      'RSA without the NULL (RFC 4055 5: one must accept it)',
      named(rsa, oid('1.2.840.113549.1.1.11'), digest('sha256')),
    ],
    [
      'PSS whose digest has no NULL (RFC 4055 2.1)',
      named(rsa, pss({ hash: SHA256_BARE }), salted(32)),
    ],
    ['PSS with no salt', named(rsa, pss({ salt: integer(0) }), salted(0))],
    ['PSS with the longest salt', named(rsa, pss({ salt: integer(222) }), salted(222))],
    [
      'a key as a compressed point',
      issuerInfo(() => {
        const whole = point();
        return sequence(
          EC,
          bitString(
            Buffer.concat([Buffer.from([2 + ((whole[64] as number) & 1)]), whole.subarray(1, 33)]),
          ),
        );
      }),
    ],
  ];
  for (const [what, build] of accepted) {
    it(`may be ${what} (X509-27, A-30)`, () => {
      expect(verify(build()).id.toString()).to.equal(ID);
    });
  }

  it('are each of a kind of their own: the algorithm identifiers are those of RFC 4055 and 5758', () => {
    expect(Buffer.from(algorithmIdentifier('rsa-pss-sha256'))).to.deep.equal(Buffer.from(pss()));
  });
});
