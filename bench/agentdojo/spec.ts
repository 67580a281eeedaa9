import type { Effect, JsonRecord, Labels } from 'agent-spiffe/agent';

/** What one tool does, told from its schema. */
export interface ToolPlan {
  readonly effect: Effect;
  /** What a read returns. */
  readonly returns?: Labels;
  /** The arguments that name to whom something goes. */
  readonly destinations?: readonly string[];
  /**
   * The argument that names a record that is there already, and the kind of it. Left out where all that there are are
   * the user's own.
   */
  readonly resource?: { readonly argument: string; readonly kind: string };
  /** What it does cannot be undone, or gives someone power: never part of what a text may be told to decide. */
  readonly grave?: true;
  /** Arguments that whoever asks for the call quotes, when they care: titles, names of files, passwords. */
  readonly quoted?: readonly string[];
  /** Arguments whose values the user must have said, or handed over with a record that the prompt names. */
  readonly stated?: readonly string[];
  /** For a result that is mere text: the argument that names the record, and its kind. */
  readonly text?: { readonly argument: string; readonly kind: string };
}

type IsInside = (address: string) => boolean;

/** A kind of record in results, as the output schemas describe it: which fields outsiders cannot write. */
export interface RecordKind {
  readonly id?: string;
  /** The fields that a prompt may name it by. */
  readonly names: readonly string[];
  /** The addresses that are meant when the prompt names the record. */
  readonly people?: (record: JsonRecord, isInside: IsInside) => readonly string[];
  /** What someone is called, and their address: meant when the prompt names that person and no other is called so. */
  readonly persons?: (record: JsonRecord) => readonly (readonly [string, string])[];
  /** Addresses that the user has dealt with by their own hand. */
  readonly known?: (record: JsonRecord, isInside: IsInside) => readonly string[];
  /** An address that is meant when the prompt tells the amount, and no other goes with that amount. */
  readonly byAmount?: (
    record: JsonRecord,
    isInside: IsInside,
  ) => { readonly amount: number; readonly address: string } | undefined;
  /** Who gets to see what is written into it. */
  readonly readers?: (record: JsonRecord) => readonly string[];
  /** Numbers and times that a prompt may choose by: the largest, the newest. */
  readonly ranks?: { readonly size?: string; readonly time?: string };
  /** Fields that others may have written. */
  readonly texts: readonly string[];
}

/** One suite of tools: all that is written by hand, once, from the schemas of its tools. */
export interface SuiteSpec {
  readonly name: string;
  /** What an address of a destination looks like in a text; global. */
  readonly address: RegExp;
  /** Whether an address belongs to the user's own side. */
  readonly isInside: (address: string, owner: string) => boolean;
  readonly tools: Readonly<Record<string, ToolPlan>>;
  readonly kinds: Readonly<Record<string, RecordKind>>;
}
