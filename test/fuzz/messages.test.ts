import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { readJwtSvid, readValidation } from '#lib/sources/workload-api/jwt-content.js';
import { DEFAULT_LIMITS } from '#lib/sources/workload-api/limits.js';
import * as proto from '#lib/sources/workload-api/proto.js';
import { toStruct } from '#lib/sources/workload-api/struct-json.js';
import type { Codec } from '#lib/sources/workload-api/wire.js';
import { readX509Content } from '#lib/sources/workload-api/x509-content.js';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';
import { mutateBytes } from '../support/mutation/bytes.js';

const ID = 'spiffe://example.org/workload';
const KIB = 1024;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex').slice(0, 8000);

/** Values inside values: each a list (field 6) that holds the next (field 1), as deep as told. */
function nestedValues(depth: number): Uint8Array {
  let bytes: Uint8Array = Buffer.alloc(0);
  for (let at = 0; at < depth; at++) bytes = field(6, field(1, bytes));
  // A Struct's entry: field 1, with the value in field 2; the claims are field 2 of the message.
  return field(2, field(1, field(2, bytes)));
}

/** A length-delimited field. */
function field(number: number, bytes: Uint8Array): Uint8Array {
  const length: number[] = [];
  for (let left = bytes.length; ; left >>= 7) {
    if (left < 0x80) {
      length.push(left);
      break;
    }
    length.push((left & 0x7f) | 0x80);
  }
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes]);
}

const CODECS = {
  FETCH_X509_SVID: proto.FETCH_X509_SVID.response as Codec<unknown>,
  FETCH_X509_BUNDLES: proto.FETCH_X509_BUNDLES.response as Codec<unknown>,
  FETCH_JWT_SVID: proto.FETCH_JWT_SVID.response as Codec<unknown>,
  FETCH_JWT_BUNDLES: proto.FETCH_JWT_BUNDLES.response as Codec<unknown>,
  VALIDATE_JWT_SVID: proto.VALIDATE_JWT_SVID.response as Codec<unknown>,
};
type Method = keyof typeof CODECS;

describe('fuzzed messages of the Workload API, with nothing but SpiffeError and never more than 50 ms', function () {
  this.timeout(FUZZ_TIMEOUT_MS);
  const now = Date.now();
  let messages: Readonly<Record<Method, Uint8Array>>;
  let request: { readonly subject: string; readonly audience: readonly string[] };

  before(async () => {
    const ca = TestCa.create('example.org', { intermediate: true });
    const { certificates: x509Svid, key: x509SvidKey } = ca.issueDer(ID);
    const { token, claims } = await ca.issueJwt(ID, { audience: 'reports' });
    const federated = new Map([['spiffe://partner.test', TestCa.create('partner.test').bundleDer]]);
    const svid = { spiffeId: ID, x509Svid, x509SvidKey, bundle: ca.bundleDer, hint: 'main' };
    const { FETCH_X509_SVID, FETCH_X509_BUNDLES, FETCH_JWT_SVID } = proto;
    const { FETCH_JWT_BUNDLES, VALIDATE_JWT_SVID } = proto;
    request = { subject: '', audience: ['reports'] };
    messages = {
      FETCH_X509_SVID: FETCH_X509_SVID.response.encode({
        svids: [svid],
        crl: [],
        federatedBundles: federated,
      }),
      FETCH_X509_BUNDLES: FETCH_X509_BUNDLES.response.encode({ crl: [], bundles: federated }),
      FETCH_JWT_SVID: FETCH_JWT_SVID.response.encode({
        svids: [{ spiffeId: ID, svid: token, hint: '' }],
      }),
      FETCH_JWT_BUNDLES: FETCH_JWT_BUNDLES.response.encode({
        bundles: new Map([['spiffe://example.org', ca.jwtBundleJson]]),
      }),
      VALIDATE_JWT_SVID: VALIDATE_JWT_SVID.response.encode({
        spiffeId: ID,
        claims: toStruct(claims),
      }),
    };
  });

  it('the codecs: what they read is read the same when it is written again', async () => {
    await fuzz<readonly [method: Method, bytes: Uint8Array]>({
      good: Object.entries(messages) as [Method, Uint8Array][],
      nasty: [
        ['FETCH_X509_SVID', Buffer.alloc(64 * KIB, 0x0a)],
        ['VALIDATE_JWT_SVID', Buffer.alloc(64 * KIB, 0x12)],
        ['VALIDATE_JWT_SVID', nestedValues(2000)],
        ['FETCH_JWT_BUNDLES', Buffer.alloc(KIB, 0xff)],
      ],
      mutate: (random, [method, bytes]) => [
        random.oneIn(20) ? random.pick(Object.keys(messages) as Method[]) : method,
        mutateBytes(random, bytes),
      ],
      parse: ([method, bytes]) => {
        const codec = CODECS[method];
        const message = codec.decode(bytes);
        expect(codec.decode(codec.encode(message))).to.deep.equal(message);
      },
      show: ([method, bytes]) => `${method} ${hex(bytes)}`,
    });
  });

  it('what is made of them: an identity of our own is whole or refused', async () => {
    await fuzz<readonly [method: Method, bytes: Uint8Array]>({
      good: (['FETCH_X509_SVID', 'FETCH_JWT_SVID', 'VALIDATE_JWT_SVID'] as const).map(
        (method) => [method, messages[method]] as const,
      ),
      mutate: (random, [method, bytes]) => [method, mutateBytes(random, bytes)],
      parse: ([method, bytes]) => {
        if (method === 'FETCH_JWT_SVID') {
          const response = proto.FETCH_JWT_SVID.response.decode(bytes);
          expect(readJwtSvid(response, request, now).audience).to.deep.equal(['reports']);
        } else if (method === 'VALIDATE_JWT_SVID') {
          const response = proto.VALIDATE_JWT_SVID.response.decode(bytes);
          const { id, claims } = readValidation(response, 'reports');
          expect(claims['sub']).to.equal(id.toString());
        } else {
          const response = proto.FETCH_X509_SVID.response.decode(bytes);
          const { content } = readX509Content(response, DEFAULT_LIMITS, now);
          for (const { id } of content.svids)
            expect(content.bundles.get(id.trustDomain)).not.to.equal(undefined);
        }
      },
      show: ([method, bytes]) => `${method} ${hex(bytes)}`,
    });
  });
});
