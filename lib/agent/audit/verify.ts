import { SpiffeError } from '../../errors.js';
import { type PeerRule, parsePeerRule } from '../../identity/peer-rule.js';
import type { X509BundleSet } from '../../identity/source.js';
import { quote } from '../../internal/quote.js';
import { type Checkpoint, parseCheckpoint } from './checkpoint.js';
import {
  checkpointProblems,
  identityProblems,
  keptProblems,
  recordProblems,
  tailProblems,
} from './findings.js';
import type { AuditProblem } from './problem.js';
import { type LogReading, readLog } from './reading.js';
import type { Hash } from './tree.js';

/** Against what a log is verified. */
export interface VerifyAuditLogOptions {
  /** Whose word is good about SPIFFE IDs. Without it, nothing is said about who wrote the log. */
  readonly bundles?: X509BundleSet;
  /** Who must have written it. Default: whoever its first record names. */
  readonly id?: PeerRule;
  /** Signed checkpoints of it that were kept elsewhere: a log that was cut short, or written anew, does not bear them out. */
  readonly checkpoints?: readonly string[];
}

/** A log key, and the SVID that speaks for it. */
export interface AuditLogKey {
  /** A verifier key of C2SP signed-note. */
  readonly key: string;
  /** The index of the record that endorses it. */
  readonly index: number;
  /** When, by the writer's clock. */
  readonly time: Date;
}

/** What was found. */
export interface AuditVerdict {
  /** Whether nothing was. */
  readonly intact: boolean;
  readonly problems: readonly AuditProblem[];
  /** What is as it may be, and good to know. */
  readonly remarks: readonly string[];
  /** The name of the log; `undefined` when its first record is no good. */
  readonly origin: string | undefined;
  /** The SPIFFE ID that its first record names. */
  readonly id: string | undefined;
  /** Whether that was verified against bundles. */
  readonly trusted: boolean;
  /** The number of records, */
  readonly records: number;
  /** and of those below the last checkpoint, about which alone a log can be held to anything. */
  readonly covered: number;
  readonly checkpoints: number;
  /** The last good checkpoint, as a signed note: keep it elsewhere. */
  readonly checkpoint: string | undefined;
  readonly keys: readonly AuditLogKey[];
}

/**
 * Verifies an audit log: each record below the last checkpoint is the one that was signed, in its place; each
 * checkpoint is signed by a key that an earlier record endorses; each endorsement is signed by the SVID in it. A log
 * that is being written to can be verified too.
 *
 * @throws SpiffeError `ERR_SPIFFE_AUDIT_UNAVAILABLE` when it cannot be read, or is not there;
 * `ERR_SPIFFE_PEER_RULE_INVALID`; `ERR_SPIFFE_OPTION_INVALID` for a kept checkpoint that is none.
 */
export async function verifyAuditLog(
  directory: string,
  options: VerifyAuditLogOptions = {},
): Promise<AuditVerdict> {
  const kept = (options.checkpoints ?? []).map(parseKept);
  const isExpected = options.id === undefined ? undefined : parsePeerRule(options.id);
  const roots = new Map<number, Hash | undefined>(kept.map(({ size }) => [size, undefined]));
  const reading = await read(directory, roots);
  const problems = [
    ...reading.problems,
    ...checkpointProblems(reading),
    ...(await recordProblems(directory, reading)),
    ...tailProblems(reading),
    ...identityProblems(reading.endorsements, options.bundles, isExpected),
    ...kept.flatMap((checkpoint) => keptProblems(checkpoint, reading, roots)),
  ];
  const [first] = reading.endorsements;
  return {
    intact: problems.length === 0,
    problems,
    remarks: remarksOn(reading, options),
    origin: first?.origin,
    id: first?.id,
    trusted: options.bundles !== undefined && problems.length === 0,
    records: reading.tree.size,
    covered: reading.covered?.tree.size ?? 0,
    checkpoints: reading.checkpoints,
    checkpoint: reading.covered?.checkpoint.signed,
    keys: reading.endorsements.map(({ key, index, time }) => ({
      key: key.text,
      index,
      time: new Date(time),
    })),
  };
}

async function read(directory: string, roots: Map<number, Hash | undefined>): Promise<LogReading> {
  let reading: LogReading;
  try {
    reading = await readLog(directory, { roots });
    // A log that was opened between the reading of its checkpoints and that of its records is not without them.
    if (reading.problems.some(({ kind }) => kind === 'checkpoint-missing'))
      reading = await readLog(directory, { roots });
  } catch (cause) {
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    throw unavailable(directory, `it cannot be read${why}`, cause);
  }
  if (reading.segments.length === 0 && reading.checkpoints === 0)
    throw unavailable(directory, 'there is none in that directory');
  return reading;
}

function unavailable(directory: string, why: string, cause?: unknown): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_AUDIT_UNAVAILABLE',
    `cannot verify the audit log in ${quote(directory)}: ${why}`,
    { cause },
  );
}

function parseKept(signed: string): Checkpoint {
  const checkpoint = parseCheckpoint(signed);
  if (checkpoint !== undefined) return checkpoint;
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take ${quote(signed)} as a checkpoint: give the signed note as it was printed`,
  );
}

function remarksOn(
  { torn, tornCheckpoint, covered, tree }: LogReading,
  { bundles }: VerifyAuditLogOptions,
): readonly string[] {
  const uncovered = tree.size - (covered?.tree.size ?? 0);
  return [
    ...(uncovered > 0 ? [`the last ${uncovered} records are below no checkpoint yet`] : []),
    ...(torn?.unfinished
      ? [
          `the last line, after record ${tree.size - 1}, is not complete: its writer was killed, or writes it now`,
        ]
      : []),
    ...(tornCheckpoint
      ? ['the last checkpoint is not complete: its writer was killed, or writes it now']
      : []),
    ...(bundles === undefined
      ? ['who wrote it is not verified: no authority was given that vouches for SPIFFE IDs']
      : []),
  ];
}
