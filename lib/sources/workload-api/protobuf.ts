// The wire format of protobuf, as much of it as the Workload API uses. A library for it costs every process that opens
// a workload 6 ms of its start, and takes text that is cut short or is not UTF-8.

export const VARINT = 0;
export const FIXED64 = 1;
export const LENGTH_DELIMITED = 2;
const GROUP_START = 3;
const GROUP_END = 4;
const FIXED32 = 5;

/** No message of ours nests deeper; what does is made to exhaust the stack. */
export const DEEPEST = 64;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** The number of a field, shifted by three, and its wire type. */
export const tagOf = (number: number, wireType: number): number => (number << 3) | wireType;

/** Reads fields one after another; throws a `RangeError` or `TypeError` at whatever is malformed. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  tag(): number {
    const tag = this.varint();
    if (tag < tagOf(1, 0) || tag > 0xffff_ffff) throw new RangeError(`${tag} is no tag of a field`);
    return tag;
  }

  /** Exact to 2^53; a larger number is too large for whatever is asked for here. */
  varint(): number {
    let value = 0;
    for (let at = 0; at < 10; at++) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw new RangeError(`the bytes end within a number, at ${this.#at}`);
      this.#at++;
      value += (byte & 0x7f) * 2 ** (7 * at);
      if (byte < 0x80) return value;
    }
    throw new RangeError(`a number of more than ten bytes before ${this.#at}`);
  }

  double(): number {
    const { buffer, byteOffset } = this.#take(8);
    return new DataView(buffer, byteOffset, 8).getFloat64(0, true);
  }

  /** A view of the bytes that are read. */
  bytes(): Uint8Array {
    return this.#take(this.varint());
  }

  text(): string {
    return decoder.decode(this.bytes());
  }

  /** Passes over the field whose tag was read. */
  skip(tag: number, depth: number = 0): void {
    if (depth > DEEPEST) throw new RangeError(`groups nest deeper than ${DEEPEST}`);
    switch (tag & 7) {
      case VARINT:
        this.varint();
        return;
      case FIXED64:
        this.#take(8);
        return;
      case LENGTH_DELIMITED:
        this.bytes();
        return;
      case FIXED32:
        this.#take(4);
        return;
      case GROUP_START: {
        const end = tag - GROUP_START + GROUP_END;
        for (let inner = this.tag(); inner !== end; inner = this.tag()) this.skip(inner, depth + 1);
        return;
      }
      default:
        throw new RangeError(`the tag ${tag} begins nothing, before ${this.#at}`);
    }
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length)
      throw new RangeError(`the bytes end at ${this.#bytes.length}, before ${end}`);
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}

/** Writes fields one after another. */
export class Writer {
  readonly #parts: Uint8Array[] = [];

  /** The tag of a field, or the value of one. */
  varint(value: number): this {
    const bytes: number[] = [];
    let rest = value;
    for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
    bytes.push(rest);
    this.#parts.push(Uint8Array.from(bytes));
    return this;
  }

  double(value: number): this {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value, true);
    this.#parts.push(bytes);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.varint(value.length);
    this.#parts.push(value);
    return this;
  }

  text(value: string): this {
    return this.bytes(encoder.encode(value));
  }

  /** A message within this one. */
  message(write: (writer: Writer) => void): this {
    const inner = new Writer();
    write(inner);
    return this.bytes(inner.finish());
  }

  finish(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}
