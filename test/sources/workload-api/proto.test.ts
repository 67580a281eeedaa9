import { SpiffeError } from 'agent-spiffe';
import { expect } from 'chai';
import protobuf from 'protobufjs';
import {
  FETCH_JWT_BUNDLES,
  FETCH_JWT_SVID,
  FETCH_X509_BUNDLES,
  FETCH_X509_SVID,
  type RpcMethod,
  VALIDATE_JWT_SVID,
} from '#lib/sources/workload-api/proto.js';
import type { StructValue } from '#lib/sources/workload-api/struct.js';
import { Random } from '../../support/random.js';

// Names and numbers from the tables of SPIFFE_Workload_API 5 and 6 and of google/protobuf/struct.proto.
const DESCRIPTION = `
syntax = "proto3";
message X509SVIDRequest {}
message X509SVIDResponse { repeated X509SVID svids = 1; repeated bytes crl = 2; map<string, bytes> federated_bundles = 3; }
message X509SVID { string spiffe_id = 1; bytes x509_svid = 2; bytes x509_svid_key = 3; bytes bundle = 4; string hint = 5; }
message X509BundlesRequest {}
message X509BundlesResponse { repeated bytes crl = 1; map<string, bytes> bundles = 2; }
message JWTSVIDRequest { repeated string audience = 1; string spiffe_id = 2; }
message JWTSVIDResponse { repeated JWTSVID svids = 1; }
message JWTSVID { string spiffe_id = 1; string svid = 2; string hint = 3; }
message JWTBundlesRequest {}
message JWTBundlesResponse { map<string, bytes> bundles = 1; }
message ValidateJWTSVIDRequest { string audience = 1; string svid = 2; }
message ValidateJWTSVIDResponse { string spiffe_id = 1; Struct claims = 2; }
message Struct { map<string, Value> fields = 1; }
message Value { oneof kind { NullValue null_value = 1; double number_value = 2; string string_value = 3; bool bool_value = 4; Struct struct_value = 5; ListValue list_value = 6; } }
enum NullValue { NULL_VALUE = 0; }
message ListValue { repeated Value values = 1; }
`;
const standard = protobuf.parse(DESCRIPTION).root;

function randomStruct(r: Random, depth = 0): StructValue {
  switch (r.below(depth > 3 ? 4 : 6)) {
    case 0:
      return null;
    case 1:
      return r.below(2) === 1;
    case 2:
      return (r.below(2 ** 31) - 2 ** 30) / 7;
    case 3:
      return r.text();
    case 4:
      return r.list(() => randomStruct(r, depth + 1));
    default:
      return r.map(() => randomStruct(r, depth + 1));
  }
}

type Plain = Record<string, unknown>;
interface Case {
  readonly name: string;
  readonly codec: RpcMethod<unknown, unknown>['request'];
  readonly make: (random: Random) => Plain;
  /** The same message in the terms of the reflected type. */
  readonly reflect?: (message: Plain) => Plain;
}

function plainMap(map: unknown): Plain {
  expect(map).to.be.instanceOf(Map);
  return map instanceof Map ? Object.fromEntries<unknown>(map) : {};
}

function plainValue(value: unknown): Plain {
  if (value === null) return { nullValue: 0 };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'number') return { numberValue: value };
  if (typeof value === 'string') return { stringValue: value };
  if (Array.isArray(value)) return { listValue: { values: value.map(plainValue) } };
  return { structValue: plainStruct(value) };
}

function plainStruct(map: unknown): Plain {
  const members = Object.entries(plainMap(map));
  return { fields: Object.fromEntries(members.map(([key, value]) => [key, plainValue(value)])) };
}

