import { freezeJsonObject } from '../internal/frozen-json.js';
import type { JsonRecord } from '../internal/json.js';
import { quote } from '../internal/quote.js';
import { optionError } from './options.js';

/**
 * A schema of any library that speaks Standard Schema 1 (zod, valibot, arktype…). One that also speaks Standard JSON
 * Schema tells the tool's input schema by itself.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (
      value: unknown,
    ) => StandardSchemaResult<Output> | Promise<StandardSchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a Standard Schema says of a value. */
export type StandardSchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardSchemaIssue[] };

/** Something that is wrong with a value. */
export interface StandardSchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What the caller of a tool may give by its schema. */
export type SchemaInput<S> = S extends StandardSchema<infer Input> ? Input : never;

/** What the function of a tool gets by its schema. */
export type SchemaOutput<S> = S extends StandardSchema<unknown, infer Output> ? Output : never;

/** A schema that can say itself as JSON Schema. */
interface TellsJsonSchema {
  readonly jsonSchema?: {
    readonly input: (options: { readonly target: string }) => Record<string, unknown>;
  };
}

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` for what is no Standard Schema. */
export function checkSchema(what: string, schema: StandardSchema): StandardSchema {
  const standard = (schema as Partial<StandardSchema> | undefined)?.['~standard'];
  if (standard?.version === 1 && typeof standard.validate === 'function') return schema;
  throw optionError(what, 'it is no Standard Schema of version 1');
}

/** The JSON Schema of what may be given, where the schema can say it. */
export function jsonSchemaOf(schema: StandardSchema): JsonRecord | undefined {
  const { jsonSchema } = schema['~standard'] as TellsJsonSchema;
  if (typeof jsonSchema?.input !== 'function') return undefined;
  try {
    return freezeJsonObject(jsonSchema.input({ target: 'draft-2020-12' }));
  } catch {
    // A schema may hold what JSON Schema has no words for; then the tool is one without.
    return undefined;
  }
}

/**
 * Validates arguments. What the schema makes of them (defaults, conversions) is what is judged and what the function
 * gets, so that it must be JSON too.
 *
 * @throws TypeError whose message says what is wrong, by member and not by value.
 */
export function validate(schema: StandardSchema, given: JsonRecord): JsonRecord {
  const result = resultOf(schema, given);
  if (result instanceof Promise) {
    result.catch(() => {});
    throw new TypeError(
      'their schema validates asynchronously, which a guarded call cannot wait for',
    );
  }
  if (result.issues !== undefined)
    throw new TypeError(`their schema refuses ${told(result.issues)}`);
  return freezeJsonObject(result.value);
}

function resultOf(
  schema: StandardSchema,
  given: JsonRecord,
): ReturnType<StandardSchema['~standard']['validate']> {
  try {
    return schema['~standard'].validate(given);
  } catch (cause) {
    // What it throws is of its own code, such as a conversion, and often repeats the value.
    throw new TypeError('their schema fails on them', { cause });
  }
}

/** Where the issues are. Not their messages, which often repeat the value. */
function told(issues: readonly StandardSchemaIssue[]): string {
  const places = issues.map(({ path = [] }) => {
    const names = path.map((step) => String(typeof step === 'object' ? step.key : step));
    return names.length === 0 ? 'the whole' : quote(names.join('.'));
  });
  return [...new Set(places)].slice(0, 5).join(', ');
}
