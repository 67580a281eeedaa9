import type { Command } from 'commander';
import type { AuditChainStep } from '../agent/audit/chain.js';
import type { AuditVerdict } from '../agent/audit/verify.js';
import { X509Bundles } from '../identity/x509/bundles.js';
import { isJsonObject, type JsonObject, member } from '../internal/json.js';
import { addBundle, type BundleFile, readBundles } from './bundle-option.js';

interface ChainOptions {
  readonly bundle?: readonly BundleFile[];
  readonly id?: string;
  readonly json?: true;
}

interface VerifiedLog {
  readonly directory: string;
  readonly verdict: AuditVerdict;
}

const ALTERED = 1;

const EXAMPLES = `
Each log is verified first, and said to be intact or not. From a grant or a task everything below it is printed, and of the
tasks above it the start, the end and the grants that lead to it. Who did it is whose SVID signed the log; on whose behalf
is who called by a grant, who gave them that, and so on.

Examples:
  agent-spiffe audit chain 019ab2c4-7d3e-7a10-9c52-0242ac120002 ./orchestrator ./researcher ./mailer
  agent-spiffe audit chain "$TASK_ID" /var/log/agents/* --bundle example.org=bundle.pem --json | jq '.steps[].kind'`;

/** Adds `agent-spiffe audit chain`. */
export function addChainCommand(audit: Command): void {
  audit
    .command('chain')
    .description('follow a task or a grant through the logs of several processes')
    .argument('<id>', 'id of a task, or of a grant')
    .argument('<directory...>', 'directories of the logs')
    .option(
      '--bundle <trust domain=file>',
      'authorities of a trust domain, PEM; may be given several times',
      addBundle,
    )
    .option('--id <rule>', 'SPIFFE ID, or pattern of them, that must have written each log')
    .option('--json', 'print what was found as one line of JSON')
    .addHelpText('after', EXAMPLES)
    .action(runChain);
}

async function runChain(
  id: string,
  directories: readonly string[],
  options: ChainOptions,
): Promise<void> {
  const { verifyAuditLog } = await import('../agent/audit/verify.js');
  const { followAuditChain } = await import('../agent/audit/chain.js');
  const { bundle = [] } = options;
  const expected = {
    ...(options.id === undefined ? {} : { id: options.id }),
    ...(bundle.length === 0 ? {} : { bundles: X509Bundles.of(...(await readBundles(bundle))) }),
  };
  const logs: VerifiedLog[] = [];
  for (const directory of new Set(directories))
    logs.push({ directory, verdict: await verifyAuditLog(directory, expected) });
  const intact = logs.every(({ verdict }) => verdict.intact);
  if (!intact) process.exitCode = ALTERED;
  // Said before anything is read of a log that may not even be readable.
  if (options.json !== true) process.stdout.write(logs.map(describeLog).join(''));
  const idOf = new Map(logs.map(({ directory, verdict }) => [directory, verdict.id ?? 'unknown']));
  const steps = await followAuditChain(
    id,
    [...idOf].map(([directory, log]) => ({ directory, id: log })),
  );
  const found = steps.map((step) => ({ ...step, agent: idOf.get(step.directory) ?? 'unknown' }));
  process.stdout.write(
    options.json === true
      ? `${JSON.stringify({ id, intact, logs, steps: found })}\n`
      : `\n${found.map(describeStep).join('')}`,
  );
}

function describeLog({ directory, verdict }: VerifiedLog): string {
  const { intact, problems, remarks, records, id, trusted } = verdict;
  const by = id === undefined ? '' : `, written by ${id}${trusted ? ', verified' : ''}`;
  const lines = [
    `${directory}: ${intact ? `intact, ${records} records` : 'NOT INTACT'}${by}`,
    ...problems.map(({ message }) => `  ${message}`),
    ...remarks.map((remark) => `  note: ${remark}`),
  ];
  return `${lines.join('\n')}\n`;
}

function describeStep({
  agent,
  onBehalfOf,
  record,
  kind,
  task,
  directory,
  index,
}: AuditChainStep & { readonly agent: string }): string {
  const behalf = onBehalfOf.map(
    (each) => ` for ${each ?? 'one whom these logs do not name for certain'}`,
  );
  const time = member(record, 'time');
  const at = typeof time === 'number' ? new Date(time).toISOString() : '';
  const said = [textOf(record, 'message'), textOf(record, 'status_detail')].filter(Boolean);
  const grant = grantId(record);
  const what = inOneLine(`${kind}${grant === undefined ? '' : ` ${grant}`}: ${said.join(': ')}`);
  const where = `${task === undefined ? '' : `task ${task}, `}record ${index} in ${directory}`;
  return `${at} ${inOneLine(agent + behalf.join(''))}\n    ${what}\n    ${inOneLine(where)}\n`;
}

/** Purposes, users, and the ids of foreign grants are text of others: it must not look like another step, nor move the cursor. */
function inOneLine(text: string): string {
  return text.replaceAll(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (sign) => `\\u{${(sign.codePointAt(0) as number).toString(16)}}`,
  );
}

function grantId(record: JsonObject): string | undefined {
  const unmapped = member(record, 'unmapped');
  const grant = isJsonObject(unmapped) ? member(unmapped, 'grant') : undefined;
  return isJsonObject(grant) ? textOf(grant, 'jti') : undefined;
}

function textOf(record: JsonObject, name: string): string | undefined {
  const value = member(record, name);
  return typeof value === 'string' ? value : undefined;
}
