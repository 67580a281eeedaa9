/** Bytes that are not the DER that was promised. Callers say what it was for and give it a code. */
export class DerError extends Error {
  override readonly name = 'DerError';
}

/** Universal tags of X.690 that certificates and keys use; bit 6 says constructed. */
export const BOOLEAN = 0x01;
export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const NULL = 0x05;
export const OID = 0x06;
export const UTC_TIME = 0x17;
export const GENERALIZED_TIME = 0x18;
export const SEQUENCE = 0x30;
/** A context-specific tag, `[n]`; constructed unless it is a primitive in disguise. */
export const context = (n: number, constructed: boolean = true): number =>
  (constructed ? 0xa0 : 0x80) | n;

/** One element: where it begins, where its content begins, where it ends. */
export class Der {
  readonly bytes: Uint8Array;
  readonly tag: number;
  readonly start: number;
  readonly body: number;
  readonly end: number;

  constructor(bytes: Uint8Array, tag: number, start: number, body: number, end: number) {
    this.bytes = bytes;
    this.tag = tag;
    this.start = start;
    this.body = body;
    this.end = end;
  }

  /** The element with its header, as it was signed; shares memory. */
  get whole(): Uint8Array {
    return this.bytes.subarray(this.start, this.end);
  }

  get content(): Uint8Array {
    return this.bytes.subarray(this.body, this.end);
  }

  get length(): number {
    return this.end - this.body;
  }

  children(): DerReader {
    return new DerReader(this.bytes, this.body, this.end);
  }
}

/**
 * Reads DER and nothing laxer (X.690 §8 and §10): definite lengths in their shortest form, tags of one byte, no byte
 * left over. It reads no further than it is asked.
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(bytes: Uint8Array, start: number = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get done(): boolean {
    return this.#at === this.#end;
  }

  /** The next element has this tag. */
  at(tag: number): boolean {
    return this.#at < this.#end && this.#bytes[this.#at] === tag;
  }

  /** The next element, whatever its tag. */
  any(what: string): Der {
    const bytes = this.#bytes;
    const start = this.#at;
    const end = this.#end;
    if (start + 2 > end) throw new DerError(`${what} is missing or cut off`);
    const tag = bytes[start] as number;
    if ((tag & 0x1f) === 0x1f) throw new DerError(`${what} has a tag of several bytes`);
    let length = bytes[start + 1] as number;
    let body = start + 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0) throw new DerError(`${what} has an indefinite length`);
      if (count > 3) throw new DerError(`${what} is longer than 16 MiB`);
      length = 0;
      for (let i = 0; i < count; i++) length = (length << 8) | (bytes[body + i] as number);
      body += count;
      if (length < 0x80 || length < 1 << (8 * (count - 1))) {
        throw new DerError(`${what} has a length that is not in its shortest form`);
      }
    }
    if (body + length > end) throw new DerError(`${what} is cut off`);
    this.#at = body + length;
    return new Der(bytes, tag, start, body, body + length);
  }

  take(tag: number, what: string): Der {
    const element = this.any(what);
    if (element.tag !== tag) {
      throw new DerError(
        `${what} has tag 0x${element.tag.toString(16)} where 0x${tag.toString(16)} belongs`,
      );
    }
    return element;
  }

  optional(tag: number, what: string): Der | undefined {
    return this.at(tag) ? this.any(what) : undefined;
  }

  finish(what: string): void {
    if (!this.done) throw new DerError(`${what} has bytes left over`);
  }
}

/** The one element that `bytes` is. */
export function readDer(bytes: Uint8Array, tag: number, what: string): Der {
  const reader = new DerReader(bytes);
  const element = reader.take(tag, what);
  reader.finish(what);
  return element;
}

/** A BOOLEAN, which DER writes 00 or FF (X.690 §11.1). */
export function readBoolean(element: Der, what: string): boolean {
  const value = element.bytes[element.body];
  if (element.length !== 1 || (value !== 0 && value !== 0xff)) {
    throw new DerError(`${what} is not a DER boolean`);
  }
  return value === 0xff;
}

/** The content of an INTEGER, in its shortest form (X.690 §8.3.2). */
export function readInteger(element: Der, what: string): Uint8Array {
  const { bytes, body, length } = element;
  if (length === 0) throw new DerError(`${what} is an integer without content`);
  if (length > 1) {
    const first = bytes[body] as number;
    const high = (bytes[body + 1] as number) & 0x80;
    if ((first === 0 && high === 0) || (first === 0xff && high !== 0)) {
      throw new DerError(`${what} is an integer that is not in its shortest form`);
    }
  }
  return element.content;
}