const CASES: readonly Case[] = [
  { name: 'X509SVIDRequest', codec: FETCH_X509_SVID.request, make: () => ({}) },
  {
    name: 'X509SVIDResponse',
    codec: FETCH_X509_SVID.response,
    make: (r) => ({
      svids: r.list(() => ({
        spiffeId: r.text(),
        x509Svid: r.bytes(),
        x509SvidKey: r.bytes(),
        bundle: r.bytes(),
        hint: r.text(),
      })),
      crl: r.list(() => r.bytes()),
      federatedBundles: r.map(() => r.bytes()),
    }),
    reflect: (m) => ({ ...m, federatedBundles: plainMap(m['federatedBundles']) }),
  },
  { name: 'X509BundlesRequest', codec: FETCH_X509_BUNDLES.request, make: () => ({}) },
  {
    name: 'X509BundlesResponse',
    codec: FETCH_X509_BUNDLES.response,
    make: (r) => ({ crl: r.list(() => r.bytes()), bundles: r.map(() => r.bytes()) }),
    reflect: (m) => ({ ...m, bundles: plainMap(m['bundles']) }),
  },
  {
    name: 'JWTSVIDRequest',
    codec: FETCH_JWT_SVID.request,
    make: (r) => ({ audience: r.list(() => r.text()), spiffeId: r.text() }),
  },
  {
    name: 'JWTSVIDResponse',
    codec: FETCH_JWT_SVID.response,
    make: (r) => ({
      svids: r.list(() => ({ spiffeId: r.text(), svid: r.text(), hint: r.text() })),
    }),
  },
  { name: 'JWTBundlesRequest', codec: FETCH_JWT_BUNDLES.request, make: () => ({}) },
  {
    name: 'JWTBundlesResponse',
    codec: FETCH_JWT_BUNDLES.response,
    make: (r) => ({ bundles: r.map(() => r.bytes()) }),
    reflect: (m) => ({ bundles: plainMap(m['bundles']) }),
  },
  {
    name: 'ValidateJWTSVIDRequest',
    codec: VALIDATE_JWT_SVID.request,
    make: (r) => ({ audience: r.text(), svid: r.text() }),
  },
  {
    name: 'ValidateJWTSVIDResponse',
    codec: VALIDATE_JWT_SVID.response,
    make: (r) => ({ spiffeId: r.text(), claims: r.map(() => randomStruct(r)) }),
    reflect: (m) => ({ ...m, claims: plainStruct(m['claims']) }),
  },
];

/** Byte arrays of whatever class, as one. */
function normal(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (value instanceof Map) return new Map([...value].map(([k, v]) => [k, normal(v)]));
  if (Array.isArray(value)) return value.map(normal);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, normal(v)]));
}

function nested(levels: number): Uint8Array {
  let value: StructValue = 'in';
  for (let level = 0; level < levels; level++) value = [value];
  return VALIDATE_JWT_SVID.response.encode({ spiffeId: '', claims: new Map([['x', value]]) });
}

