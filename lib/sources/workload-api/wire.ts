import { SpiffeError } from '../../errors.js';
import { DEEPEST, LENGTH_DELIMITED, Reader, tagOf, Writer } from './protobuf.js';

/** Turns a message into bytes and back. */
export interface Codec<T> {
  encode(message: T): Uint8Array;
  /**
   * Byte fields of the result are views of `bytes`.
   *
   * @throws SpiffeError `ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID` when the bytes are no such message.
   */
  decode(bytes: Uint8Array): T;
}

/** One field of a message: its number, its wire type, what it holds when absent, how it is read and written. */
export interface Field<V> {
  readonly number: number;
  readonly wireType: number;
  absent(): V;
  /** Reads one occurrence; `before` is what the earlier ones gave. */
  read(reader: Reader, before: V, depth: number): V;
  /** Writes every occurrence, tags included; nothing for a default value (proto3) unless `always`. */
  write(writer: Writer, value: V, always?: boolean): void;
}

/** How a message is read from within another one, and written into it. */
export interface Part<T> {
  /** With `into` the occurrences of a singular message merge, as proto3 wants. */
  read(bytes: Uint8Array, depth: number, into?: T): T;
  write(writer: Writer, message: T): void;
}

/** A message type that stands alone and in other messages. */
export interface MessageCodec<T> extends Codec<T>, Part<T> {
  empty(): T;
}

/** The codec of a message whose fields are given, each under its name in the result. */
export function message<T extends object>(
  name: string,
  fields: { readonly [K in keyof T]: Field<T[K]> },
): MessageCodec<T> {
  const names: (keyof T)[] = [];
  const byNumber = new Map<number, readonly [keyof T, Field<T[keyof T]>]>();
  for (const key in fields) {
    names.push(key);
    byNumber.set(fields[key].number, [key, fields[key]]);
  }

  const codec: MessageCodec<T> = {
    empty() {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the loop makes it true
      const result = {} as T;
      for (const key of names) result[key] = fields[key].absent();
      return result;
    },
    read(bytes, depth, into = codec.empty()) {
      if (depth > DEEPEST) throw new RangeError(`messages nest deeper than ${DEEPEST}`);
      const reader = new Reader(bytes);
      while (!reader.done) {
        const tag = reader.tag();
        const known = byNumber.get(tag >>> 3);
        // A known number on another wire type is an unknown field: the schema may grow, not change.
        if (known === undefined || known[1].wireType !== (tag & 7)) {
          reader.skip(tag);
          continue;
        }
        const [key, field] = known;
        into[key] = field.read(reader, into[key], depth + 1);
      }
      return into;
    },
    write(writer, value) {
      for (const key of names) fields[key].write(writer, value[key]);
    },
    encode(value) {
      const writer = new Writer();
      codec.write(writer, value);
      return writer.finish();
    },
    decode(bytes) {
      try {
        return codec.read(bytes, 0);
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : 'not a message';
        throw new SpiffeError(
          'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID',
          `cannot decode ${bytes.length} bytes as a Workload API ${name}: ${why}`,
          { cause },
        );
      }
    },
  };
  return codec;
}

export function text(number: number): Field<string> {
  return {
    number,
    wireType: LENGTH_DELIMITED,
    absent: () => '',
    read: (reader) => reader.text(),
    write: (writer, value, always) => {
      if (always || value !== '') writer.varint(tagOf(number, LENGTH_DELIMITED)).text(value);
    },
  };
}

export function binary(number: number): Field<Uint8Array> {
  return {
    number,
    wireType: LENGTH_DELIMITED,
    absent: () => new Uint8Array(),
    read: (reader) => reader.bytes(),
    write: (writer, value, always) => {
      if (always || value.length > 0) writer.varint(tagOf(number, LENGTH_DELIMITED)).bytes(value);
    },
  };
}

export function texts(number: number): Field<string[]> {
  return repeated(
    number,
    (reader) => reader.text(),
    (writer, value) => writer.text(value),
  );
}

export function binaries(number: number): Field<Uint8Array[]> {
  return repeated(
    number,
    (reader) => reader.bytes(),
    (writer, value) => writer.bytes(value),
  );
}

export function messages<T>(number: number, codec: Part<T>): Field<T[]> {
  return repeated(
    number,
    (reader, depth) => codec.read(reader.bytes(), depth),
    (writer, value) => writer.message((inner) => codec.write(inner, value)),
  );
}

/** A singular message; absent and empty are one. */
export function embedded<T>(number: number, codec: MessageCodec<T>): Field<T> {
  return {
    number,
    wireType: LENGTH_DELIMITED,
    absent: () => codec.empty(),
    read: (reader, before, depth) => codec.read(reader.bytes(), depth, before),
    write: (writer, value) => {
      writer.varint(tagOf(number, LENGTH_DELIMITED)).message((inner) => codec.write(inner, value));
    },
  };
}

/** `map<string, V>`. A `Map`, since `__proto__` is a legal trust domain and a legal claim. */
export function mapOf<V>(
  number: number,
  name: string,
  valueAt: (number: number) => Field<V>,
): Field<Map<string, V>> {
  const keyField = text(1);
  const valueField = valueAt(2);
  const entry = message<{ key: string; value: V }>(name, { key: keyField, value: valueField });
  return {
    number,
    wireType: LENGTH_DELIMITED,
    absent: () => new Map(),
    read: (reader, before, depth) => {
      const { key, value } = entry.read(reader.bytes(), depth);
      return before.set(key, value);
    },
    write: (writer, map) => {
      for (const [key, value] of map) {
        writer.varint(tagOf(number, LENGTH_DELIMITED)).message((inner) => {
          keyField.write(inner, key, true);
          valueField.write(inner, value, true);
        });
      }
    },
  };
}

function repeated<V>(
  number: number,
  read: (reader: Reader, depth: number) => V,
  write: (writer: Writer, value: V) => void,
): Field<V[]> {
  return {
    number,
    wireType: LENGTH_DELIMITED,
    absent: () => [],
    read: (reader, before, depth) => {
      before.push(read(reader, depth));
      return before;
    },
    write: (writer, values) => {
      for (const value of values) write(writer.varint(tagOf(number, LENGTH_DELIMITED)), value);
    },
  };
}