/** The octets of an INTEGER that is not negative, without the zero that only keeps its sign. */
export function readUnsigned(element: Der, what: string): Uint8Array {
  const content = readInteger(element, what);
  if ((content[0] as number) >= 0x80) throw new DerError(`${what} is negative`);
  return content.length > 1 && content[0] === 0 ? content.subarray(1) : content;
}

/** A small INTEGER that is not negative: 32 bits at most. */
export function readCount(element: Der, what: string): number {
  const octets = readUnsigned(element, what);
  if (octets.length > 4) throw new DerError(`${what} is too large`);
  let value = 0;
  for (const octet of octets) value = value * 256 + octet;
  return value;
}

/** The octets of a BIT STRING that fills whole octets: a key or a signature. */
export function readOctetBits(element: Der, what: string): Uint8Array {
  if (element.length < 1 || element.bytes[element.body] !== 0) {
    throw new DerError(`${what} is not a bit string of whole octets`);
  }
  return element.bytes.subarray(element.body + 1, element.end);
}

/** A BIT STRING of named bits, bit 0 in the least significant place; at most 16 bits are looked at. */
export function readNamedBits(element: Der, what: string): number {
  const { content } = element;
  // Without content not even the count of unused bits is there.
  const unused = content[0] ?? 8;
  const octets = content.subarray(1);
  const last = octets.at(-1);
  // X.690 §11.2: unused bits are zero; §11.2.2: so is no bit before them, since trailing zeros are left off.
  const wrong = last === undefined ? unused !== 0 : (last & ((2 << unused) - 1)) !== 1 << unused;
  if (unused > 7 || wrong) throw new DerError(`${what} is not a DER list of named bits`);
  let value = 0;
  for (let bit = 0; bit < 16; bit++) {
    if (((octets[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) value |= 1 << bit;
  }
  return value;
}

/** No identifier in use is longer, and none may fill a message. */
const LONGEST_OID = 64;

/** An OBJECT IDENTIFIER in dotted form. */
export function readOid(element: Der, what: string): string {
  const { bytes, body, end } = element;
  if (element.length > LONGEST_OID) throw new DerError(`${what} is too long`);
  let text = '';
  let value = 0;
  let fresh = true;
  for (let i = body; i < end; i++) {
    const byte = bytes[i] as number;
    if ((fresh && byte === 0x80) || value >= 2 ** 45)
      throw new DerError(`${what} is not a DER object identifier`);
    value = value * 128 + (byte & 0x7f);
    fresh = byte < 0x80;
    if (!fresh) continue;
    if (text === '') {
      const root = Math.min(Math.floor(value / 40), 2);
      text = `${root}.${value - root * 40}`;
    } else {
      text += `.${value}`;
    }
    value = 0;
  }
  if (!fresh || text === '') throw new DerError(`${what} is not a DER object identifier`);
  return text;
}

/** A UTCTime or GeneralizedTime in the only forms of RFC 5280 §4.1.2.5, as milliseconds since 1970. */
export function readTime(element: Der, what: string): number {
  const { bytes, body, length, tag } = element;
  const century = tag === GENERALIZED_TIME;
  if (tag !== UTC_TIME && !century) throw new DerError(`${what} is not a time`);
  const digits = century ? 14 : 12;
  if (length !== digits + 1 || bytes[body + digits] !== 0x5a)
    throw new DerError(`${what} is not a time with seconds in UTC`);
  const two = (at: number): number => {
    const tens = (bytes[body + at] as number) - 0x30;
    const ones = (bytes[body + at + 1] as number) - 0x30;
    if (tens < 0 || tens > 9 || ones < 0 || ones > 9)
      throw new DerError(`${what} holds other than digits`);
    return tens * 10 + ones;
  };
  const short = two(0);
  const year = century ? short * 100 + two(2) : short >= 50 ? 1900 + short : 2000 + short;
  const rest = century ? 4 : 2;
  const [month, day, hour, minute, second] = [
    two(rest),
    two(rest + 2),
    two(rest + 4),
    two(rest + 6),
    two(rest + 8),
  ];
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  // A day or month that does not exist comes back in another month.
  if (date.getUTCMonth() !== month - 1 || hour > 23 || minute > 59 || second > 59)
    throw new DerError(`${what} is not a time that exists`);
  return date.setUTCHours(hour, minute, second);
}
