import type { Replayed, ReplayedDecision } from '../agent/policy/replay.js';
import { readTools, tellDoubts, unusable } from './policy-tools.js';

interface ReplayOptions {
  readonly policies: string;
  readonly tools?: string;
  readonly json?: true;
}

const CHANGED = 1;
const CAPTIONS: Readonly<Record<Replayed['outcome'], string>> = {
  same: 'the same',
  allowed: 'denied, would be allowed',
  denied: 'allowed, would be denied',
  obligations: 'allowed with other obligations',
  undecided: 'cannot be decided again',
};

/** `policy replay`: prints what would change, and exits with 1 when something would or might. */
export async function runReplay(directory: string, options: ReplayOptions): Promise<void> {
  const { policies, json } = options;
  const { tools, business } = options.tools === undefined ? {} : await readTools(options.tools);
  const notes = await verify(directory);
  const [{ replay }, { cedarPolicyWith }, { readPolicies }] = await Promise.all([
    import('../agent/policy/replay.js'),
    import('../agent/policy/cedar.js'),
    import('../agent/policy/cedar-files.js'),
  ]);
  const texts = await readPolicies(policies);
  const logger = tellDoubts();
  const counts = { same: 0, allowed: 0, denied: 0, obligations: 0, undecided: 0 };
  const replayed = replay(
    directory,
    async (set) => {
      const engine = cedarPolicyWith(
        { policies: texts },
        { logger, ...(business && { business }) },
      );
      await engine.prepare(set);
      return engine;
    },
    tools,
  );
  const changes: Replayed[] = [];
  for await (const each of replayed) {
    counts[each.outcome]++;
    if (each.outcome !== 'same') changes.push(each);
  }
  process.stdout.write(
    json ? `${JSON.stringify({ notes, counts, changes })}\n` : listed(notes, counts, changes),
  );
  if (changes.length > 0) process.exitCode = CHANGED;
}

/** Gives what is good to know about the log. */
async function verify(directory: string): Promise<readonly string[]> {
  const { verifyAuditLog } = await import('../agent/audit/verify.js');
  const { intact, problems, remarks } = await verifyAuditLog(directory);
  if (intact) return remarks;
  throw unusable(
    directory,
    `this log is not what was written: ${problems[0]?.message}; \`agent-spiffe audit verify\` tells all`,
  );
}

function listed(
  notes: readonly string[],
  counts: Readonly<Record<Replayed['outcome'], number>>,
  changes: readonly Replayed[],
): string {
  const told = Object.entries(counts).map(
    ([outcome, count]) => `${count} ${CAPTIONS[outcome as Replayed['outcome']]}`,
  );
  return [
    ...changes.map(describe),
    ...notes.map((note) => `note: ${note}`),
    told.join(', '),
    '',
  ].join('\n');
}

function describe({ index, task, action, outcome, before, after, needed }: Replayed): string {
  const what = `record ${index}, ${action} in task ${task}: ${CAPTIONS[outcome]}`;
  if (needed !== undefined) return `${what}: the record does not hold ${needed.join(', ')}`;
  return `${what}: by ${by(before)}; now by ${by(after)}`;
}

function by(decision: ReplayedDecision | undefined): string {
  const { reasons = [], obligations = [], error } = decision ?? {};
  const obliged = obligations.map((each) => JSON.stringify(each)).join(' ');
  return [
    reasons.join(' ') || 'no policy',
    ...(obliged === '' ? [] : [`with ${obliged}`]),
    ...(error === undefined ? [] : [`(${error})`]),
  ].join(' ');
}
