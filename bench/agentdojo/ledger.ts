import type { JsonRecord, JsonValue } from 'agent-spiffe/agent';
import { type ToolSchema, textOf } from './data.js';
import { handsOver, type Plan } from './derive.js';
import { calls, means, quotesName, wordsOf } from './prompt.js';
import type { RecordKind, SuiteSpec, ToolPlan } from './spec.js';

/** Which of the rules are in force. */
export interface Rules {
  /** Fields that outsiders cannot write are believed, where the prompt means the record. */
  readonly fields: boolean;
}

interface Seen {
  readonly kind: string;
  readonly record: JsonRecord;
}

/**
 * What one task has come upon, and what of it may steer the task: of each result the fields that outsiders cannot write,
 * as far as the prompt means them. Free text steers nothing, whatever it says.
 */
export class Ledger {
  readonly #spec: SuiteSpec;
  readonly #plan: Plan;
  readonly #isInside: (address: string) => boolean;
  readonly #rules: Rules;
  readonly #kinds: ReadonlyMap<string, string>;
  readonly #seen: Seen[] = [];
  /** Ids of records that the task itself has made. */
  readonly #made = new Set<string>();

  constructor(
    spec: SuiteSpec,
    { plan, owner, schemas }: { plan: Plan; owner: string; schemas: readonly ToolSchema[] },
    rules: Rules,
  ) {
    this.#spec = spec;
    this.#plan = plan;
    this.#isInside = (address) => spec.isInside(address, owner);
    this.#rules = rules;
    this.#kinds = new Map(schemas.map(({ name, outputSchema }) => [name, kindOf(outputSchema)]));
  }

  /** A tool has returned. */
  learn(name: string, args: JsonRecord, result: JsonValue): void {
    const { effect, text } = this.#tool(name);
    if (text !== undefined) {
      const record = { name: args[text.argument] as string, text: textOf(result) };
      this.#seen.push({ kind: text.kind, record });
      return;
    }
    const kind = this.#kinds.get(name) as string;
    const { id } = this.#kind(kind);
    for (const record of Array.isArray(result) ? (result as JsonValue[]) : [result]) {
      if (!isRecord(record)) continue;
      if (effect === 'read') this.#seen.push({ kind, record });
      else if (id !== undefined) this.#made.add(idOf(kind, record[id]));
    }
  }

