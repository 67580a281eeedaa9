import { hash } from 'node:crypto';
import { canonicalJson } from '../internal/canonical-json.js';
import type { JsonRecord } from '../internal/json.js';
import { quote } from '../internal/quote.js';
import { type DataFlow, type ToolAnnotations, tighten } from './flow/annotations.js';
import { checkLabels, type Labels } from './flow/labels.js';
import { checkSink, type Sink } from './flow/sink.js';
import { checkFunction, checkJson, checkMembers, checkText, optionError } from './options.js';
import { checkSchema, jsonSchemaOf, type StandardSchema, validate } from './standard-schema.js';
import type { Effect, ToolDescription } from './tool-description.js';
import type { Returns, SinkOption, ToolDefinition, ToolSpec } from './tool-spec.js';

const EFFECTS: readonly Effect[] = ['read', 'write', 'egress', 'privilege'];
const DEFINITION = ['description', 'inputSchema', 'annotations'];
const MEMBERS = [
  'effect',
  'returns',
  'sink',
  'schema',
  'definition',
  'confirm',
  'resource',
  'destination',
];

/** A definition as it is at one moment. */
export interface Defined {
  readonly description: string;
  readonly inputSchema: JsonRecord | undefined;
  readonly annotations: ToolAnnotations;
  /** Its `description`, `inputSchema` and `name`, those that there are, */
  readonly named: JsonRecord;
  /** and the SHA-256 of their canonical JSON, in hex. */
  readonly digest: string;
}

type ByArguments<T> = (args: JsonRecord) => T;

/** A tool as it was wrapped: its spec parsed, none of it to change any more but what `definition` tells. */
export class Tool {
  readonly name: string;
  readonly effect: Effect;
  readonly resource: string | undefined;
  readonly destination: string | undefined;
  /** The arguments as policies, approvers and the record get them. */
  readonly shown: (args: JsonRecord) => JsonRecord;
  /** The definition of this moment. Throws what the spec's own `definition` throws. */
  readonly define: () => Defined;
  /** Rejects when the tool is not the one that was wrapped; absent when that needs no asking. */
  readonly confirm: ToolSpec['confirm'];
  readonly #schema: StandardSchema | undefined;
  readonly #returns: Labels | ByArguments<Labels>;
  readonly #sink: Sink | ByArguments<Sink> | undefined;

  /** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` */
  constructor(name: string, spec: ToolSpec, shown = (args: JsonRecord): JsonRecord => args) {
    this.shown = shown;
    this.name = checkText('a name of a tool', name);
    const what = `the spec of the tool ${quote(name)}`;
    checkMembers(what, spec, [...MEMBERS, ...DEFINITION]);
    if (!EFFECTS.includes(spec.effect))
      throw optionError(what, `its effect ${quote(spec.effect)} is none of ${EFFECTS.join(', ')}`);
    this.effect = spec.effect;
    this.resource = spec.resource;
    this.destination = spec.destination;
    this.#schema = spec.schema && checkSchema(`the schema of the tool ${quote(name)}`, spec.schema);
    this.#returns = parseReturns(what, spec);
    this.#sink = parseSink(what, spec);
    this.confirm = spec.confirm && checkFunction(`${what}: confirm`, spec.confirm);
    this.define = this.#parseDefinition(what, spec);
    this.define();
  }

