import type { Endorsement } from './endorsement.js';
import { type Outcome, otherActivity, type RecordParts } from './ocsf.js';
import { LOG_KEY, LOG_OUTAGE, LOG_REPAIR } from './own-records.js';
import type { Repair } from './recover.js';

/** While records could not be written. */
export interface Outage {
  /** Milliseconds since 1970. */
  readonly since: number;
  /** How many were refused. */
  readonly refused: number;
  /** Of the first error. */
  readonly code: string;
}

/** Who writes, and when. */
export interface Writing {
  readonly agent: string;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** A log key begins to sign, or its SVID was replaced. */
export function keyParts(endorsement: Endorsement, writing: Writing): RecordParts {
  return {
    ...own(LOG_KEY, 'Log Key', writing),
    message: `${writing.agent} signs this log by ${endorsement.key}`,
    unmapped: { endorsement },
  };
}

/** Something that was no record was cut off when the log was opened. */
export function repairParts({ bytes, file, sha256 }: Repair, writing: Writing): RecordParts {
  return {
    ...own(LOG_REPAIR, 'Log Repair', writing),
    message: `${bytes} bytes after the last record were no record, and are in ${file} now`,
    unmapped: { repair: { bytes, file, sha256 } },
  };
}

/** The log can be written again. */
export function outageParts({ since, refused, code }: Outage, writing: Writing): RecordParts {
  const outcome: Outcome = { id: 2, name: 'Failure', code };
  return {
    ...own(LOG_OUTAGE, 'Log Outage', writing),
    message: `the log could not be written; ${refused} records were refused`,
    outcome,
    unmapped: { outage: { refused, since } },
  };
}

function own(
  code: string,
  name: string,
  { agent, time }: Writing,
): Pick<RecordParts, 'base' | 'activity' | 'operation'> {
  const base = { code, time, agent, taskId: undefined, endUser: undefined, trace: undefined };
  return { base, activity: otherActivity(name), operation: code.replace('.', '/') };
}
