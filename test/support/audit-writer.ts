/** A process that writes to the audit log in the directory it is given until it is killed, and tells what is durable. */
import { writeSync } from 'node:fs';
import { auditLog } from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { AGENT, intent } from './audit.js';
import { staticIdentity } from './static-identity.js';

const [, , directory = '', inFlight = '8'] = process.argv;

const log = auditLog(directory, { checkpointRecords: 20, segmentBytes: 1 << 16 });
await log.open(staticIdentity(TestCa.create('example.org'), AGENT));
for (let round = 0; ; round++) {
  const written = Array.from({ length: Number(inFlight) }, (_, at) =>
    log.append(intent({ q: 'x'.repeat((round * 37 + at * 211) % 900) })),
  );
  for (const each of written) {
    const { index } = await each;
    // To a pipe, and nothing is kept back: what was said is known when the process is gone.
    writeSync(1, `${index}\n`);
  }
}
