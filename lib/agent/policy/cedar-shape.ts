import type { CedarValueJson, TypeOfAttribute } from '@cedar-policy/cedar-wasm/nodejs';
import { isJsonObject, type JsonObject, member } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import { isRead, type Read, readOf } from './cedar-reads.js';

/** What policies may read of a value. */
export type Shape =
  | { readonly kind: 'String' | 'Long' | 'Boolean' | 'decimal' | 'datetime' }
  | { readonly kind: 'Set'; readonly element: Shape }
  | RecordShape;

/** The members of an object that policies may read; others are not shown to them. */
export interface RecordShape {
  readonly kind: 'Record';
  readonly members: ReadonlyMap<string, MemberShape>;
}

/** One member of a record. */
export interface MemberShape {
  readonly shape: Shape;
  readonly required: boolean;
  /** Its schema allows `null`, which is shown as if the member were not there. */
  readonly nullable?: true;
  /** Nobody reads it: it must be as its schema says, and is not sent. */
  readonly unread?: true;
}

/** Cedar reads an object with one of these members as something other than an object; JavaScript does the last. */
const RESERVED: ReadonlySet<string> = new Set(['__entity', '__extn', '__expr', '__proto__']);
const SCALARS = {
  string: 'String',
  integer: 'Long',
  number: 'decimal',
  boolean: 'Boolean',
} as const satisfies Record<string, Shape['kind']>;

/** A record by its members; a name that ends in `?` may be missing. */
export function recordOf(members: Readonly<Record<string, Shape['kind'] | Shape>>): RecordShape {
  return {
    kind: 'Record',
    members: new Map(
      Object.entries(members).map(([name, of]) => [
        name.replace(/\?$/, ''),
        {
          shape: typeof of === 'string' ? ({ kind: of } as Shape) : of,
          required: !name.endsWith('?'),
        },
      ]),
    ),
  };
}

/** What of the objects that a JSON Schema describes can be said in Cedar. What it leaves open is not shown to policies. */
export function recordOfSchema(schema: JsonObject | undefined): RecordShape {
  const members = new Map<string, MemberShape>();
  const properties = schema === undefined ? undefined : member(schema, 'properties');
  const required = schema?.['required'];
  for (const [name, each] of Object.entries(isJsonObject(properties) ? properties : {})) {
    if (RESERVED.has(name) || !isJsonObject(each)) continue;
    const { shape, nullable } = shapeOfSchema(each);
    if (shape === undefined) continue;
    const always = Array.isArray(required) && required.includes(name) && !nullable;
    members.set(name, { shape, required: always, ...(nullable && { nullable }) });
  }
  return { kind: 'Record', members };
}

function shapeOfSchema(schema: JsonObject): { shape: Shape | undefined; nullable: boolean } {
  const { type, anyOf } = schema;
  if (type === undefined && Array.isArray(anyOf)) {
    const choices = anyOf.filter(isJsonObject);
    const others = choices.filter((each) => each['type'] !== 'null');
    const [only] = others;
    if (only === undefined || others.length !== 1) return { shape: undefined, nullable: false };
    const { shape, nullable } = shapeOfSchema(only);
    return { shape, nullable: nullable || choices.length > 1 };
  }
  const types: readonly unknown[] = Array.isArray(type) ? type : [type];
  const others = types.filter((each) => each !== 'null');
  const nullable = others.length < types.length;
  return { shape: others.length === 1 ? shapeOfType(others[0], schema) : undefined, nullable };
}

function shapeOfType(type: unknown, schema: JsonObject): Shape | undefined {
  if (type === 'object') return recordOfSchema(schema);
  if (type === 'array') {
    const { items } = schema;
    const { shape, nullable } = isJsonObject(items)
      ? shapeOfSchema(items)
      : { shape: undefined, nullable: false };
    return shape === undefined || nullable ? undefined : { kind: 'Set', element: shape };
  }
  return typeof type === 'string' && Object.hasOwn(SCALARS, type)
    ? { kind: SCALARS[type as keyof typeof SCALARS] }
    : undefined;
}

