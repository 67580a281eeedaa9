import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto';
import { inspect } from 'node:util';
import { X509Svid } from 'agent-spiffe';
import { expect } from 'chai';
import { publicKeyInfo } from '#lib/testing/certificate.js';
import { bitString, integer, objectIdentifier, sequence } from '#lib/testing/der.js';
import { basicConstraints, keyUsage, subjectAltName } from '#lib/testing/extensions.js';
import { type KeyType, makeKey } from '#lib/testing/keys.js';
import {
  authority,
  type Change,
  drop,
  ID,
  leaf,
  MIDDLE,
  NOW,
  put,
  ROOT,
  raw,
  set,
  WORKLOAD_KEY,
} from '../../support/chain.js';
import { refusal } from '../../support/refusal.js';

const CODE = 'ERR_SPIFFE_X509_SVID_INVALID';
const pkcs8 = (key: KeyObject): Buffer => key.export({ type: 'pkcs8', format: 'der' });
const KEY = pkcs8(WORKLOAD_KEY);
const load = (certificates: Uint8Array = leaf(), key: Uint8Array = KEY): X509Svid =>
  X509Svid.fromDer(certificates, key);
const changed = (...changes: readonly Change[]): X509Svid => load(leaf(ROOT, ...changes));

/** Every form in which the key could be written out. */
const SECRETS: readonly string[] = [
  KEY.toString('hex'),
  KEY.toString('base64'),
  KEY.toString('latin1'),
  [...KEY].join(','),
  // The number alone: the 32 octets behind `04 20` of the SEC1 key.
  ...(['hex', 'base64', 'base64url'] as const).map((form) =>
    KEY.subarray(36, 68).toString(form).slice(0, 40),
  ),
  [...KEY.subarray(36, 68)].join(', '),
  'PRIVATE KEY',
];
const expectNoSecret = (text: string): void => {
  for (const secret of SECRETS) expect(text).not.to.include(secret);
};

