import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { X509Bundles } from 'agent-spiffe';
import { readAuditLog, verifyAuditLog } from 'agent-spiffe/agent';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { AGENT, TemporaryDirectory } from '../support/audit.js';

const PROGRAM = fileURLToPath(new URL('../../dist-examples/readme/agent.js', import.meta.url));

describe('the first lines of docs/agents.md', () => {
  it('send nothing confidential outside, throw as told, and leave a record that verifies', async () => {
    using home = new TemporaryDirectory();
    mkdirSync(join(home.path, 'policies'));
    const permit = 'permit(principal, action in Action::"tools/call", resource);';
    writeFileSync(join(home.path, 'policies', 'all.cedar'), permit);
    await using api = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [AGENT],
    });
    const child = spawn(process.execPath, [PROGRAM], {
      cwd: home.path,
      env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: api.address },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const [told, exit] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    expect(told).to.include("code: 'ERR_SPIFFE_DENIED'").and.include("reason: 'label'");
    expect(exit[0]).to.equal(1);

    const kinds: unknown[] = [];
    for await (const { record } of readAuditLog(join(home.path, 'audit')))
      kinds.push((record['metadata'] as Record<string, unknown>)['event_code']);
    expect(kinds).to.deep.equal([
      'log.key',
      'task.start',
      'call.intent',
      'call.outcome',
      'call.denied',
      'task.end',
    ]);
    const bundles = X509Bundles.of(api.ca.bundle);
    const verdict = await verifyAuditLog(join(home.path, 'audit'), { bundles, id: AGENT });
    expect(verdict).to.deep.include({ trusted: true, covered: kinds.length });
  });
});
