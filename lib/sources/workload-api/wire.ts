import type { Reader, Writer } from 'protobufjs/minimal.js';
import { SpiffeError } from '../../errors.js';
import { protobuf } from './protobuf.js';

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

export const VARINT = 0;
export const FIXED64 = 1;
export const LENGTH_DELIMITED = 2;

/** Messages from outside nest only in `google.protobuf.Struct`; no claim set is deeper than this. */
const DEEPEST = 64;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

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
      const reader = protobuf().Reader.create(bytes);
      while (reader.pos < reader.len) {
        const tag = readTag(reader);
        const known = byNumber.get(tag >>> 3);
        // A known number on another wire type is an unknown field: the schema may grow, not change.
        if (known === undefined || known[1].wireType !== (tag & 7)) {
          reader.skipType(tag & 7);
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
      if (names.length === 0) return new Uint8Array();
      const writer = protobuf().Writer.create();
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

/** The tag of the next field: its number, shifted by three, and its wire type. */
export function readTag(reader: Reader): number {
  const tag = reader.uint32();
  if (tag >>> 3 === 0) throw new RangeError(`field number 0 before offset ${reader.pos}`);
  return tag;
}

function delimited(number: number): number {
  return (number << 3) | LENGTH_DELIMITED;
}

/** Not `reader.string()`: it cuts a text that is longer than its message, and lets bytes pass that are not UTF-8. */
export function readText(reader: Reader): string {
  return utf8.decode(reader.bytes());
}

export function text(number: number): Field<string> {
  return {
    number,
    wireType: LENGTH_DELIMITED,
    absent: () => '',
    read: readText,
    write: (writer, value, always) => {
      if (always || value !== '') writer.uint32(delimited(number)).string(value);
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
      if (always || value.length > 0) writer.uint32(delimited(number)).bytes(value);
    },
  };
}

/** An int32 or int64 that is not negative and no larger than a number holds. */
export function count(number: number): Field<number> {
  return {
    number,
    wireType: VARINT,
    absent: () => 0,
    read: (reader) => Number(reader.uint64()),
    write: (writer, value, always) => {
      if (always || value !== 0) writer.uint32((number << 3) | VARINT).uint64(value);
    },
  };
}

export function texts(number: number): Field<string[]> {
  return repeated(number, readText, (writer, value) => writer.string(value));
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
    (writer, value) => {
      codec.write(writer.fork(), value);
      writer.ldelim();
    },
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
      codec.write(writer.uint32(delimited(number)).fork(), value);
      writer.ldelim();
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
        writer.uint32(delimited(number)).fork();
        keyField.write(writer, key, true);
        valueField.write(writer, value, true);
        writer.ldelim();
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
      for (const value of values) write(writer.uint32(delimited(number)), value);
    },
  };
}
