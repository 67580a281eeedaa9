import {
  boolean,
  element,
  integer,
  namedBits,
  objectIdentifier,
  octetString,
  sequence,
} from './der.js';

/** One X.509 extension: `value` is the DER inside its OCTET STRING. */
export interface Extension {
  readonly oid: string;
  /** Default: `false`, and then the member is left out (DER leaves defaults out). */
  readonly critical?: boolean;
  readonly value: Uint8Array;
}

/** What a subject alternative name may hold here; the order given is the order written. */
export interface AlternativeNames {
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  /** 4 or 16 octets each. */
  readonly ipAddresses?: readonly Uint8Array[];
}

/** A bit of the key usage extension, as RFC 5280 §4.2.1.3 names it. */
export type KeyUsage =
  | 'digitalSignature'
  | 'nonRepudiation'
  | 'keyEncipherment'
  | 'dataEncipherment'
  | 'keyAgreement'
  | 'keyCertSign'
  | 'cRLSign'
  | 'encipherOnly'
  | 'decipherOnly';

/** In the order of their bits. */
const KEY_USAGES: readonly KeyUsage[] = [
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

export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

interface Marked {
  readonly critical?: boolean;
}

function extension(oid: string, value: Uint8Array, { critical = false }: Marked): Extension {
  return { oid, critical, value };
}

export function subjectAltName(names: AlternativeNames, marked: Marked = {}): Extension {
  const { uris = [], dnsNames = [], ipAddresses = [] } = names;
  return extension(
    '2.5.29.17',
    sequence(
      ...uris.map((uri) => element(0x86, Buffer.from(uri))),
      ...dnsNames.map((name) => element(0x82, Buffer.from(name))),
      ...ipAddresses.map((address) => element(0x87, address)),
    ),
    marked,
  );
}

/** `ca: false` is written as the empty sequence, since DER leaves defaults out. */
export function basicConstraints(
  constraints: { readonly ca: boolean; readonly pathLength?: number },
  marked: Marked = { critical: true },
): Extension {
  const parts = constraints.ca ? [boolean(true)] : [];
  if (constraints.pathLength !== undefined) parts.push(integer(constraints.pathLength));
  return extension('2.5.29.19', sequence(...parts), marked);
}

export function keyUsage(
  usages: readonly KeyUsage[],
  marked: Marked = { critical: true },
): Extension {
  return extension(
    '2.5.29.15',
    namedBits(usages.map((usage) => KEY_USAGES.indexOf(usage))),
    marked,
  );
}

/** @param purposes - object identifiers; such as {@link SERVER_AUTH}. */
export function extKeyUsage(purposes: readonly string[], marked: Marked = {}): Extension {
  return extension('2.5.29.37', sequence(...purposes.map(objectIdentifier)), marked);
}

export function subjectKeyIdentifier(id: Uint8Array): Extension {
  return extension('2.5.29.14', octetString(id), {});
}

export function authorityKeyIdentifier(id: Uint8Array): Extension {
  return extension('2.5.29.35', sequence(element(0x80, id)), {});
}

/** Name constraints on URIs: a host, or a domain that begins with a dot (RFC 5280 §4.2.1.10). */
export function uriNameConstraints(
  constraints: { readonly permitted?: readonly string[]; readonly excluded?: readonly string[] },
  marked: Marked = { critical: true },
): Extension {
  return extension(
    '2.5.29.30',
    sequence(...subtrees(0xa0, constraints.permitted), ...subtrees(0xa1, constraints.excluded)),
    marked,
  );
}

function subtrees(tag: number, bases: readonly string[] = []): Uint8Array[] {
  if (bases.length === 0) return [];
  return [element(tag, ...bases.map((base) => sequence(element(0x86, Buffer.from(base)))))];
}
