import { type Command, InvalidArgumentError } from 'commander';
import type { AuditVerdict } from '../agent/audit/verify.js';
import { X509Bundles } from '../identity/x509/bundles.js';
import { addChainCommand } from './audit-chain.js';
import { addBundle, type BundleFile, read, readBundles } from './bundle-option.js';

interface VerifyOptions {
  readonly bundle?: readonly BundleFile[];
  readonly id?: string;
  readonly checkpoint?: readonly string[];
  readonly json?: true;
}

interface ProveOptions {
  readonly json?: true;
}

const ALTERED = 1;

const VERIFY_EXAMPLES = `
Who wrote the log is verified when authorities are given. What was signed is told from what was not by the log alone;
that all of it was written anew, or cut off at a checkpoint, shows by a checkpoint that was kept elsewhere.

Examples:
  agent-spiffe audit verify ./audit
  agent-spiffe audit verify ./audit --bundle example.org=bundle.pem --id 'spiffe://example.org/agents/**'
  agent-spiffe audit verify ./audit --json | jq -r .checkpoint > kept && agent-spiffe audit verify ./audit --checkpoint kept`;

/** Adds `agent-spiffe audit`: what a person can do with an audit log. */
export function addAuditCommand(program: Command): void {
  const audit = program.command('audit').description('verify an audit log, or prove what is in it');
  audit
    .command('verify')
    .description('tell whether an audit log is what was written, and where it is not')
    .argument('<directory>', 'directory of the log')
    .option(
      '--bundle <trust domain=file>',
      'authorities of a trust domain, PEM; may be given several times',
      addBundle,
    )
    .option('--id <rule>', 'SPIFFE ID, or pattern of them, that must have written it')
    .option(
      '--checkpoint <file>',
      'signed checkpoint of it that was kept elsewhere; may be given several times',
      addPath,
    )
    .option('--json', 'print what was found as one line of JSON')
    .addHelpText('after', VERIFY_EXAMPLES)
    .action(runVerify);
  audit
    .command('prove')
    .description(
      'print a proof that a record is in an audit log (C2SP tlog-proof), with the record',
    )
    .argument('<index>', 'index of the record, counted from 0', parseIndex)
    .argument('<directory>', 'directory of the log')
    .option(
      '--json',
      'print the parts of the proof, and the key that verifies it, as one line of JSON',
    )
    .action(runProve);
  addChainCommand(audit);
}

async function runVerify(directory: string, options: VerifyOptions): Promise<void> {
  const { verifyAuditLog } = await import('../agent/audit/verify.js');
  const { bundle = [], checkpoint = [], id } = options;
  const checkpoints = await Promise.all(checkpoint.map(readCheckpoint));
  const verdict = await verifyAuditLog(directory, {
    checkpoints,
    ...(id === undefined ? {} : { id }),
    ...(bundle.length === 0 ? {} : { bundles: X509Bundles.of(...(await readBundles(bundle))) }),
  });
  process.stdout.write(options.json ? `${JSON.stringify(verdict)}\n` : describe(verdict));
  if (!verdict.intact) process.exitCode = ALTERED;
}

async function runProve(index: number, directory: string, options: ProveOptions): Promise<void> {
  const { formatInclusionProof, proveInclusion } = await import('../agent/audit/proof.js');
  const proof = await proveInclusion(directory, index);
  const base64 = proof.hashes.map((hash) => Buffer.from(hash).toString('base64'));
  const parts = { ...proof, record: Buffer.from(proof.record).toString(), hashes: base64 };
  process.stdout.write(options.json ? `${JSON.stringify(parts)}\n` : formatInclusionProof(proof));
}

function describe(verdict: AuditVerdict): string {
  const { intact, problems, remarks, records, covered, origin, id, trusted, keys } = verdict;
  const lines = [
    intact
      ? `intact: ${records} records, ${covered} of them below the last checkpoint`
      : `NOT INTACT: ${problems.length === 1 ? 'one problem' : `${problems.length} problems`}`,
    ...problems.map(({ message }) => `  ${message}`),
    ...remarks.map((remark) => `note: ${remark}`),
  ];
  if (origin !== undefined) lines.push(`log: ${origin}`);
  if (id !== undefined) lines.push(`written by: ${id}${trusted ? ', verified' : ''}`);
  for (const { key, index, time } of keys)
    lines.push(`key: ${key}, from record ${index}, ${time.toISOString()}`);
  if (verdict.checkpoint !== undefined) lines.push('', verdict.checkpoint.trimEnd());
  return `${lines.join('\n')}\n`;
}

/** A note ends with one newline; tools that print it may add another. */
async function readCheckpoint(path: string): Promise<string> {
  return `${(await read('checkpoint', path)).trimEnd()}\n`;
}

function addPath(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

function parseIndex(text: string): number {
  if (!/^(?:0|[1-9][0-9]{0,14})$/.test(text))
    throw new InvalidArgumentError('Give a whole number, counted from 0.');
  return Number(text);
}
