import type { JsonRecord, JsonValue } from 'agent-spiffe/agent';
import { type ToolSchema, textOf } from './data.js';
import { addressesIn, handsOver, type Plan } from './derive.js';
import { means, wordsOf } from './prompt.js';
import type { RecordKind, SuiteSpec, ToolPlan } from './spec.js';

/** Which of the rules are in force; each can be left out, to see what it is worth. */
export interface Rules {
  /** Fields that outsiders cannot write are believed, where the prompt means the record. */
  readonly fields: boolean;
  /** The one address in the text of a record that the prompt hands over is believed. */
  readonly soleAddress: boolean;
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
  readonly #owner: string;
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
    this.#owner = owner;
    this.#rules = rules;
    this.#kinds = new Map(schemas.map(({ name, outputSchema }) => [name, kindOf(outputSchema)]));
  }

  /** A tool has returned. */
  learn(name: string, args: JsonRecord, result: JsonValue): void {
    const tool = this.#spec.tools[name] as ToolPlan;
    if (tool.text !== undefined) {
      const record = { name: args[tool.text.argument] as string, text: textOf(result) };
      this.#seen.push({ kind: tool.text.kind, record });
      return;
    }
    const kind = this.#kinds.get(name) as string;
    const { id } = this.#spec.kinds[kind] ?? {};
    for (const record of Array.isArray(result) ? result : [result]) {
      if (!isRecord(record)) continue;
      if (tool.effect === 'read') this.#seen.push({ kind, record });
      else if (id !== undefined) this.#made.add(idOf(kind, record[id]));
    }
  }

  /** What of a call nothing but free text stands for; `undefined` when all of it is vouched for. */
  problem(name: string, args: JsonRecord): string | undefined {
    const tool = this.#spec.tools[name] as ToolPlan;
    if (this.strangers(name, args).length > 0) return 'destination';
    if (
      tool.resource !== undefined &&
      !this.#isMeant(tool.resource.kind, args[tool.resource.argument])
    )
      return 'resource';
    if (tool.stated?.some((argument) => !this.#isStated(name, args[argument])) === true)
      return 'value';
    return undefined;
  }

  /** The destinations of a call that nothing but free text stands for. */
  strangers(name: string, args: JsonRecord): string[] {
    const { destinations = [] } = this.#spec.tools[name] as ToolPlan;
    const given = destinations.flatMap((argument) => textsIn(args[argument]));
    return given.filter((address) => !this.#isKnown(address) && !this.#isHandedOver(name, address));
  }

  #isKnown(address: string): boolean {
    const { addresses } = this.#plan;
    if (addresses.includes(address) || this.#spec.isInside(address, this.#owner)) return true;
    return this.#rules.fields && this.#vouched().has(address);
  }

  /** Addresses in fields that outsiders cannot write, of records and persons that the prompt means. */
  #vouched(): Set<string> {
    const { reading } = this.#plan;
    const vouched = new Set<string>();
    const persons = new Map<string, Set<string>>();
    const byAmount = new Map<number, Set<string>>();
    for (const { kind, record } of this.#seen) {
      const { people = [], persons: by, known, byAmount: sender } = this.#kind(kind);
      for (const address of known?.(record, this.#owner) ?? []) vouched.add(address);
      if (this.#isNamed(kind, record)) {
        for (const field of people) for (const each of textsIn(record[field])) vouched.add(each);
      }
      for (const address of (by?.addresses ?? []).flatMap((field) => textsIn(record[field]))) {
        const called = by?.name === undefined ? address.replace(/@.*/, '') : record[by.name];
        for (const word of wordsOf(textOf(called)))
          if (reading.names.has(word)) addTo(persons, word, address);
      }
      const amount = Number(record['amount']);
      const from = sender?.(record, this.#owner);
      if (from !== undefined && reading.amounts.includes(amount)) addTo(byAmount, amount, from);
    }
    // Where two might be meant, neither is.
    for (const group of [...persons.values(), ...byAmount.values()])
      if (group.size === 1) for (const address of group) vouched.add(address);
    return vouched;
  }

  /** "Pay the bill in this file": the file says where to, as long as it says one thing. */
  #isHandedOver(name: string, address: string): boolean {
    const { asked, addresses, reading } = this.#plan;
    if (!this.#rules.soleAddress || addresses.length > 0 || reading.delegates) return false;
    const sentences = asked.get(name) ?? [];
    const told = new Set<string>();
    for (const { kind, record } of this.#seen) {
      if (!this.#names(kind, record).some((each) => handsOver(sentences, each))) continue;
      for (const field of this.#kind(kind).texts)
        for (const each of addressesIn(textOf(record[field]), this.#spec))
          if (!this.#isKnown(each)) told.add(each);
    }
    return told.size === 1 && told.has(address);
  }

  #isMeant(kind: string, id: JsonValue | undefined): boolean {
    const wanted = idOf(kind, id);
    if (this.#made.has(wanted)) return true;
    const field = this.#kind(kind).id as string;
    const chosen = this.#chosen(kind);
    return this.#seen.some(
      (each) =>
        each.kind === kind &&
        idOf(kind, each.record[field]) === wanted &&
        (chosen === undefined ? this.#isNamed(kind, each.record) : chosen === each),
    );
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
    return all.reduce<Seen | undefined>(
      (best, each) => (best === undefined || rank(each) > rank(best) ? each : best),
      undefined,
    );
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
    return this.#names(kind, record).some((name) => means(this.#plan.reading, name));
  }

  #names(kind: string, record: JsonRecord): string[] {
    return this.#kind(kind).names.flatMap((field) => textsIn(record[field]));
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

/** A text, the texts of a list, or the keys of an object. */
function textsIn(value: JsonValue | undefined): string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap((each) => textsIn(each as JsonValue));
  return typeof value === 'object' && value !== null ? Object.keys(value) : [];
}

function addTo<K>(groups: Map<K, Set<string>>, key: K, value: string): void {
  const group = groups.get(key) ?? new Set();
  groups.set(key, group.add(value));
}
