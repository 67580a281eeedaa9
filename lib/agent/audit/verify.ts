import { SpiffeError } from '../../errors.js';
import { type PeerRule, parsePeerRule } from '../../identity/peer-rule.js';
import type { X509BundleSet } from '../../identity/source.js';
import { SpiffeId } from '../../identity/spiffe-id.js';
import { verifyX509Svid } from '../../identity/x509/verify.js';
import { quote } from '../../internal/quote.js';
import { type Checkpoint, parseCheckpoint } from './checkpoint.js';
import { CHECKPOINTS } from './layout.js';
import { locate } from './locate.js';
import type { AuditProblem } from './problem.js';
import { type LogReading, type ReadCheckpoint, type ReadEndorsement, readLog } from './reading.js';
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
  } catch (cause) {
    throw unavailable(directory, 'it cannot be read', cause);
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

/** Checkpoints that are at fault themselves; neighbours are told as one. */
function checkpointProblems({ unmet, unsigned, covered }: LogReading): readonly AuditProblem[] {
  const size = covered?.tree.size ?? 0;
  const outdone = unmet.filter(({ signed, checkpoint }) => signed && checkpoint.size <= size);
  return [
    ...outdone.map(({ entry: { number, line } }) =>
      checkpointProblem(
        line,
        `checkpoint ${number} is for another tree than the signed ones after it`,
      ),
    ),
    ...ranges([...unsigned, ...unmet.filter(({ signed }) => !signed)]).map(([first, last]) => {
      const { number, line } = first.entry;
      const which =
        first === last
          ? `checkpoint ${number} is`
          : `checkpoints ${number} to ${last.entry.number} are`;
      return checkpointProblem(line, `${which} signed by no key that an earlier record endorses`);
    }),
  ];
}

function checkpointProblem(line: number, message: string): AuditProblem {
  return { kind: 'checkpoint-invalid', file: CHECKPOINTS, line, message };
}

function ranges(
  checkpoints: readonly ReadCheckpoint[],
): readonly (readonly [ReadCheckpoint, ReadCheckpoint])[] {
  const found: [ReadCheckpoint, ReadCheckpoint][] = [];
  for (const each of checkpoints.toSorted((a, b) => a.entry.number - b.entry.number)) {
    const last = found.at(-1);
    if (last?.[1].entry.number === each.entry.number - 1) last[1] = each;
    else found.push([each, each]);
  }
  return found;
}

/** Records that are not what was signed. */
async function recordProblems(
  directory: string,
  reading: LogReading,
): Promise<readonly AuditProblem[]> {
  const size = reading.covered?.tree.size ?? 0;
  const unmet = reading.unmet.filter(({ checkpoint }) => checkpoint.size > size);
  const signed = unmet.filter((checkpoint) => checkpoint.signed);
  if (signed.length > 0) return locate(directory, reading, signed);
  if (unmet.length === 0) return [];
  // A record that endorsed their key may be what was changed: then the leaf hashes tell. If not, the checkpoints were.
  const located = await locate(directory, reading, unmet);
  return located.filter(({ kind }) => kind !== 'records-altered' && kind !== 'log-truncated');
}

/** What stands after the last checkpoint and was not left there by a writer that was killed. */
function tailProblems({ torn, tree, unmet }: LogReading): readonly AuditProblem[] {
  if (torn === undefined || torn.unfinished || unmet.length > 0) return [];
  const { segment, line } = torn;
  const message = `${segment.name} line ${line} is not record ${tree.size} of this log`;
  return [{ kind: 'line-broken', index: tree.size, file: segment.name, line, message }];
}

function identityProblems(
  endorsements: readonly ReadEndorsement[],
  bundles: X509BundleSet | undefined,
  isExpected: ((id: SpiffeId) => boolean) | undefined,
): readonly AuditProblem[] {
  return endorsements.flatMap(({ index, id, svid, time }) => {
    const problem = (why: string): AuditProblem => ({
      kind: 'identity-untrusted',
      index,
      message: `record ${index} endorses a log key by an SVID that ${why}`,
    });
    if (isExpected?.(SpiffeId.parse(id)) === false) return [problem(`is that of ${id}`)];
    try {
      if (bundles !== undefined) verifyX509Svid(svid, bundles, { now: new Date(time) });
      return [];
    } catch (error) {
      return [problem(`does not verify: ${(error as Error).message}`)];
    }
  });
}

function parseKept(signed: string): Checkpoint {
  const checkpoint = parseCheckpoint(signed);
  if (checkpoint !== undefined) return checkpoint;
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take ${quote(signed)} as a checkpoint: give the signed note as it was printed`,
  );
}

function keptProblems(
  { origin, size, root }: Checkpoint,
  { endorsements, tree }: LogReading,
  roots: ReadonlyMap<number, Hash | undefined>,
): readonly AuditProblem[] {
  const own = endorsements[0]?.origin;
  const problem = (why: string): readonly AuditProblem[] => [
    {
      kind: 'checkpoint-unknown',
      index: Math.min(size, tree.size),
      message: `the checkpoint for ${size} records that was kept is not borne out: ${why}`,
    },
  ];
  if (origin !== own) return problem(`it is for ${origin}`);
  if (size > tree.size) return problem(`the log has ${tree.size}`);
  const found = size === 0 ? undefined : roots.get(size);
  if (found !== undefined && found !== root) return problem('the records below it are others');
  return [];
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