/**
 * A record of which no more is sent than is read. Cedar parses what it is sent at each call: less of it is most of what
 * a decision can save.
 */
export function narrowed(shape: RecordShape, read: Read): RecordShape {
  if (read === 'all') return shape;
  const members = [...shape.members].map(([name, each]): [string, MemberShape] => {
    const of = readOf(read, name);
    if (!isRead(of)) return [name, { ...each, unread: true }];
    if (each.shape.kind !== 'Record') return [name, each];
    return [name, { ...each, shape: narrowed(each.shape, of) }];
  });
  return { kind: 'Record', members: new Map(members) };
}

/** A record without some of its members, which are not to be had. */
export function without(shape: RecordShape, names: readonly string[]): RecordShape {
  const members = [...shape.members].filter(([name]) => !names.includes(name));
  return { kind: 'Record', members: new Map(members) };
}

/** A shape as a Cedar schema has it. */
export function cedarType(shape: Shape): TypeOfAttribute<string> {
  if (shape.kind === 'Set') return { type: 'Set', element: cedarType(shape.element) };
  if (shape.kind === 'Record') {
    const attributes = Object.fromEntries(
      [...shape.members].map(([name, { shape: of, required }]) => [
        name,
        { ...cedarType(of), required },
      ]),
    );
    return { type: 'Record', attributes };
  }
  const extension = shape.kind === 'decimal' || shape.kind === 'datetime';
  return extension ? { type: 'Extension', name: shape.kind } : { type: shape.kind };
}

/**
 * A value as Cedar takes it, by its shape and never by its looks: text stays text, and an object shows the members that
 * the shape names. So nothing in it becomes a reference or a call, whatever it is called.
 *
 * @throws TypeError for a value of another shape.
 */
export function toCedar(value: unknown, shape: Shape, name: string): CedarValueJson {
  switch (shape.kind) {
    case 'Record':
      return toCedarRecord(value, shape, name);
    case 'Set':
      if (!Array.isArray(value)) break;
      return value.map((each) => toCedar(each, shape.element, name));
    case 'String':
      if (typeof value !== 'string' || !value.isWellFormed()) break;
      return value;
    case 'Boolean':
      if (typeof value !== 'boolean') break;
      return value;
    case 'Long':
      if (!Number.isSafeInteger(value)) break;
      // -0 would be written as a fraction.
      return (value as number) + 0;
    case 'decimal':
      return { __extn: { fn: 'decimal', arg: decimal(value, name) } };
    case 'datetime':
      if (typeof value !== 'string') break;
      return { __extn: { fn: 'datetime', arg: value } };
  }
  throw new TypeError(`${quote(name)} is no ${shape.kind}, as its schema says`);
}

/** See {@link toCedar}. */
export function toCedarRecord(
  value: unknown,
  { members }: RecordShape,
  name: string,
): Record<string, CedarValueJson> {
  if (!isJsonObject(value)) throw new TypeError(`${quote(name)} is no object, as its schema says`);
  const record: Record<string, CedarValueJson> = {};
  for (const [key, { shape, required, nullable, unread }] of members) {
    const each = member(value, key);
    if (each !== undefined && (each !== null || nullable !== true)) {
      const taken = toCedar(each, shape, `${name}.${key}`);
      if (unread !== true) record[key] = taken;
    } else if (required) throw new TypeError(`${quote(`${name}.${key}`)} is missing`);
  }
  return record;
}

/** Cedar's decimals have four digits after the point. A number that needs more would be another one. */
function decimal(value: unknown, name: string): string {
  if (typeof value === 'number' && Math.abs(value) < 9e11) {
    const text = value.toFixed(4);
    if (Number(text) === value) return text;
  }
  throw new TypeError(`${quote(name)} is no number of four digits after the point`);
}
