import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AuditEvent,
  type AuditLogOptions,
  auditLog,
  type CallIntentEvent,
  type CallOutcomeEvent,
  type DecisionRequest,
  type JsonRecord,
  type TaskEndEvent,
  type TaskRef,
} from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { type StaticIdentity, staticIdentity } from './static-identity.js';

export const AGENT = 'spiffe://example.org/agents/researcher';
export const TASK: TaskRef = { id: 'task-1', purpose: 'answer ticket 42', endUser: 'ann' };
/** 2026-11-01T12:00:00Z. */
export const NOON: number = Date.UTC(2026, 10, 1, 12);

const LABELS = { confidentiality: 'internal', integrity: 'trusted' } as const;

/** A log that was written: its directory, and what it takes to go on. */
export interface WrittenLog {
  readonly directory: string;
  readonly identity: StaticIdentity;
  readonly ca: TestCa;
}

/** Writes events, each group durable before the next is appended, and a checkpoint after each group. */
export async function writeLog(
  directory: string,
  groups: readonly (readonly AuditEvent[])[],
  options: AuditLogOptions = {},
): Promise<WrittenLog> {
  const ca = TestCa.create('example.org');
  const identity = staticIdentity(ca, AGENT);
  await using log = auditLog(directory, options);
  await log.open(identity);
  for (const group of groups) {
    await Promise.all(group.map((event) => log.append(event)));
    await log.checkpoint();
  }
  return { directory, identity, ca };
}

/** The files of records, in order. */
export function segmentsOf(directory: string): readonly string[] {
  const names = readdirSync(directory).filter((name) => name.endsWith('.jsonl'));
  return names.toSorted().map((name) => join(directory, name));
}

/** The lines of all files of records. */
export function linesOf(directory: string): readonly string[] {
  return segmentsOf(directory).flatMap((path) =>
    readFileSync(path, 'utf8').split('\n').slice(0, -1),
  );
}

export interface ReadRecord {
  readonly metadata: { readonly event_code: string; readonly sequence: number };
  readonly unmapped: Readonly<Record<string, unknown>>;
  readonly [name: string]: unknown;
}

/** The records of a log; what a killed writer left behind the last one is let be. */
export function recordsOf(directory: string): readonly ReadRecord[] {
  return linesOf(directory).map((line) => JSON.parse(line) as ReadRecord);
}

/** The notes of the file of checkpoints: five lines each. */
export function checkpointsOf(directory: string): readonly string[] {
  const text = readFileSync(join(directory, 'checkpoints'), 'utf8');
  return text.match(/(?:.*\n){5}/g) ?? [];
}

/** The sizes of the checkpoints. */
export function sizesOf(directory: string): readonly number[] {
  return checkpointsOf(directory).map((note) => Number(note.split('\n')[1]));
}

/** An empty directory that is gone at the end of the block; on request in memory, where there is such a place. */
export class TemporaryDirectory {
  readonly path: string;

  constructor({ inMemory = false }: { readonly inMemory?: boolean } = {}) {
    const place = inMemory && existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    this.path = mkdtempSync(join(place, 'audit-'));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export function request(args: JsonRecord, tool: string = 'search'): DecisionRequest {
  return {
    subject: { type: 'workload', id: AGENT },
    action: { name: 'tools/call' },
    resource: {
      type: 'tool',
      id: tool,
      properties: { effect: 'read', returns: LABELS },
    },
    context: {
      task: {
        id: TASK.id,
        purpose: TASK.purpose,
        startedAt: '2026-11-01T11:59:00Z',
        expiresAt: '2026-11-01T12:04:00Z',
        clearance: 'confidential',
      },
      arguments: args,
      chain: ['read_mail'],
      labels: LABELS,
      budget: { callsLeft: 19 },
      time: '2026-11-01T12:00:00Z',
      business: {},
    },
  };
}

/** A call that may run, with these arguments. */
export function intent(args: JsonRecord, more: Partial<CallIntentEvent> = {}): CallIntentEvent {
  return {
    kind: 'call.intent',
    time: NOON,
    agent: AGENT,
    task: TASK,
    call: { id: 'call-1', tool: 'search', effect: 'read' },
    request: request(args),
    decision: { revision: 'sha256:1', reasons: ['allow-search'], obligations: [] },
    ...more,
  };
}

export function outcome(more: Partial<CallOutcomeEvent> = {}): CallOutcomeEvent {
  return {
    kind: 'call.outcome',
    time: NOON,
    agent: AGENT,
    task: TASK,
    call: { id: 'call-1', tool: 'search', effect: 'read' },
    status: 'success',
    durationMs: 12,
    resultBytes: 17,
    resultDigest: 'ab'.repeat(32),
    ...more,
  };
}

export function taskEnd(more: Partial<TaskEndEvent> = {}): TaskEndEvent {
  return {
    kind: 'task.end',
    time: NOON,
    agent: AGENT,
    task: TASK,
    ending: 'returned',
    calls: 2,
    denied: 0,
    bytesOut: 0,
    labels: LABELS,
    ...more,
  };
}

/** Events that differ, as many as asked for. */
export function events(count: number): readonly AuditEvent[] {
  return Array.from({ length: count }, (_, at) =>
    at % 2 === 0 ? intent({ q: `acme ${at}` }) : outcome({ durationMs: at }),
  );
}