  /** What of a call nothing but free text stands for; `undefined` when all of it is vouched for. */
  problem(name: string, args: JsonRecord): 'destination' | 'resource' | 'value' | undefined {
    if (this.strangers(name, args).length > 0) return 'destination';
    const { resource, stated = [] } = this.#tool(name);
    if (resource !== undefined && !this.#mayTouch(name, args)) return 'resource';
    return stated.every((argument) => this.#isStated(name, args[argument])) ? undefined : 'value';
  }

  /** The destinations of a call that nothing but free text stands for. */
  strangers(name: string, args: JsonRecord): string[] {
    const { destinations = [] } = this.#tool(name);
    const given = destinations.flatMap((argument) => textsIn(args[argument]));
    return given.filter((address) => !this.#isKnown(address));
  }

  #isKnown(address: string): boolean {
    const { addresses, reading } = this.#plan;
    if (addresses.includes(address) || calls(reading, address) || this.#isInside(address))
      return true;
    return this.#rules.fields && this.#vouched().has(address);
  }

  /** Addresses in fields that outsiders cannot write, of records and persons that the prompt means. */
  #vouched(): Set<string> {
    const { names, amounts } = this.#plan.reading;
    const vouched = new Set<string>();
    const mayBeMeant = new Map<string | number, Set<string>>();
    for (const { kind, record } of this.#seen) {
      const { known, people, persons, byAmount } = this.#kind(kind);
      addAll(vouched, known?.(record, this.#isInside) ?? []);
      if (people !== undefined && this.#isNamed(kind, record))
        addAll(vouched, people(record, this.#isInside));
      for (const [called, address] of persons?.(record) ?? [])
        for (const word of wordsOf(called))
          if (names.has(word)) addAll(groupOf(mayBeMeant, word), [address]);
      const from = byAmount?.(record, this.#isInside);
      if (from !== undefined && amounts.includes(from.amount))
        addAll(groupOf(mayBeMeant, from.amount), [from.address]);
    }
    // Where two might be meant, neither is.
    for (const group of mayBeMeant.values()) if (group.size === 1) addAll(vouched, group);
    return vouched;
  }

  /**
   * Whether the record that a call is about is one that the prompt means or the task has made; or, where nothing is
   * sent or lost, one that is read by none but those to whom the task may send.
   */
  #mayTouch(name: string, args: JsonRecord): boolean {
    const { resource, destinations, grave } = this.#tool(name);
    const { kind, argument } = resource as NonNullable<ToolPlan['resource']>;
    const wanted = idOf(kind, args[argument]);
    if (this.#made.has(wanted)) return true;
    const { id, readers } = this.#kind(kind);
    const chosen = this.#chosen(kind);
    return this.#seen.some((each) => {
      const { record } = each;
      if (each.kind !== kind || idOf(kind, record[id as string]) !== wanted) return false;
      if (chosen === undefined ? this.#isNamed(kind, record) : chosen === each) return true;
      if (grave === true || destinations !== undefined || readers === undefined) return false;
      return readers(record).every((address) => this.#isKnown(address));
    });
  }

  /** The one of its kind that a prompt means by "the largest". */
  #chosen(kind: string): Seen | undefined {
    const { choice } = this.#plan.reading;
    const { ranks = {} } = this.#kind(kind);
    const bySize = choice === 'largest' || choice === 'smallest';
    const field = bySize ? ranks.size : ranks.time;
    if (choice === undefined || field === undefined) return undefined;
    const sign = choice === 'largest' || choice === 'newest' ? 1 : -1;
    const rank = ({ record }: Seen): number =>
      sign * (bySize ? Number(record[field]) : Date.parse(textOf(record[field])));
    const all = this.#seen.filter((each) => each.kind === kind);
    return all.toSorted((one, other) => rank(other) - rank(one))[0];
  }

  /** Said by the user, or in a record that the user handed over for this. */
  #isStated(name: string, value: JsonValue | undefined): boolean {
    if (typeof value !== 'string') return true;
    const { reading, asked } = this.#plan;
    const within = (text: string): boolean => text.toLowerCase().includes(value.toLowerCase());
    if (within(reading.text)) return true;
    const sentences = asked.get(name) ?? [];
    return this.#seen.some(
      ({ kind, record }) =>
        this.#names(kind, record).some((each) => handsOver(sentences, each)) &&
        this.#kind(kind).texts.some((field) => within(textOf(record[field]))),
    );
  }

  #isNamed(kind: string, record: JsonRecord): boolean {
    const { reading } = this.#plan;
    const isQuoted = (one: JsonRecord): boolean =>
      this.#names(kind, one).some((name) => quotesName(reading, name));
    // Beside the one that is quoted, one of a similar name is another.
    if (this.#seen.some((each) => each.kind === kind && isQuoted(each.record)))
      return isQuoted(record);
    return this.#names(kind, record).some((name) => means(reading, name));
  }

  #names(kind: string, record: JsonRecord): string[] {
    return this.#kind(kind).names.flatMap((field) => textsIn(record[field]));
  }

  #tool(name: string): ToolPlan {
    return this.#spec.tools[name] as ToolPlan;
  }

  #kind(kind: string): RecordKind {
    return this.#spec.kinds[kind] ?? { names: [], texts: [] };
  }
}

/** The name of what a tool returns, or returns a list of. */
function kindOf(schema: JsonRecord): string {
  const items = (schema['items'] ?? schema) as JsonRecord;
  const name = items['$ref'] ?? items['title'] ?? items['type'];
  return textOf(name).split('/').at(-1) as string;
}

function idOf(kind: string, id: JsonValue | undefined): string {
  return `${kind} ${textOf(id)}`;
}

function isRecord(value: JsonValue): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A text, or the texts of a list. */
function textsIn(value: JsonValue | undefined): string[] {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? (value as JsonValue[]).flatMap((each) => textsIn(each)) : [];
}

function groupOf<K>(groups: Map<K, Set<string>>, key: K): Set<string> {
  const group = groups.get(key) ?? new Set<string>();
  groups.set(key, group);
  return group;
}

function addAll(set: Set<string>, values: Iterable<string>): void {
  for (const value of values) set.add(value);
}