describe('X509Svid.fromDer', () => {
  it('takes a leaf and its key', () => {
    const svid = load();
    expect(svid.id.toString()).to.equal(ID);
    expect(svid.hint).to.equal('');
    expect(svid.certificates).to.have.lengthOf(1);
    expect(svid.privateKey.equals(WORKLOAD_KEY)).to.equal(true);
    expect(svid.notBefore.toISOString()).to.equal('2026-06-01T11:59:50.000Z');
    expect(svid.notAfter.toISOString()).to.equal('2026-06-02T12:00:00.000Z');
  });

  it('keeps the hint and the order of the certificates', () => {
    const one = leaf(MIDDLE);
    const all = Buffer.concat([one, MIDDLE.certificate, ROOT.certificate]);
    const svid = X509Svid.fromDer(all, KEY, { hint: 'internal' });
    expect(svid.hint).to.equal('internal');
    expect(svid.certificates.map((der) => Buffer.from(der))).to.deep.equal([
      Buffer.from(one),
      Buffer.from(MIDDLE.certificate),
      Buffer.from(ROOT.certificate),
    ]);
  });

  for (const type of ['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048'] satisfies KeyType[]) {
    it(`takes a key of type ${type} (A-30)`, () => {
      const key = makeKey(type);
      const svid = load(leaf(ROOT, set({ publicKey: createPublicKey(key) })), pkcs8(key));
      expect(svid.privateKey.equals(key)).to.equal(true);
    });
  }

  it('gives the serial number as OpenSSL prints it', () => {
    for (const [serialNumber, hex] of [
      [0x80n, '80'],
      [1n, '01'],
      [0n, '00'],
      [0xabcdefn, 'abcdef'],
      [0x8000n, '8000'],
    ] as const) {
      expect(changed(set({ serialNumber })).serialNumber).to.equal(hex);
    }
  });

  it('holds it to no instant: the one who verifies does', () => {
    const old = new Date(NOW.getTime() - 1e10);
    expect(changed(set({ notBefore: old, notAfter: old })).notAfter.getTime()).to.equal(
      Math.floor(old.getTime() / 1000) * 1000,
    );
  });

  describe('holds its own leaf to the rules for a peer’s', () => {
    const rows: readonly (readonly [
      requirement: string,
      what: string,
      says: string,
      change: Change,
    ])[] = [
      ['X509-02', 'two SPIFFE IDs', '2 URIs', put(subjectAltName({ uris: [ID, ID] }))],
      ['X509-03', 'no SPIFFE ID', 'no URI', drop('2.5.29.17')],
      ['X509-07', 'no path', 'no path', put(subjectAltName({ uris: ['spiffe://example.org'] }))],
      [
        'X509-08',
        'a web address',
        'not a SPIFFE ID',
        put(subjectAltName({ uris: ['https://example.org/a'] })),
      ],
      ['X509-15, X509-28', 'cA true', "is a CA's", put(basicConstraints({ ca: true }))],
      ['X509-29', 'keyCertSign', 'may sign', put(keyUsage(['digitalSignature', 'keyCertSign']))],
      [
        'X509-22, A-06',
        'no digitalSignature',
        'lacks digitalSignature',
        put(keyUsage(['keyAgreement'])),
      ],
      ['X509-20, A-06', 'no key usage', 'lacks digitalSignature', drop('2.5.29.15')],
      [
        'X509-27',
        'an unknown critical extension',
        '1.2.3.4',
        put({ oid: '1.2.3.4', critical: true, value: integer(1) }),
      ],
      ['X509-27', 'a tail', 'left over', raw({ tail: integer(1) })],
    ];
    for (const [requirement, what, says, change] of rows) {
      it(`${what} is refused (${requirement})`, () => {
        refusal(CODE, says, () => changed(change));
        expect(load().id.toString()).to.equal(ID);
      });
    }
  });

  describe('refuses certificates', () => {
    const cases: readonly (readonly [
      what: string,
      says: string,
      certificates: Uint8Array,
      twin: Uint8Array,
    ])[] = [
      ['none', 'no certificate', new Uint8Array(0), leaf()],
      ['a byte behind them (WLA-16)', 'cut off', Buffer.concat([leaf(), Buffer.alloc(1)]), leaf()],
      [
        'a NUL between them (WLA-16)',
        'the certificate',
        Buffer.concat([leaf(MIDDLE), Buffer.alloc(2), MIDDLE.certificate]),
        Buffer.concat([leaf(MIDDLE), MIDDLE.certificate]),
      ],
      [
        'PEM (WLA-16)',
        'not DER certificates',
        Buffer.from('-----BEGIN CERTIFICATE-----\n'),
        leaf(),
      ],
      [
        'the leaf in the second place (X509-05)',
        'no path',
        Buffer.concat([ROOT.certificate, leaf()]),
        Buffer.concat([leaf(), ROOT.certificate]),
      ],
      [
        'two leaves (X509-10)',
        "beyond the leaf is not a CA's",
        Buffer.concat([leaf(), leaf()]),
        Buffer.concat([leaf(), ROOT.certificate]),
      ],
      [
        'a leaf behind a CA (X509-10)',
        "beyond the leaf is not a CA's",
        Buffer.concat([leaf(), ROOT.certificate, leaf()]),
        Buffer.concat([leaf(), ROOT.certificate, MIDDLE.certificate]),
      ],
      [
        'a CA behind it that may sign CRLs alone (X509-10)',
        "beyond the leaf is not a CA's",
        Buffer.concat([leaf(), authority({}, put(keyUsage(['cRLSign']))).certificate]),
        Buffer.concat([leaf(), authority({}, put(keyUsage(['keyCertSign']))).certificate]),
      ],
    ];
    for (const [what, says, certificates, twin] of cases) {
      it(`${what}, and takes their twin`, () => {
        refusal(CODE, says, () => load(certificates));
        expect(load(twin).id.toString()).to.equal(ID);
      });
    }

    it('that are no bytes', () => {
      for (const odd of [undefined, null]) {
        refusal(CODE, 'not DER certificates', () =>
          X509Svid.fromDer(odd as unknown as Uint8Array, KEY),
        );
      }
    });

    it('whose key is no point of its curve', () => {
      const curve = sequence(
        objectIdentifier('1.2.840.10045.2.1'),
        objectIdentifier('1.2.840.10045.3.1.7'),
      );
      const broken = sequence(curve, bitString(Buffer.alloc(65, 4)));
      const error = refusal(CODE, 'the public key of the leaf', () =>
        changed(set({ publicKey: broken })),
      );
      expect(error.cause).to.be.instanceOf(Error);
    });
  });

  describe('refuses the key', () => {
    const pem = WORKLOAD_KEY.export({ type: 'pkcs8', format: 'pem' }) as string;
    const sec1 = WORKLOAD_KEY.export({ type: 'sec1', format: 'der' });
    const encrypted = WORKLOAD_KEY.export({
      type: 'pkcs8',
      format: 'der',
      cipher: 'aes-256-cbc',
      passphrase: 'secret',
    });
    const rsa = makeKey('rsa-2048');
    const cases: readonly (readonly [what: string, key: Uint8Array])[] = [
      ['that is not there', new Uint8Array(0)],
      ['as PEM', Buffer.from(pem)],
      ['as SEC1', sec1],
      ['as PKCS#1', rsa.export({ type: 'pkcs1', format: 'der' })],
      ['that is encrypted', encrypted],
      ['with a byte behind it', Buffer.concat([KEY, Buffer.alloc(1)])],
      ['with another key behind it', Buffer.concat([KEY, KEY])],
      ['cut short', KEY.subarray(0, -1)],
      [
        'with an indefinite length',
        Buffer.concat([Buffer.from('3080', 'hex'), KEY.subarray(3), Buffer.alloc(2)]),
      ],
      ['that is a public key', Buffer.from(publicKeyInfo(createPublicKey(WORKLOAD_KEY)))],
      ['that is a certificate', leaf()],
      ['that is JSON', Buffer.from(JSON.stringify(WORKLOAD_KEY.export({ format: 'jwk' })))],
      ['in a SET', Buffer.concat([Buffer.from('31', 'hex'), KEY.subarray(1)])],
    ];
    for (const [what, key] of cases) {
      it(`${what} (WLA-17)`, () => {
        const error = refusal(CODE, 'not unencrypted PKCS#8 DER', () => load(leaf(), key));
        expect(error.cause, 'a cause made from the key').to.equal(undefined);
        expectNoSecret(inspect(error, { showHidden: true, depth: null }));
      });
    }

    it('of another leaf (WLA-19)', () => {
      for (const key of [makeKey('ec-p256'), makeKey('ec-p384'), rsa]) {
        const error = refusal(CODE, 'does not belong to the leaf', () => load(leaf(), pkcs8(key)));
        expect(error.message).to.include(ID);
        expectNoSecret(inspect(error, { showHidden: true, depth: null }));
      }
    });

    it('that only writes the leaf’s public half beside its own private one (WLA-19)', () => {
      const jwk = { ...makeKey('ec-p256').export({ format: 'jwk' }) };
      const { x, y } = createPublicKey(WORKLOAD_KEY).export({ format: 'jwk' });
      const forged = createPrivateKey({ key: { ...jwk, x, y } as JsonWebKey, format: 'jwk' });
      expect(createPublicKey(forged).equals(createPublicKey(WORKLOAD_KEY))).to.equal(true);
      refusal(CODE, 'does not belong to the leaf', () => load(leaf(), pkcs8(forged)));
    });

    it('of a kind that has no public half to compare with a leaf’s (WLA-19)', () => {
      for (const type of ['ed25519', 'x25519'] as const) {
        const { privateKey } = generateKeyPairSync(type as 'ed25519', {
          privateKeyEncoding: { type: 'pkcs8', format: 'der' },
          publicKeyEncoding: { type: 'spki', format: 'der' },
        });
        refusal(CODE, 'does not belong to the leaf', () => load(leaf(), privateKey));
      }
    });

    it('when it is no bytes', () => {
      refusal(CODE, 'not unencrypted PKCS#8 DER', () =>
        load(leaf(), null as unknown as Uint8Array),
      );
    });
  });

  describe('keeps the key to itself', () => {
    const svid = X509Svid.fromDer(leaf(), KEY, { hint: 'internal' });
    it('(and this would notice)', () => {
      const { d } = WORKLOAD_KEY.export({ format: 'jwk' });
      const buffer = Buffer.from(d ?? '', 'base64url');
      for (const leak of [KEY.toString('base64'), d, buffer.toString('hex'), [...KEY].join(', ')]) {
        expect(() => expectNoSecret(String(leak))).to.throw();
      }
    });

    const ways: readonly (readonly [what: string, show: () => string])[] = [
      ['inspect', () => inspect(svid)],
      [
        'inspect of all there is',
        () => inspect(svid, { showHidden: true, getters: true, depth: null, maxArrayLength: null }),
      ],
      ['JSON', () => JSON.stringify(svid)],
      ['a copy', () => inspect(Object.assign({}, svid), { maxArrayLength: null })],
      ['a structured clone', () => inspect(structuredClone(svid), { maxArrayLength: null })],
      ['inspect without a say', () => inspect(svid, { customInspect: false })],
      ['its own properties', () => Reflect.ownKeys(svid).map(String).join()],
      ['its entries', () => inspect(Object.entries(svid), { maxArrayLength: null })],
    ];
    for (const [what, show] of ways) {
      it(`in ${what}`, () => {
        expectNoSecret(show());
      });
    }

    it('and is in JSON what is worth a line in a log', () => {
      expect(JSON.parse(JSON.stringify(svid))).to.deep.equal({
        id: ID,
        hint: 'internal',
        serialNumber: svid.serialNumber,
        notBefore: '2026-06-01T11:59:50.000Z',
        notAfter: '2026-06-02T12:00:00.000Z',
      });
    });
  });

  it('cannot be changed, nor by the bytes it was made from', () => {
    const certificates = Buffer.from(leaf());
    const key = Buffer.from(KEY);
    const svid = X509Svid.fromDer(certificates, key);
    const before = Buffer.from(svid.certificates[0] as Uint8Array);
    certificates.fill(0);
    key.fill(0);
    expect(Buffer.from(svid.certificates[0] as Uint8Array)).to.deep.equal(before);
    expect(svid.privateKey.equals(WORKLOAD_KEY)).to.equal(true);
    for (const change of [
      { id: 'spiffe://example.org/admin' },
      { notAfter: new Date(0) },
      { privateKey: createPrivateKey({ key: KEY, format: 'der', type: 'pkcs8' }) },
    ]) {
      expect(() => Object.assign(svid, change)).to.throw(TypeError);
    }
    expect(() => (svid.certificates as Uint8Array[]).push(before)).to.throw(TypeError);
    svid.notAfter.setTime(0);
    svid.notBefore.setTime(0);
    expect(svid.notAfter.toISOString()).to.equal('2026-06-02T12:00:00.000Z');
    expect(svid.notBefore.toISOString()).to.equal('2026-06-01T11:59:50.000Z');
  });
});
