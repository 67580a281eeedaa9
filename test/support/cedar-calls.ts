/**
 * A process that asks Cedar many times, `ours` or `bare`, and in the middle of one call of each thousand has V8 drop all
 * optimised code, as happens when coverage or a debugger is turned on, or when what the code was optimised for changes.
 */
import { Session } from 'node:inspector';
import { preparsePolicySet, statefulIsAuthorized } from '@cedar-policy/cedar-wasm/nodejs';
import { cedarPolicy, type DecisionRequest } from 'agent-spiffe/agent';

const [, , how, count = '30000'] = process.argv;
const POLICY = 'permit(principal, action, resource) when { context.labels.level < 2 };';
const LABELS = { confidentiality: 'internal', integrity: 'trusted' } as const;
const TIME = '2026-11-24T12:00:00.000Z';

const session = new Session();
session.connect();
session.post('Profiler.enable');
const { parse } = JSON;
let drop = false;
let dropped = 0;
// Cedar makes its answer by this, within the call.
JSON.parse = (text: string): unknown => {
  if (drop) {
    drop = false;
    dropped++;
    session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    session.post('Profiler.stopPreciseCoverage');
  }
  return parse(text) as unknown;
};

const ask = how === 'ours' ? await ours() : bare();
let allowed = 0;
for (let turn = 1; turn <= Number(count); turn++) {
  drop = turn % 1000 === 0;
  if (ask(turn)) allowed++;
}
session.disconnect();
process.stdout.write(`${allowed} allowed, ${dropped} times dropped\n`);

async function ours(): Promise<(turn: number) => boolean> {
  const engine = cedarPolicy({ policies: { p: POLICY } });
  await engine.prepare([{ name: 'look', description: '', effect: 'read', digest: '' }]);
  const { signal } = new AbortController();
  return (turn) => {
    const answer = engine.decide(requestOf(turn), { signal });
    return !(answer instanceof Promise) && answer.decision;
  };
}

function bare(): (turn: number) => boolean {
  preparsePolicySet('bare', { staticPolicies: { p: POLICY } });
  return (turn) => {
    const answer = statefulIsAuthorized({
      principal: { type: 'Workload', id: String(turn) },
      action: { type: 'Action', id: 'look' },
      resource: { type: 'Tool', id: 'look' },
      context: { labels: { level: 1 } },
      preparsedPolicySetId: 'bare',
      entities: [],
    });
    return answer.type === 'success' && answer.response.decision === 'allow';
  };
}

function requestOf(turn: number): DecisionRequest {
  return {
    subject: { type: 'workload', id: `spiffe://example.org/${turn}` },
    action: { name: 'tools/call' },
    resource: { type: 'tool', id: 'look', properties: { effect: 'read', returns: LABELS } },
    context: {
      task: { id: 't', purpose: 'p', startedAt: TIME, expiresAt: TIME, clearance: 'internal' },
      arguments: {},
      chain: [],
      labels: LABELS,
      budget: { callsLeft: 1 },
      time: TIME,
      business: {},
    },
  };
}
