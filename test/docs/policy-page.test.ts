import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cedarPolicy, type DecisionRequest } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { TemporaryDirectory } from '../support/audit.js';

const text = readFileSync(new URL('../../docs/policy.md', import.meta.url), 'utf8');
const LABELS = { confidentiality: 'internal', integrity: 'trusted' } as const;

describe('docs/policy.md', () => {
  const policies = [...text.matchAll(/```cedar\n([^]*?)```/g)].map(([, code = '']) => code);

  it('shows policies that a guard takes, and that decide as they say', async () => {
    expect(policies).to.have.length(1);
    const engine = cedarPolicy({ policies: { 'page.cedar': policies.join('\n') } });
    const inputSchema = {
      type: 'object',
      properties: { to: { type: 'string' } },
      required: ['to'],
    };
    await engine.prepare([
      { name: 'sendMail', description: '', effect: 'egress', inputSchema, digest: '' },
    ]);
    const { signal } = new AbortController();
    const asked = (to: string, confidentiality: 'internal' | 'confidential'): unknown =>
      engine.decide(request(to, confidentiality), { signal });
    expect(asked('ann@example.org', 'internal')).to.deep.equal({
      decision: true,
      context: {
        reasons: ['mail-inside'],
        obligations: [{ type: 'require-approval', by: 'duty-officer' }],
      },
    });
    expect(asked('ann@example.com', 'internal')).to.have.property('decision', false);
    expect(asked('ann@example.org', 'confidential')).to.have.property('decision', false);
    await engine.close();
  });

  it('shows a test of them that passes', () => {
    const [, tests = ''] = /```json\n([^]*?)```/.exec(text) ?? [];
    using home = new TemporaryDirectory();
    writeFileSync(join(home.path, 'page.cedar'), policies.join('\n'));
    writeFileSync(join(home.path, 'page.test.json'), tests);
    const main = fileURLToPath(import.meta.resolve('#lib/cli/main.js'));
    const { stdout, status } = spawnSync(process.execPath, [main, 'policy', 'test', home.path], {
      encoding: 'utf8',
    });
    expect(stdout).to.equal('1 passed, 0 failed\n');
    expect(status).to.equal(0);
  });

  it('names every annotation that is an obligation', () => {
    for (const name of [
      'require_approval',
      'approval_timeout_ms',
      'shorten_life_ms',
      'redact_arguments',
      'redact_result',
    ])
      expect(text).to.include(`@${name}(`);
  });
});

function request(to: string, confidentiality: 'internal' | 'confidential'): DecisionRequest {
  const time = '2026-11-24T12:00:00.000Z';
  return {
    subject: { type: 'workload', id: 'spiffe://example.org/agent' },
    action: { name: 'tools/call' },
    resource: { type: 'tool', id: 'sendMail', properties: { effect: 'egress', returns: LABELS } },
    context: {
      task: { id: 't', purpose: 'p', startedAt: time, expiresAt: time, clearance: 'confidential' },
      arguments: { to },
      chain: [],
      labels: { confidentiality, integrity: 'trusted' },
      budget: { callsLeft: 1 },
      time,
      business: {},
    },
  };
}
