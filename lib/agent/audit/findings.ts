import type { X509BundleSet } from '../../identity/source.js';
import { SpiffeId } from '../../identity/spiffe-id.js';
import { verifyX509Svid } from '../../identity/x509/verify.js';
import type { Checkpoint } from './checkpoint.js';
import { CHECKPOINTS } from './layout.js';
import { locate } from './locate.js';
import type { ReadEndorsement } from './log-keys.js';
import type { AuditProblem } from './problem.js';
import type { LogReading, ReadCheckpoint } from './reading.js';
import type { Hash } from './tree.js';

/** Checkpoints that are at fault themselves; neighbours are told as one. */
export function checkpointProblems({
  unmet,
  unsigned,
  covered,
}: LogReading): readonly AuditProblem[] {
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
export async function recordProblems(
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
export function tailProblems({ torn, tree, unmet }: LogReading): readonly AuditProblem[] {
  if (torn === undefined || torn.unfinished || unmet.length > 0) return [];
  const { segment, line } = torn;
  const message = `${segment.name} line ${line} is not record ${tree.size} of this log`;
  return [{ kind: 'line-broken', index: tree.size, file: segment.name, line, message }];
}

/** Endorsements by an SVID that is not to be trusted, or not the one expected. */
export function identityProblems(
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

/** A checkpoint that was kept elsewhere and is none of this log's. */
export function keptProblems(
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
  if (size > 0 && roots.get(size) !== root) return problem('the records below it are others');
  return [];
}
