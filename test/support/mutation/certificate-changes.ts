import { createPublicKey } from 'node:crypto';
import { keyIdentifier } from '#lib/testing/authority.js';
import { distinguishedName } from '#lib/testing/certificate.js';
import { set as derSet, element, integer, objectIdentifier, sequence } from '#lib/testing/der.js';
import {
  authorityKeyIdentifier,
  basicConstraints,
  CLIENT_AUTH,
  type Extension,
  extKeyUsage,
  type KeyUsage,
  keyUsage,
  SERVER_AUTH,
  subjectAltName,
  subjectKeyIdentifier,
  uriNameConstraints,
} from '#lib/testing/extensions.js';
import { add, type Change, DAY_MS, drop, NOW, put, raw, set } from '../chain.js';
import { mutateBytes } from './bytes.js';
import { type Keys, signedPart } from './certificates.js';
import { mutateDer } from './der.js';
import { ID_PARTS, idText } from './ids.js';
import type { Random } from './random.js';
import { mutateText } from './text.js';

/** Makes a change of one kind; the name says which kind to whoever looks into a difference. */
type Maker = (random: Random, keys: Keys) => Change;

const USAGES: readonly KeyUsage[] = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
];
const PURPOSES = [SERVER_AUTH, CLIENT_AUTH, '1.3.6.1.5.5.7.3.3', '2.5.29.37.0', '1.2.3.4'];
/** Extensions that we do not read: key usage period, certificate policies, CRL distribution, authority information, freshest CRL, SCTs, one of nobody. */
const UNREAD = [
  '2.5.29.16',
  '2.5.29.32',
  '2.5.29.31',
  '1.3.6.1.5.5.7.1.1',
  '2.5.29.46',
  '1.3.6.1.4.1.11129.2.4.2',
  '1.2.3.4.5',
];
const ALL = ['2.5.29.14', '2.5.29.15', '2.5.29.17', '2.5.29.19', '2.5.29.35', '2.5.29.37'];
/** Where parsers of URLs, or of host names, come to other results. */
const IDS_OF_NOTE = [
  'spiffe://example.org',
  'spiffe://example.org/',
  'SPIFFE://example.org/workload',
  'spiffe://EXAMPLE.org/workload',
  'spiffe://example.org/workload#',
  'spiffe://example.org/workload?',
  'spiffe://example.org:443/workload',
  'spiffe://example.org/a/../workload',
  'spiffe://example.org/%77orkload',
  'spiffe://a..b/workload',
  'spiffe://example.org./workload',
  'spiffe://_x/workload',
  'spiffe://127.1/workload',
  'spiffe://other.org/workload',
];
const MINUTE_MS = 60_000;

const some = <T>(random: Random, list: readonly T[]): readonly T[] =>
  list.filter(() => random.oneIn(3));
const marked = (random: Random) => ({ critical: random.oneIn(2) });

/** A URI, or what a parser of URIs would take for one. */
const uri = (random: Random): string =>
  random.oneIn(2)
    ? idText(random).text
    : random.pick([
        'https://example.org/',
        'spiffe:',
        '',
        'a',
        'urn:x:y',
        'SPIFFE://example.org/workload',
      ]);

function names(random: Random): Extension {
  const count = random.pick([0, 1, 1, 1, 1, 2]);
  return subjectAltName(
    {
      uris: Array.from({ length: count }, () => uri(random)),
      dnsNames: random.oneIn(3)
        ? [random.pick(['example.org', '*.example.org', '', 'a b', 'é', 'x'.repeat(300)])]
        : [],
      ipAddresses: random.oneIn(5) ? [random.bytes(random.pick([4, 16, 5, 0]))] : [],
    },
    marked(random),
  );
}

function constraints(random: Random): Extension {
  return basicConstraints(
    {
      ca: random.oneIn(2),
      ...(random.oneIn(2) ? { pathLength: random.int(3) } : {}),
    },
    marked(random),
  );
}

function unread(random: Random): Extension {
  const value = random.oneIn(2) ? sequence() : random.bytes(random.int(6));
  return { oid: random.pick(UNREAD), critical: random.oneIn(3), value };
}

function odd(random: Random): Change {
  const oid = random.pick(ALL);
  return (fields) => {
    const one = fields.extensions.find((extension) => extension.oid === oid);
    if (one === undefined) return fields;
    const value = random.oneIn(2) ? mutateDer(random, one.value) : mutateBytes(random, one.value);
    return put({ ...one, value })(fields);
  };
}

