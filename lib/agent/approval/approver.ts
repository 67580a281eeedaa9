import type { JsonRecord } from '../../internal/json.js';
import type { TaskRef } from '../audit/events.js';

/**
 * What someone is asked to agree to: one call, with exactly these arguments. For a change of labels `tool` is its action,
 * `labels/declassify` or `labels/endorse`, and the arguments are `{ from, to, justification }`.
 */
export interface ApprovalRequest {
  /** Unique; an answer to another request is none to this. */
  readonly id: string;
  /** The SPIFFE ID that wants to act. */
  readonly agent: string;
  readonly task: TaskRef;
  readonly tool: string;
  readonly arguments: JsonRecord;
  /** SHA-256 of the canonical JSON of `{ arguments, id, tool }`, in hex: what the answer must repeat. */
  readonly digest: string;
  /** Who has to agree, as the obligation says. */
  readonly by: string;
  /** The ids of the policies that ask for it. */
  readonly reasons: readonly string[];
  /** Milliseconds since 1970; a later answer is a denial. */
  readonly expiresAt: number;
}

/** What was answered. */
export interface Approval {
  readonly granted: boolean;
  /** Who answered: a SPIFFE ID, or a person as the approver names them. */
  readonly approver: string;
  /** The digest of the request that was answered. */
  readonly digest: string;
}

/** Where an agreement is asked for. The guard bounds the wait, and takes an error for a denial. */
export interface Approver {
  ask(request: ApprovalRequest, options: { readonly signal: AbortSignal }): Promise<Approval>;
}
