import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { X509BundleSet } from 'agent-spiffe';
import { readAuditLog, verifyAuditLog } from 'agent-spiffe/agent';
import { tell } from '../quickstart/tell.js';
import { IDS, type Name } from './party.js';

const NAMES = Object.keys(IDS) as readonly Name[];

/** How often each log must hold what. */
const EXPECTED: Readonly<Record<Name, Readonly<Record<string, number>>>> = {
  orchestrator: { 'grant.issue': 1, 'grant.derive': 1, 'grant.revoke': 2, 'task.end': 1 },
  researcher: { 'grant.accept': 1, 'call.denied': 1, 'call.intent': 5 },
  mailer: { 'grant.accept': 2, 'call.outcome': 1, 'call.denied': 1, 'grant.refuse': 1 },
};

/** Verifies the log of each process, and counts what is in it. */
export async function tellRecords(home: string, bundles: X509BundleSet): Promise<void> {
  for (const name of NAMES) {
    const directory = join(home, name);
    const verdict = await verifyAuditLog(directory, { bundles, id: IDS[name] });
    const { problems, trusted, records, covered } = verdict;
    assert.deepEqual(
      { problems, trusted, covered },
      { problems: [], trusted: true, covered: records },
    );
    const counted: Record<string, number> = {};
    for await (const { record } of readAuditLog(directory)) {
      const { event_code: kind } = record['metadata'] as { readonly event_code: string };
      if (kind in EXPECTED[name]) counted[kind] = (counted[kind] ?? 0) + 1;
    }
    assert.deepEqual(counted, EXPECTED[name], name);
    const all = Object.entries(counted).map(([kind, times]) => `${times} ${kind}`);
    tell.fact(`${name}: ${records} records, none altered`, all.join(', '));
  }
}

/** Follows a grant through the three logs, as `agent-spiffe audit chain` does for a person. */
export async function tellChain(home: string, id: string): Promise<void> {
  const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  const directories = NAMES.map((name) => join(home, name));
  const output = execFileSync(process.execPath, [cli, 'audit', 'chain', id, ...directories], {
    encoding: 'utf8',
  });
  for (const agent of Object.values(IDS)) assert(output.includes(agent), `${agent} is not in it`);
  const told = output.split('\n').filter((line) => /^ +(?:grant|call\.denied)/.test(line));
  tell.fact(`agent-spiffe audit chain ${id} ${NAMES.join(' ')}`, told.join('\n ').trim());
}
