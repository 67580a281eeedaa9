/** Something about a log that its writer did not do. */
export interface AuditProblem {
  readonly kind: AuditProblemKind;
  /** The index of the record at fault, or of the first of several; absent when it is no record's. */
  readonly index?: number;
  /** One past the last, where several are at fault. */
  readonly end?: number;
  /** The file and line where it shows; lines are counted from 1. */
  readonly file?: string;
  readonly line?: number;
  /** The same in words. */
  readonly message: string;
}

/**
 * - `record-changed`: it is not what was signed.
 * - `record-removed`: it was signed and is not there.
 * - `record-inserted`: it is there and was not signed.
 * - `record-moved`: it was signed at another place.
 * - `records-altered`: one of these, somewhere in a range; the file of leaf hashes cannot tell which.
 * - `log-truncated`: the log ends before what was signed does.
 * - `segment-missing`: a file of records is not there, or is named after another record than its first.
 * - `line-broken`: a line that is no record of this log.
 * - `checkpoint-invalid`: it is malformed, signed by no endorsed key, or is for another tree than the ones around it.
 * - `checkpoint-missing`: a log key has signed nothing of what was written while it was in use.
 * - `endorsement-invalid`: who speaks for the log cannot be told from it.
 * - `identity-untrusted`: the SVID behind an endorsement does not verify, or is not the one expected.
 * - `checkpoint-unknown`: a checkpoint kept elsewhere is not one of this log's.
 */
export type AuditProblemKind =
  | 'record-changed'
  | 'record-removed'
  | 'record-inserted'
  | 'record-moved'
  | 'records-altered'
  | 'log-truncated'
  | 'segment-missing'
  | 'line-broken'
  | 'checkpoint-invalid'
  | 'checkpoint-missing'
  | 'endorsement-invalid'
  | 'identity-untrusted'
  | 'checkpoint-unknown';