function validity(random: Random): Change {
  const at = (): Date =>
    new Date(
      NOW.getTime() +
        random.pick([
          -400 * DAY_MS,
          -MINUTE_MS,
          -1000,
          0,
          1000,
          MINUTE_MS,
          DAY_MS,
          40 * 365 * DAY_MS,
        ]),
    );
  return set(random.oneIn(2) ? { notAfter: at() } : { notBefore: at() });
}

function name(random: Random): Uint8Array {
  const text = random.pick(['ca', 'ca 1', 'CA', ' ca', 'test']);
  const type = random.pick([0x0c, 0x13, 0x16, 0x1e]);
  const attribute = sequence(objectIdentifier('2.5.4.3'), element(type, Buffer.from(text)));
  return random.pick([
    distinguishedName(),
    distinguishedName({ commonName: text }),
    sequence(derSet(attribute)),
    sequence(derSet(attribute, attribute)),
  ]);
}

/** By kind. */
export const CERTIFICATE_CHANGES: Readonly<Record<string, Maker>> = {
  'other key usage': (random) => put(keyUsage(some(random, USAGES), marked(random))),
  'no such extension': (random) => drop(random.pick(ALL)),
  'other basic constraints': (random) => put(constraints(random)),
  'other names': (random) => put(names(random)),
  'a mutated URI': (random) => {
    const text = mutateText(random, 'spiffe://example.org/workload', ID_PARTS);
    return put(subjectAltName({ uris: [text] }, marked(random)));
  },
  'an ID of note': (random) =>
    put(subjectAltName({ uris: [random.pick(IDS_OF_NOTE)] }, marked(random))),
  'bytes for a URI': (random) =>
    put({
      oid: '2.5.29.17',
      value: sequence(
        element(0x86, mutateBytes(random, Buffer.from('spiffe://example.org/workload'))),
      ),
    }),
  'other purposes': (random) => put(extKeyUsage(some(random, PURPOSES), marked(random))),
  'an extension twice': (random) => (fields) =>
    add(random.pick(fields.extensions.length > 0 ? fields.extensions : [unread(random)]))(fields),
  'an unread extension': (random) => add(unread(random)),
  'name constraints': (random) =>
    add(
      uriNameConstraints(
        random.oneIn(2)
          ? { permitted: [random.pick(['example.org', '.org', 'other.org'])] }
          : { excluded: [random.pick(['example.org', 'other.org'])] },
        marked(random),
      ),
    ),
  'an odd extension': odd,
  'other validity': validity,
  'another issuer name': (random) => set({ issuer: name(random) }),
  'another subject name': (random) => set({ subject: name(random) }),
  'another key': (random, keys) =>
    set({ publicKey: createPublicKey(random.pick([...keys.other, ...keys.odd])) }),
  'the signature of another': (random, keys) =>
    set({ signingKey: random.pick([...keys.usual, ...keys.other]) }),
  'another key id': (random, keys) => {
    const id = keyIdentifier(createPublicKey(random.pick(keys.usual)));
    return put(random.oneIn(2) ? subjectKeyIdentifier(id) : authorityKeyIdentifier(id));
  },
  'another digest': (random) => (fields) => {
    const family =
      fields.signingKey.asymmetricKeyType === 'rsa'
        ? random.pick(['rsa', 'rsa-pss'] as const)
        : 'ecdsa';
    return {
      ...fields,
      algorithm: `${family}-${random.pick(['sha256', 'sha384', 'sha512'] as const)}`,
    };
  },
  'an odd serial number': (random) =>
    raw({
      serialNumber: random.pick([
        integer(0),
        element(0x02, Buffer.from([0xff])),
        element(0x02, Buffer.alloc(25, 1)),
        element(0x02),
        element(0x02, Buffer.from([0, 1])),
      ]),
    }),
  'another version': (random) =>
    raw({
      version: random.pick([
        Buffer.alloc(0),
        element(0xa0, integer(0)),
        element(0xa0, integer(1)),
        element(0xa0, integer(3)),
      ]),
    }),
  'a mutated signed part': (random) => (fields) => ({
    ...fields,
    raw: { ...fields.raw, tbs: mutateDer(random, signedPart(fields)) },
  }),
  'another mutated signed part': (random) => (fields) => ({
    ...fields,
    raw: { ...fields.raw, tbs: mutateDer(random, signedPart(fields)) },
  }),
  'an odd rest': (random) =>
    raw({ tail: random.pick([Buffer.alloc(0), element(0x05), random.bytes(2)]) }),
};
