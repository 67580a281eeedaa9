/**
 * `npm run bench`: what the library costs beside doing the same work bare, and beside go-spiffe where that is built
 * (`npm run interop:install`), interleaved in one run. `--json` for machines; exits 1 when a mark is missed.
 */
import { cpus } from 'node:os';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { agentComparisons } from './agent.js';
import { auditComparisons } from './audit.js';
import { GoSpiffe } from './go.js';
import { grantComparisons } from './grant.js';
import { grpcComparisons } from './grpc.js';
import { guardedComparisons } from './guarded.js';
import { identityComparisons } from './identity.js';
import { jwtComparisons } from './jwt.js';
import { CLIENT, makeMaterial } from './material.js';
import { type Comparison, compare, type Mark, type Result } from './rounds.js';
import { startComparisons } from './start.js';
import { tlsComparisons } from './tls.js';

const asJson = process.argv.includes('--json');
const rounds = Number(process.env['BENCH_ROUNDS'] ?? 9);

const api = await WorkloadApiServer.open({ trustDomain: 'example.org', identities: [CLIENT] });
const material = await makeMaterial();
const go = await GoSpiffe.start(material);
const tls = await tlsComparisons(material, go);
const grpc = await grpcComparisons(material);
const jwt = await jwtComparisons(material, go, api);
const agent = await agentComparisons(api.address);
const guarded = await guardedComparisons(api.address);
const audit = await auditComparisons();
const comparisons: readonly Comparison[] = [
  ...identityComparisons(material, go),
  ...jwt.comparisons,
  ...tls.comparisons,
  ...grpc.comparisons,
  ...agent.comparisons,
  ...guarded.comparisons,
  ...audit.comparisons,
  ...grantComparisons(),
  ...startComparisons(api.address),
];
const results: Result[] = [];
for (const comparison of comparisons) {
  const result = await compare(comparison, rounds);
  results.push(result);
  if (!asJson) console.log(rows(result));
}
await Promise.all([
  tls.close(),
  jwt.close(),
  agent.close(),
  guarded.close(),
  audit.close(),
  go?.close(),
]);
grpc.close();
await api.close();

const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length, rounds };
if (asJson) console.log(JSON.stringify({ machine, results }, null, 2));
else
  console.log(
    `\nmedians of ${rounds} rounds on Node ${machine.node}, ${machine.cores} × ${machine.cpu}`,
  );
if (go === undefined && !asJson)
  console.log('left out: go-spiffe; `npm run interop:install` builds it (needs Go)');
if (results.some(missed)) process.exitCode = 1;

function missed({ floor, rivals }: Result): boolean {
  return floor?.kept === false || rivals.some(({ kept }) => kept === false);
}

function rows({ name, unit, ours, floor, rivals }: Result): string {
  const alone =
    floor === undefined
      ? ''
      : `   ${floor.kept ? 'kept' : 'MISSED'}: at least ${shown(floor.figure)} ${unit}`;
  const against = rivals.map(({ name: rival, figure, ratio, mark, kept }) => {
    const spread = `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)})`;
    const verdict =
      mark === undefined ? '' : `   ${kept ? 'kept' : 'MISSED'}: ${promise(mark, unit)}`;
    return `  ${rival} ${shown(figure)} ${unit}   ours to it ${spread}${verdict}`;
  });
  return [name, `  ours ${shown(ours)} ${unit}${alone}`, ...against].join('\n');
}

function shown(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 3 });
}

function promise(mark: Mark, unit: string): string {
  if ('atLeast' in mark) return `at least ${mark.atLeast}`;
  if ('atMost' in mark) return `at most ${mark.atMost}`;
  return `at most ${mark.over} ${unit} more`;
}
