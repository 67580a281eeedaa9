import { hash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Identity, X509Snapshot } from 'agent-spiffe';
import {
  type AuditEvent,
  auditLog,
  type CallRef,
  type DecisionRequest,
  verifyAuditLog,
} from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { BareLog } from './bare-log.js';
import { type Comparison, perSecondAsync } from './rounds.js';

const AGENT = 'spiffe://example.org/agents/researcher';
const VERIFIED = 100_000;

/** What it costs to write the audit log, and to verify it. */
export async function auditComparisons(): Promise<{
  comparisons: readonly Comparison[];
  close: () => Promise<void>;
}> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-audit-'));
  const identity = identityOf(TestCa.create('example.org'));
  const log = auditLog(join(directory, 'ours'));
  await log.open(identity);
  const bare = new BareLog(join(directory, 'bare.jsonl'));
  const verified = join(directory, 'verified');
  await fill(verified, identity);
  const lines = readFileSync(join(verified, '00000000000000000000.jsonl'), 'utf8')
    .split('\n')
    .slice(1, 3);
  // The same records, made beforehand: all that is left of them to do is JSON.
  const records = lines.map(
    (line) => JSON.parse(line) as { readonly metadata: { sequence: number } },
  );
  const events = Array.from({ length: 1000 }, (_, at) => eventAt(at));
  let turn = 0;
  const append = (): Promise<unknown> => log.append(events[turn++ % events.length] as AuditEvent);
  const appendBare = (): Promise<unknown> => {
    const record = records[turn++ % 2] as { readonly metadata: { sequence: number } };
    record.metadata.sequence = turn;
    return bare.append(JSON.stringify(record));
  };
  return {
    comparisons: [
      ...[1, 32, 1000].map((inFlight) => ({
        name: `audit: a record made, durable and in the tree, ${inFlight} in flight, against JSON and group commit`,
        unit: '/s',
        ours: () => perSecondAsync(append, inFlight),
        rivals: [
          { name: 'bare', mark: { atLeast: 0.7 }, run: () => perSecondAsync(appendBare, inFlight) },
        ],
      })),
      {
        name: `audit: ${VERIFIED.toLocaleString('en')} records verified, against hashing each line and the tree`,
        unit: '/s',
        ours: () => timed(() => verify(verified)),
        rivals: [
          {
            name: 'bare',
            mark: { atLeast: 0.7 },
            run: () =>
              timed(() => Promise.resolve(barePass(join(verified, '00000000000000000000.jsonl')))),
          },
        ],
      },
    ],
    close: async () => {
      await log.close();
      bare.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** The least that any verifier must do: RFC 6962 over the lines of a file. */
function barePass(path: string): number {
  const fd = openSync(path, 'r');
  const buffer = Buffer.alloc((1 << 20) + 65_536);
  const node = Buffer.alloc(65, 1);
  const subtrees: string[] = [];
  let size = 0;
  let kept = 1;
  for (let read = 1; read > 0; ) {
    read = readSync(fd, buffer, kept, 1 << 20, null);
    const end = kept + read;
    let start = 1;
    for (
      let newline = buffer.indexOf(10, start);
      newline >= 0 && newline < end;
      newline = buffer.indexOf(10, start)
    ) {
      buffer[start - 1] = 0;
      let subtree = hash('sha256', buffer.subarray(start - 1, newline), 'binary');
      for (let rest = size; rest % 2 === 1; rest = (rest - 1) / 2) {
        node.write(subtrees.pop() as string, 1, 32, 'latin1');
        node.write(subtree, 33, 32, 'latin1');
        subtree = hash('sha256', node, 'binary');
      }
      subtrees.push(subtree);
      size++;
      start = newline + 1;
    }
    buffer.copyWithin(1, start, end);
    kept = 1 + end - start;
  }
  closeSync(fd);
  return size;
}

async function verify(directory: string): Promise<number> {
  const { intact, records } = await verifyAuditLog(directory);
  if (!intact) throw new Error('the log is not intact');
  return records;
}

async function timed(run: () => Promise<number>): Promise<number> {
  const start = performance.now();
  const count = await run();
  return (count * 1000) / (performance.now() - start);
}

async function fill(directory: string, identity: Identity): Promise<void> {
  await using log = auditLog(directory, { segmentBytes: Number.MAX_SAFE_INTEGER });
  await log.open(identity);
  let count = 0;
  const write1 = async (): Promise<void> => {
    while (count < VERIFIED) await log.append(eventAt(count++));
  };
  await Promise.all(Array.from({ length: 1000 }, write1));
}

function identityOf(ca: TestCa): Identity {
  const svid = ca.issue(AGENT, { ttlMs: 3600_000 });
  const bundles = { get: () => ca.bundle };
  const snapshot: X509Snapshot = { sequence: 1, state: 'ready', svid, svids: [svid], bundles };
  return {
    x509: {
      state: 'ready',
      svid: () => svid,
      svids: () => [svid],
      bundles,
      async *updates() {
        yield await Promise.resolve(snapshot);
      },
    },
  };
}

const TASK = { id: '3f0c8c1e-5a4e-4f0e-9d57-0f8f9f6f2f11', purpose: 'answer ticket 42' };
const LABELS = { confidentiality: 'internal', integrity: 'trusted' } as const;

/** An intent, then its outcome, and so on. */
function eventAt(turn: number): AuditEvent {
  const time = 1_793_534_400_000 + turn;
  const call: CallRef = { id: `call-${turn >> 1}`, tool: 'search', effect: 'read' };
  if (turn % 2 === 1) {
    return {
      kind: 'call.outcome',
      time,
      agent: AGENT,
      task: TASK,
      call,
      status: 'success',
      durationMs: 12,
      resultBytes: 512,
      resultDigest: 'ab'.repeat(32),
    };
  }
  const decision = {
    revision: 'sha256:9f86d081884c7d65',
    reasons: ['allow-search'],
    obligations: [],
  };
  return {
    kind: 'call.intent',
    time,
    agent: AGENT,
    task: TASK,
    call,
    request: requestAt(turn),
    decision,
  };
}

function requestAt(turn: number): DecisionRequest {
  return {
    subject: { type: 'workload', id: AGENT },
    action: { name: 'tools/call' },
    resource: { type: 'tool', id: 'search', properties: { effect: 'read', returns: LABELS } },
    context: {
      task: {
        id: TASK.id,
        purpose: TASK.purpose,
        startedAt: '2026-11-01T11:59:00Z',
        expiresAt: '2026-11-01T12:04:00Z',
        clearance: 'confidential',
      },
      arguments: { q: `acme ${turn}`, limit: 10 },
      chain: ['read_mail', 'search'],
      labels: LABELS,
      budget: { callsLeft: 18, toolCallsLeft: 9 },
      time: '2026-11-01T12:00:00Z',
      business: {},
    },
  };
}
