import {
  type ArgumentConstraints,
  any,
  type Constraint,
  exact,
  type JsonRecord,
  type JsonValue,
  oneOf,
  optional,
  range,
  subset,
  type TaskOptions,
  wildcard,
} from 'agent-spiffe/agent';
import { type ToolSchema, textOf } from './data.js';
import { means, type Reading, readPrompt } from './prompt.js';
import type { SuiteSpec, ToolPlan } from './spec.js';
import { NOUNS, VERB_MEANS_NOUN, VERBS } from './words.js';

const FILE = /^\S+\.[a-z]{2,5}$/;

/** What a prompt asks for. */
export interface Plan {
  readonly options: TaskOptions;
  readonly reading: Reading;
  /** The addresses that the prompt tells. */
  readonly addresses: readonly string[];
  /** The sentences that ask for each tool that does more than read. */
  readonly asked: ReadonlyMap<string, readonly string[]>;
}

/**
 * The options of the task that a prompt asks for. It sees the prompt, the schemas of the tools and what is said of the
 * suite once; of what an agent will do, of results and of attacks it sees nothing.
 */
export function derive(prompt: string, spec: SuiteSpec, schemas: readonly ToolSchema[]): Plan {
  const reading = readPrompt(prompt);
  const addresses = addressesIn(prompt, spec);
  const asked = new Map<string, readonly string[]>();
  const tools: Record<string, ArgumentConstraints> = {};
  for (const schema of schemas) {
    const tool = spec.tools[schema.name] as ToolPlan;
    const sentences = tool.effect === 'read' ? [] : askingSentences(schema.name, reading, spec);
    const left = reading.delegates && tool.grave === undefined;
    if (tool.effect !== 'read' && sentences.length === 0 && !left) continue;
    if (tool.effect !== 'read') asked.set(schema.name, sentences);
    tools[schema.name] = constraintsFor(schema, tool, sentences, reading, spec);
  }
  return {
    options: { purpose: prompt, tools, budget: { calls: 60 }, ttlMs: 60_000 },
    reading,
    addresses,
    asked,
  };
}

export function addressesIn(text: string, { address }: SuiteSpec): string[] {
  return [...new Set([...text.matchAll(address)].map(([each]) => each))];
}

/** The sentences with a word for what the tool does and one for what it does it to. */
function askingSentences(name: string, { sentences }: Reading, spec: SuiteSpec): string[] {
  const parts = name.split('_');
  const verb = parts[0] as string;
  const noun = parts.at(-1) as string;
  const alone =
    Object.keys(spec.tools).filter((other) => other.startsWith(`${verb}_`)).length === 1;
  return sentences.filter((sentence) => {
    const verbs = (VERBS[verb] ?? [verb]).filter((word) => orders(sentence, word));
    if (verbs.includes(verb) && alone && !isShared(verb)) return true;
    return verbs.some(
      (word) =>
        VERB_MEANS_NOUN[word] === noun ||
        (NOUNS[noun] ?? [noun]).some((thing) => thing !== word && says(sentence, thing)),
    );
  });
}

/** Whether a verb is also used for another. */
function isShared(verb: string): boolean {
  return Object.entries(VERBS).some(([other, words]) => other !== verb && words.includes(verb));
}

/** Whether a verb stands where one asks for something: "update it", "please update", "make sure to update". */
function orders(sentence: string, verb: string): boolean {
  const before = '(?:^|[,;:.]|\\b(?:please|then|also|and|or|to|you|just))\\s*';
  return new RegExp(`${before}\\b${verb}\\b`, 'i').test(sentence);
}

function says(sentence: string, noun: string): boolean {
  return new RegExp(`\\b${noun}s?\\b`, 'i').test(sentence);
}

function constraintsFor(
  { inputSchema }: ToolSchema,
  tool: ToolPlan,
  sentences: readonly string[],
  reading: Reading,
  spec: SuiteSpec,
): ArgumentConstraints {
  const properties = inputSchema['properties'] as Readonly<Record<string, JsonRecord>>;
  const required = (inputSchema['required'] ?? []) as readonly string[];
  const entries = Object.entries(properties).map(([argument, schema]): [string, Constraint] => {
    const wanted = constraintFor(argument, { schema, inputSchema, tool, sentences, reading, spec });
    if (required.includes(argument)) return [argument, wanted];
    return [argument, optional(wanted.isWildcard ? wanted : any(wanted, exact(null)))];
  });
  return entries.length === 0 ? { '*': wildcard() } : Object.fromEntries(entries);
}

interface About {
  readonly schema: JsonRecord;
  readonly inputSchema: JsonRecord;
  readonly tool: ToolPlan;
  readonly sentences: readonly string[];
  readonly reading: Reading;
  readonly spec: SuiteSpec;
}

/** What the prompt says the argument must be, where it says so. */
function constraintFor(argument: string, about: About): Constraint {
  const { schema, tool, sentences, reading } = about;
  if (tool.effect === 'read') return wildcard();
  if (tool.destinations?.includes(argument) === true) return destinationFor(about);
  if (tool.quoted?.includes(argument) === true) {
    const quotes = quotesFor(argument, reading);
    if (
      quotes.length > 0 &&
      sentences.some((sentence) => quotes.some((each) => sentence.includes(each)))
    )
      return oneOf(...quotes);
    return wildcard();
  }
  if (textOf(schema['description']).includes('YYYY-MM-DD HH:MM')) {
    const times = argument.includes('end') ? reading.ends : reading.starts;
    return times.length > 0 ? oneOf(...times) : wildcard();
  }
  const values = enumOf(about);
  if (values !== undefined) return permissionFor(values, sentences);
  return schema['type'] === 'number' ? range({ min: 0 }) : wildcard();
}

/** Where each sentence that asks for the tool tells addresses, these are all that it may go to. */
function destinationFor({ schema, sentences, spec }: About): Constraint {
  const told = sentences.map((sentence) => addressesIn(sentence, spec));
  if (told.length === 0 || told.some((each) => each.length === 0)) return wildcard();
  return JSON.stringify(schema).includes('"array"')
    ? subset(...told.flat())
    : oneOf(...told.flat());
}

/** Only an argument that is the name of a file is fixed by the quoted name of a file. */
function quotesFor(argument: string, { quotes }: Reading): string[] {
  return quotes.filter((quoted) => FILE.test(quoted) === (argument === 'filename'));
}

function enumOf({ schema, inputSchema }: About): readonly JsonValue[] | undefined {
  const reference = schema['$ref'];
  const name = typeof reference === 'string' ? reference.split('/').at(-1) : undefined;
  const definitions = (inputSchema['$defs'] ?? {}) as Readonly<Record<string, JsonRecord>>;
  const definition = name === undefined ? schema : definitions[name];
  return definition?.['enum'] as readonly JsonValue[] | undefined;
}

/** Letters for permissions: what is not asked for is not given. */
function permissionFor(values: readonly JsonValue[], sentences: readonly string[]): Constraint {
  const writes = sentences.some((sentence) => /\b(?:write|edit|change|modify)\b/i.test(sentence));
  const allowed = values.filter((value) => writes || !textOf(value).includes('w'));
  return oneOf(...allowed);
}

/** Whether the prompt hands a record over: it asks for the tool in a sentence that names the record. */
export function handsOver(sentences: readonly string[], name: string): boolean {
  return sentences.some((sentence) => means(readPrompt(sentence), name));
}
