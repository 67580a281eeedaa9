import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonRecord, JsonValue } from 'agent-spiffe/agent';
import type { SuiteSpec } from './spec.js';

/** One suite: what is said of it once, what task options are made of, and what the scripts do. */
export interface Suite {
  readonly spec: SuiteSpec;
  readonly prompts: Prompts;
  readonly runs: Runs;
}

/** What task options may be made of: the words of the user, and what the tools say of themselves. */
export interface Prompts {
  readonly suite: string;
  /** The mail address or the account of the user for whom the agent works; whoever deploys it knows that. */
  readonly owner: string;
  readonly tools: readonly ToolSchema[];
  readonly tasks: readonly { readonly id: string; readonly prompt: string }[];
}

export interface ToolSchema {
  readonly name: string;
  readonly description: string;
  readonly inputSchema: JsonRecord;
  readonly outputSchema: JsonRecord;
}

/** What a scripted agent does. Only the replay and the judge see it. */
export interface Runs {
  readonly honest: Readonly<Record<string, readonly ScriptedCall[]>>;
  readonly attacks: readonly Attack[];
  /** What the attackers want, as text and as calls. */
  readonly wishes: Readonly<
    Record<string, { readonly prompt: string; readonly calls: readonly ScriptedCall[] }>
  >;
  /** Injection tasks for which the suite scripts no call. */
  readonly unscripted: readonly string[];
  readonly results: Readonly<Record<string, JsonValue>>;
}

export interface ScriptedCall {
  readonly by: 'user' | 'injection';
  readonly tool: string;
  readonly args: JsonRecord;
  /** A key of {@link Runs.results}. */
  readonly result: string;
  readonly error?: string;
}

export interface Attack {
  readonly user: string;
  readonly injection: string;
  readonly calls: readonly ScriptedCall[];
  /** Whether the user's calls came upon the planted text. */
  readonly read: boolean;
  /** In which results, and where in them, it stood. */
  readonly where: readonly string[];
}

export function readPrompts(directory: string, suite: string): Prompts {
  return read(join(directory, suite, 'prompts.json')) as Prompts;
}

export function readRuns(directory: string, suite: string): Runs {
  return read(join(directory, suite, 'runs.json')) as Runs;
}

function read(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** A value as text: text as it is, anything else as JSON. */
export function textOf(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? null);
}
