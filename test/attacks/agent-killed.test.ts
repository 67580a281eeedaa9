import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { verifyAuditLog } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { type ReadRecord, recordsOf, TemporaryDirectory } from '../support/audit.js';

const PROGRAM = fileURLToPath(new URL('../support/agent-writer.js', import.meta.url));
const KILLS = Number(process.env['AUDIT_KILLS'] ?? 15);

/** Lets an agent act until it has told of a round, and kills it. */
async function actAndKill(home: string, rounds: number, inFlight: number): Promise<void> {
  const child = spawn(process.execPath, [PROGRAM, home, String(inFlight)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(child, 'exit');
  for await (const line of createInterface({ input: child.stdout }))
    if (Number(line) === rounds) child.kill('SIGKILL');
  expect((await exit)[1]).to.equal('SIGKILL');
}

function callsOf(records: readonly ReadRecord[], kind: string): ReadonlySet<string> {
  const ofKind = records.filter(({ metadata }) => metadata.event_code === kind);
  return new Set(
    ofKind.map((record) => (record['api'] as { readonly request: { uid: string } }).request.uid),
  );
}

describe('attack: an agent that is killed in the middle of its calls', () => {
  it(`has done nothing that is not on record, in a log that verifies: ${KILLS} times`, async function () {
    this.timeout(KILLS * 5000);
    using home = new TemporaryDirectory();
    for (let kill = 0; kill < KILLS; kill++)
      await actAndKill(home.path, (kill * 7919) % 7, [1, 4, 16][kill % 3] as number);
    const log = join(home.path, 'log');
    const records = recordsOf(log);
    const intents = callsOf(records, 'call.intent');
    const done = new Set(readFileSync(join(home.path, 'marks'), 'utf8').trimEnd().split('\n'));
    expect(done.size).to.be.at.least(KILLS);
    expect([...done].filter((call) => !intents.has(call))).to.deep.equal([]);
    // Some were cut between intent and outcome: that is what the intent is for.
    const outcomes = callsOf(records, 'call.outcome');
    expect([...outcomes].filter((call) => !done.has(call))).to.deep.equal([]);
    const { problems } = await verifyAuditLog(log);
    expect(problems).to.deep.equal([]);
  });
});
