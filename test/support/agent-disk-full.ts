/** An agent whose audit log lies on a small disk that becomes full and has room again; prints what happened as JSON. */
import { appendFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SpiffeError } from 'agent-spiffe';
import {
  auditLog,
  createGuard,
  functionPolicy,
  verifyAuditLog,
  wildcard,
} from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { AGENT, recordsOf } from './audit.js';
import { staticIdentity } from './static-identity.js';

/** What is told of it. */
export interface AgentOnFullDisk {
  /** How often the function had run when the disk was full, and after ten more tries. */
  readonly ran: readonly [number, number];
  /** The codes with which the ten tries were refused. */
  readonly codes: readonly string[];
  /** What a call gave when there was room again. */
  readonly resumed: string;
  /** Calls that ran without an intent in the log. */
  readonly unrecorded: readonly string[];
  readonly problems: readonly string[];
}

const [, , disk = ''] = process.argv;
const directory = join(disk, 'log');
const ballast = join(disk, 'ballast');
const { bsize, bavail } = statfsSync(disk);
writeFileSync(ballast, Buffer.alloc(Math.floor((bsize * bavail) / 2)));

const ran: string[] = [];
const guard = await createGuard({
  identity: staticIdentity(TestCa.create('example.org'), AGENT),
  policy: functionPolicy(() => true),
  audit: auditLog(directory, { arguments: { act: 'keep' } }),
});
const act = guard.tool(
  'act',
  { effect: 'write', sink: { clearance: 'internal' } },
  (_args: { q: string }, { callId }) => {
    ran.push(callId);
    return 'acted';
  },
);
const q = 'x'.repeat(10_000);
const tools = { act: { q: wildcard() } };
const task = { purpose: 'to fill it', ttlMs: 60_000, budget: { calls: 1_000 }, tools };

/** The code with which a call is refused. */
async function refusal(): Promise<string> {
  const error: unknown = await act({ q }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error instanceof SpiffeError ? error.code : String(error);
}

const { whenFull, codes, resumed } = await guard.task(task, async () => {
  while ((await refusal()) === 'undefined');
  // Whatever room was left for something smaller is gone too.
  fill(join(disk, 'filler'));
  const before = ran.length;
  const refused: string[] = [];
  for (let i = 0; i < 10; i++) refused.push(await refusal());
  const after = ran.length;
  rmSync(ballast);
  return { whenFull: [before, after] as const, codes: refused, resumed: await act({ q }) };
});
await guard.close();

const intents = recordsOf(directory)
  .filter(({ metadata }) => metadata.event_code === 'call.intent')
  .map((record) => (record['api'] as { readonly request: { uid: string } }).request.uid);
const { problems } = await verifyAuditLog(directory);
const story: AgentOnFullDisk = {
  ran: whenFull,
  codes,
  resumed,
  unrecorded: ran.filter((call) => !intents.includes(call)),
  problems: problems.map(({ message }) => message),
};
process.stdout.write(JSON.stringify(story));

/** Writes a file until the disk takes no more. */
function fill(path: string): void {
  for (;;) {
    try {
      appendFileSync(path, Buffer.alloc(4096));
    } catch {
      return;
    }
  }
}