describe('the codec of the Workload API', () => {
  for (const { name, codec, make, reflect = (m: Plain) => m } of CASES) {
    it(`agrees with the standard's description of ${name}, in both directions (WLA-14 to WLA-37)`, () => {
      const type = standard.lookupType(name);
      for (let seed = 1; seed <= 60; seed++) {
        const sent = make(new Random(seed));
        const theirs = type.encode(type.fromObject(reflect(sent))).finish();
        const ours = codec.encode(sent);
        expect(normal(codec.decode(theirs)), `theirs, seed ${seed}`).to.deep.equal(normal(sent));
        expect(normal(codec.decode(ours)), `ours, seed ${seed}`).to.deep.equal(normal(sent));
        const read = type.toObject(type.decode(ours), { defaults: true });
        const expected = type.toObject(type.decode(theirs), { defaults: true });
        expect(normal(read), `ours read by theirs, seed ${seed}`).to.deep.equal(normal(expected));
      }
    });
  }

  it('calls the service without a package, by its name in the proto (WLA-03, A-13)', () => {
    const methods = [
      FETCH_X509_SVID,
      FETCH_X509_BUNDLES,
      FETCH_JWT_SVID,
      FETCH_JWT_BUNDLES,
      VALIDATE_JWT_SVID,
    ];
    expect(methods.map((m) => [m.path, m.requestStream, m.responseStream])).to.deep.equal([
      ['/SpiffeWorkloadAPI/FetchX509SVID', false, true],
      ['/SpiffeWorkloadAPI/FetchX509Bundles', false, true],
      ['/SpiffeWorkloadAPI/FetchJWTSVID', false, false],
      ['/SpiffeWorkloadAPI/FetchJWTBundles', false, true],
      ['/SpiffeWorkloadAPI/ValidateJWTSVID', false, false],
    ]);
  });

  it('keeps __proto__ and constructor as keys like any other', () => {
    const bundles = new Map([
      ['__proto__', Uint8Array.of(1)],
      ['constructor', Uint8Array.of(2)],
    ]);
    const { response } = FETCH_X509_BUNDLES;
    const read = response.decode(response.encode({ crl: [], bundles }));
    expect(normal(read.bundles)).to.deep.equal(
      new Map([
        ['__proto__', '01'],
        ['constructor', '02'],
      ]),
    );
  });

  it('skips fields it does not know, and known ones on another wire type', () => {
    const request = FETCH_JWT_SVID.request;
    const unknown = Buffer.from([
      // 9: a varint, fixed 64, fixed 32, bytes and a group; then field 1 as a varint.
      0x48, 0x96, 0x01, 0x49, 1, 2, 3, 4, 5, 6, 7, 8, 0x4d, 1, 2, 3, 4, 0x4a, 2, 9, 9, 0x4b, 0x48,
      1, 0x4c, 0x08, 0x05,
    ]);
    const known = request.encode({ audience: ['reports'], spiffeId: 'spiffe://td/a' });
    expect(request.decode(Buffer.concat([unknown, known, unknown]))).to.deep.equal({
      audience: ['reports'],
      spiffeId: 'spiffe://td/a',
    });
  });

  it('takes the last of a repeated single field, and merges a repeated single message', () => {
    const { request, response } = VALIDATE_JWT_SVID;
    const first = request.encode({ audience: 'a', svid: 'x' });
    const second = request.encode({ audience: 'b', svid: '' });
    expect(request.decode(Buffer.concat([first, second]))).to.deep.equal({
      audience: 'b',
      svid: 'x',
    });
    const one = response.encode({ spiffeId: '', claims: new Map([['sub', 'a']]) });
    const two = response.encode({ spiffeId: '', claims: new Map([['exp', 5]]) });
    expect(response.decode(Buffer.concat([one, two])).claims).to.deep.equal(
      new Map<string, StructValue>([
        ['sub', 'a'],
        ['exp', 5],
      ]),
    );
  });

  it('reads claims nested ten deep', () => {
    expect(VALIDATE_JWT_SVID.response.decode(nested(10)).claims.size).to.equal(1);
  });

  const x509: Case['codec'] = FETCH_X509_SVID.response;
  const claims: Case['codec'] = VALIDATE_JWT_SVID.response;
  const BROKEN: readonly (readonly [string, Case['codec'], Uint8Array])[] = [
    ['a tag that does not end', x509, Uint8Array.of(0x80)],
    ['field number 0', x509, Uint8Array.of(0x00, 0x01)],
    ['wire type 6', x509, Uint8Array.of(0x0e)],
    ['wire type 7', x509, Uint8Array.of(0x0f)],
    ['the end of a group that never began', x509, Uint8Array.of(0x4c)],
    ['a group that never ends', x509, Uint8Array.of(0x4b, 0x48, 1)],
    ['bytes longer than the message', x509, Uint8Array.of(0x12, 5, 1, 2)],
    ['a length of 4 GiB', x509, Uint8Array.of(0x12, 0xff, 0xff, 0xff, 0xff, 0x0f)],
    ['text longer than the message', claims, Uint8Array.of(0x0a, 5, 0x61)],
    ['text that is not UTF-8', claims, Uint8Array.of(0x0a, 2, 0xc3, 0x28)],
    ['text that encodes a surrogate', claims, Uint8Array.of(0x0a, 3, 0xed, 0xa0, 0x80)],
    ['an SVID that is cut short', x509, Uint8Array.of(0x0a, 3, 0x0a, 5, 0x61)],
    ['a map entry that is cut short', x509, Uint8Array.of(0x1a, 3, 0x0a, 5, 0x61)],
    ['a fixed 64-bit field that is cut short', x509, Uint8Array.of(0x49, 1, 2)],
    ['a claim without a value', claims, Uint8Array.of(0x12, 7, 0x0a, 5, 0x0a, 1, 0x61, 0x12, 0)],
    [
      'a claim that is not a number',
      claims,
      Uint8Array.of(0x12, 16, 0x0a, 14, 0x0a, 1, 0x61, 0x12, 9, 0x11, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f),
    ],
    ['claims nested a thousand deep', claims, nested(1000)],
  ];
  for (const [what, codec, bytes] of BROKEN) {
    it(`refuses ${what}`, () => {
      expect(() => codec.decode(bytes))
        .to.throw(SpiffeError, /^cannot decode \d+ bytes as a Workload API /)
        .with.property('code', 'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID');
    });
  }
});
