/** A process whose guarded tool leaves a mark each time it runs, in a file beside the log, until it is killed. */
import { openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { allArguments, auditLog, createGuard, functionPolicy } from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { AGENT } from './audit.js';
import { staticIdentity } from './static-identity.js';

const [, , home = '', inFlight = '8'] = process.argv;
const marks = openSync(join(home, 'marks'), 'a');
const guard = await createGuard({
  identity: staticIdentity(TestCa.create('example.org'), AGENT),
  policy: functionPolicy(() => true),
  audit: auditLog(join(home, 'log'), { checkpointRecords: 20, segmentBytes: 1 << 16 }),
});
const act = guard.tool(
  'act',
  { effect: 'write', sink: { clearance: 'internal' } },
  (_args: object, { callId }) => writeSync(marks, `${callId}\n`),
);
const may = { act: allArguments() };
await guard.task(
  { purpose: 'to be killed', ttlMs: 60_000, budget: { calls: 1_000_000 }, tools: may },
  async () => {
    for (let round = 0; ; round++) {
      await Promise.all(Array.from({ length: Number(inFlight) }, () => act({ round })));
      // To a pipe, and nothing is kept back: what was said is known when the process is gone.
      writeSync(1, `${round}\n`);
    }
  },
);
