// Only forge's ASN.1 module: the whole of forge takes twenty times as long to load.
import asn1 from 'node-forge/lib/asn1.js';

const CLASS = 0xc0;
const TYPE = 0x3f;

/** One DER element: `tag` is the whole identifier octet, the contents are elements already written. */
export function element(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const value = Buffer.concat(contents).toString('latin1');
  // The constructed bit goes in with the type: a node that forge takes as constructed wants nodes inside, and bytes
  // written before (a key, or a defect made for a test) must pass through unchanged.
  const node = asn1.create(tag & CLASS, tag & TYPE, false, value);
  return Buffer.from(asn1.toDer(node).getBytes(), 'latin1');
}

export function sequence(...contents: readonly Uint8Array[]): Uint8Array {
  return element(0x30, ...contents);
}

export function set(...contents: readonly Uint8Array[]): Uint8Array {
  return element(0x31, ...contents);
}

export function objectIdentifier(oid: string): Uint8Array {
  return element(0x06, Buffer.from(asn1.oidToDer(oid).getBytes(), 'latin1'));
}

/** A non-negative INTEGER, with the leading zero octet where the first bit is set. */
export function integer(value: bigint | number): Uint8Array {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return element(0x02, (bytes[0] ?? 0) & 0x80 ? Buffer.from([0]) : Buffer.alloc(0), bytes);
}

export function boolean(value: boolean): Uint8Array {
  return element(0x01, Buffer.from([value ? 0xff : 0]));
}

export function nothing(): Uint8Array {
  return element(0x05);
}

export function octetString(value: Uint8Array): Uint8Array {
  return element(0x04, value);
}

/** A BIT STRING of whole octets. */
export function bitString(value: Uint8Array): Uint8Array {
  return element(0x03, Buffer.from([0]), value);
}

/** A BIT STRING of named bits (X.690 §11.2.2: trailing zero bits are left out). */
export function namedBits(positions: readonly number[]): Uint8Array {
  const highest = Math.max(-1, ...positions);
  const octets = Buffer.alloc(Math.ceil((highest + 1) / 8));
  for (const position of positions) {
    const at = position >> 3;
    octets[at] = (octets[at] ?? 0) | (0x80 >> (position & 7));
  }
  return element(0x03, Buffer.from([octets.length * 8 - (highest + 1)]), octets);
}

export function utf8String(value: string): Uint8Array {
  return element(0x0c, Buffer.from(value));
}

/** RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050; whole seconds, Zulu. */
export function time(value: Date): Uint8Array {
  const digits = `${value.toISOString().slice(0, 19).replace(/\D/g, '')}Z`;
  const year = value.getUTCFullYear();
  return year >= 1950 && year < 2050
    ? element(0x17, Buffer.from(digits.slice(2), 'latin1'))
    : element(0x18, Buffer.from(digits, 'latin1'));
}
