/** `npm run bench`: what the library costs beside doing the same work bare, interleaved in one run. `--json` for machines. */
import { cpus } from 'node:os';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { agentComparisons } from './agent.js';
import { auditComparisons } from './audit.js';
import { identityComparisons } from './identity.js';
import { type Comparison, compare, kept, type Mark, type Result } from './rounds.js';
import { startComparisons } from './start.js';
import { tlsComparisons } from './tls.js';

const asJson = process.argv.includes('--json');
const rounds = Number(process.env['BENCH_ROUNDS'] ?? 9);

const api = await WorkloadApiServer.open({
  trustDomain: 'example.org',
  identities: ['spiffe://example.org/agents/researcher'],
});
const tls = await tlsComparisons();
const agent = await agentComparisons(api.address);
const audit = await auditComparisons();
const comparisons: readonly Comparison[] = [
  ...identityComparisons(),
  ...tls.comparisons,
  ...agent.comparisons,
  ...audit.comparisons,
  ...startComparisons(api.address),
];
const results: Result[] = [];
for (const comparison of comparisons) {
  const result = await compare(comparison, rounds);
  results.push(result);
  if (!asJson) console.log(row(result));
}
await tls.close();
await agent.close();
await audit.close();
await api.close();

const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length, rounds };
if (asJson) console.log(JSON.stringify({ machine, results }, null, 2));
else console.log(`\nmedians of ${rounds} rounds on Node ${machine.node}, ${machine.cores} × ${machine.cpu}`);
if (results.some((result) => kept(result) === false)) process.exitCode = 1;

function row(result: Result): string {
  const { name, unit, ours, bare, ratio, mark } = result;
  const verdict = kept(result);
  const lines = [name, `  ours ${figure(ours)} ${unit}`];
  if (bare !== undefined) lines[1] += `   bare ${figure(bare)} ${unit}`;
  if (ratio !== undefined) {
    lines[1] += `   ratio ${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)})`;
  }
  if (mark !== undefined) lines[1] += `   ${verdict ? 'kept' : 'MISSED'}: ${promise(mark, unit)}`;
  return lines.join('\n');
}

function figure(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 3 });
}

function promise(mark: Mark, unit: string): string {
  if ('atLeast' in mark) return `at least ${mark.atLeast}`;
  if ('atMost' in mark) return `at most ${mark.atMost}`;
  return `at most ${mark.over} ${unit} more`;
}
