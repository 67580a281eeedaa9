import { protobuf } from './protobuf.js';
import {
  embedded,
  FIXED64,
  type Field,
  LENGTH_DELIMITED,
  type MessageCodec,
  mapOf,
  message,
  messages,
  type Part,
  readTag,
  readText,
  VARINT,
} from './wire.js';

/** A JSON value; an object is a `Map`, since `__proto__` is a legal member name. */
export type StructValue =
  | null
  | boolean
  | number
  | string
  | StructValue[]
  | Map<string, StructValue>;

/** The members of a JSON object. */
export type Struct = Map<string, StructValue>;

const NULL = 1;
const NUMBER = 2;
const STRING = 3;
const BOOL = 4;
const STRUCT = 5;
const LIST = 6;

const tag = (number: number, wireType: number): number => (number << 3) | wireType;

/** `google.protobuf.Value`: a oneof, so the last kind read is the one that holds. */
const value: Part<StructValue> = {
  read(bytes, depth) {
    const reader = protobuf().Reader.create(bytes);
    let result: StructValue | undefined;
    while (reader.pos < reader.len) {
      const seen = readTag(reader);
      switch (seen) {
        case tag(NULL, VARINT):
          reader.uint32();
          result = null;
          break;
        case tag(NUMBER, FIXED64):
          result = finite(reader.double());
          break;
        case tag(STRING, LENGTH_DELIMITED):
          result = readText(reader);
          break;
        case tag(BOOL, VARINT):
          result = reader.bool();
          break;
        case tag(STRUCT, LENGTH_DELIMITED):
          result = structMessage.read(reader.bytes(), depth + 1).fields;
          break;
        case tag(LIST, LENGTH_DELIMITED):
          result = listMessage.read(reader.bytes(), depth + 1).values;
          break;
        default:
          reader.skipType(seen & 7);
      }
    }
    if (result === undefined) throw new RangeError('a google.protobuf.Value without a value');
    return result;
  },
  write(writer, held) {
    if (held === null) writer.uint32(tag(NULL, VARINT)).int32(0);
    else if (typeof held === 'number') writer.uint32(tag(NUMBER, FIXED64)).double(held);
    else if (typeof held === 'string') writer.uint32(tag(STRING, LENGTH_DELIMITED)).string(held);
    else if (typeof held === 'boolean') writer.uint32(tag(BOOL, VARINT)).bool(held);
    else if (Array.isArray(held)) listField.write(writer, { values: held });
    else structField.write(writer, { fields: held });
  },
};

interface StructMessage {
  fields: Struct;
}

interface ListMessage {
  values: StructValue[];
}

const structMessage: MessageCodec<StructMessage> = message('google.protobuf.Struct', {
  fields: mapOf(1, 'google.protobuf.Struct.FieldsEntry', valueField),
});
const listMessage: MessageCodec<ListMessage> = message('google.protobuf.ListValue', {
  values: messages(1, value),
});
const structField: Field<StructMessage> = embedded(STRUCT, structMessage);
const listField: Field<ListMessage> = embedded(LIST, listMessage);

function valueField(number: number): Field<StructValue> {
  return {
    number,
    wireType: LENGTH_DELIMITED,
    absent: () => null,
    read: (reader, _before, depth) => value.read(reader.bytes(), depth),
    write: (writer, held) => {
      value.write(writer.uint32(tag(number, LENGTH_DELIMITED)).fork(), held);
      writer.ldelim();
    },
  };
}

/** JSON has no word for these, so a Struct may not hold them either. */
function finite(number: number): number {
  if (!Number.isFinite(number))
    throw new RangeError('a google.protobuf.Value that is not a finite number');
  return number;
}

/** A field of type `google.protobuf.Struct`. */
export function struct(number: number): Field<Struct> {
  const field = embedded(number, structMessage);
  return {
    number,
    wireType: LENGTH_DELIMITED,
    absent: () => new Map(),
    read: (reader, before, depth) => field.read(reader, { fields: before }, depth).fields,
    write: (writer, held) => field.write(writer, { fields: held }),
  };
}