  /** The description of this moment. */
  describe(): ToolDescription {
    const { description, inputSchema, annotations, digest } = this.define();
    const returns = typeof this.#returns === 'function' ? undefined : this.#returns;
    const sink = typeof this.#sink === 'function' ? undefined : this.#sink;
    const told = tighten(flowOf(returns ?? NOTHING, sink), this.effect, annotations);
    return Object.freeze({
      name: this.name,
      description,
      effect: this.effect,
      ...(inputSchema && { inputSchema }),
      ...(this.resource !== undefined && { resource: this.resource }),
      ...(this.destination !== undefined && { destination: this.destination }),
      ...(returns && { returns: told.returns }),
      ...(typeof this.#sink !== 'function' && told.sink && { sink: told.sink }),
      digest,
    });
  }

  /**
   * The arguments as they will be judged and given to the function.
   *
   * @throws TypeError when their schema refuses them.
   */
  validate(args: JsonRecord): JsonRecord {
    return this.#schema === undefined ? args : validate(this.#schema, args);
  }

  /** What a call with these arguments does with data. Throws what the spec's own functions throw. */
  flow(args: JsonRecord, { annotations }: Defined): DataFlow {
    const returns = typeof this.#returns === 'function' ? this.#returns(args) : this.#returns;
    const sink = typeof this.#sink === 'function' ? this.#sink(args) : this.#sink;
    const flow = flowOf(returns, sink);
    return annotations === NO_HINTS ? flow : tighten(flow, this.effect, annotations);
  }

  #parseDefinition(what: string, spec: ToolSpec): () => Defined {
    const { definition, description, inputSchema, annotations } = spec;
    if (definition === undefined) {
      const told = inputSchema ?? (this.#schema && jsonSchemaOf(this.#schema));
      const fixed = this.#define(what, {
        ...(description !== undefined && { description }),
        ...(told && { inputSchema: told }),
        ...(annotations && { annotations }),
      });
      return () => fixed;
    }
    checkFunction(`${what}: definition`, definition);
    if (DEFINITION.some((name) => Object.hasOwn(spec, name)))
      throw optionError(what, `it has both a definition and one of ${DEFINITION.join(', ')}`);
    return () => this.#define(what, definition());
  }

  #define(what: string, given: ToolDefinition): Defined {
    checkMembers(what, given, DEFINITION);
    // As a whole, or a promise would pass for a definition that says nothing.
    const definition = checkJson(what, given) as ToolDefinition;
    const { description, inputSchema, annotations = NO_HINTS } = definition;
    if (description !== undefined && typeof description !== 'string')
      throw optionError(what, 'its description is text');
    const named = {
      ...(description !== undefined && { description }),
      ...(inputSchema && { inputSchema }),
      name: this.name,
    };
    return {
      description: description ?? '',
      inputSchema,
      annotations,
      named,
      digest: hash('sha256', canonicalJson(named)),
    };
  }
}

const NO_HINTS: ToolAnnotations = Object.freeze({});
const NOTHING: Labels = Object.freeze({ confidentiality: 'public', integrity: 'trusted' });

function flowOf(returns: Labels, sink: Sink | undefined): DataFlow {
  return sink === undefined ? { returns } : { returns, sink };
}

function parseReturns(what: string, spec: ToolSpec): Labels | ByArguments<Labels> {
  const { effect } = spec;
  const integrity = effect === 'write' || effect === 'privilege' ? 'trusted' : 'untrusted';
  const returns: Returns | undefined = spec.returns;
  if (returns === undefined) {
    if (effect === 'read')
      throw optionError(what, 'a read says what it returns: { confidentiality, integrity }');
    return Object.freeze({ confidentiality: 'public', integrity });
  }
  const check = (given: Partial<Labels>): Labels => {
    if (given?.confidentiality === undefined)
      throw optionError(what, 'what it returns has no confidentiality');
    return checkLabels(`${what}: returns`, given, {
      confidentiality: given.confidentiality,
      integrity: 'untrusted',
    });
  };
  return typeof returns === 'function' ? (args) => check(returns(args)) : check(returns);
}

function parseSink(what: string, spec: ToolSpec): Sink | ByArguments<Sink> | undefined {
  const { effect } = spec;
  const outside = effect === 'read' || effect === 'egress';
  const sink: SinkOption | undefined = spec.sink;
  if (sink === undefined) {
    if (effect === 'write' || effect === 'egress')
      throw optionError(what, `a ${effect} says what its sink takes: { clearance, outside }`);
    return undefined;
  }
  const check = (given: Omit<Sink, 'outside'> & Partial<Sink>): Sink =>
    checkSink(`${what}: sink`, given, outside);
  return typeof sink === 'function' ? (args) => check(sink(args)) : check(sink);
}
