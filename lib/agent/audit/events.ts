import type { JsonRecord } from '../../internal/json.js';
import type { Labels } from '../flow/labels.js';
import type { DecisionRequest, Obligation } from '../policy/request.js';
import type { Effect } from '../tool-description.js';

/**
 * Something that a guard writes down. A read is a call whose effect is `read`, a change of privilege one whose effect
 * is `privilege`; what a call reads raises the labels that stand in its intent.
 */
export type AuditEvent =
  | TaskStartEvent
  | TaskEndEvent
  | CallIntentEvent
  | CallDeniedEvent
  | CallOutcomeEvent
  | LabelEvent
  | ApprovalEvent
  | CredentialEvent
  | GrantEvent
  | GrantRefusedEvent
  | RotationEvent;

/** What every event says. */
export interface EventBase {
  /** When, by the guard's clock; milliseconds since 1970. */
  readonly time: number;
  /** The SPIFFE ID of the process. */
  readonly agent: string;
  /** The task in which it happened; absent when there is none. */
  readonly task?: TaskRef;
  /** Present when the guard only evaluates: it lets pass what it would have refused. */
  readonly evaluateOnly?: true;
  /** The span within which it happened, where OpenTelemetry is at work. */
  readonly trace?: { readonly traceId: string; readonly spanId: string };
}

/** A task, as each of its events names it. */
export interface TaskRef {
  readonly id: string;
  readonly purpose: string;
  /** For whom the task works, when it works for someone. */
  readonly endUser?: string;
}

/** How a task ended. */
export type TaskEnding = 'returned' | 'threw' | 'ended' | 'expired' | 'budget' | 'revoked';

/** A task began; durable before anything runs in it. */
export interface TaskStartEvent extends EventBase {
  readonly kind: 'task.start';
  readonly task: TaskRef;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  readonly clearance: Labels['confidentiality'];
  /** Argument constraints by tool, in the JSON form of the tokens. */
  readonly tools: JsonRecord;
  /** The digests of the tools' descriptions, pinned now. */
  readonly toolDigests: Readonly<Record<string, string>>;
  /**
   * Descriptions by their digest, those that the guard has not put on record before: of every tool with its first task,
   * so that policies can be held against them later.
   */
  readonly toolDefinitions?: Readonly<Record<string, JsonRecord>>;
  readonly budget: JsonRecord;
  readonly business: JsonRecord;
  /** RFC 7638 thumbprint of the task's own key. */
  readonly keyThumbprint: string;
}

export interface TaskEndEvent extends EventBase {
  readonly kind: 'task.end';
  readonly task: TaskRef;
  readonly ending: TaskEnding;
  /** Why, in words, when it was ended from outside or by a failure. */
  readonly reason?: string;
  readonly calls: number;
  readonly denied: number;
  readonly bytesOut: number;
  readonly labels: Labels;
}

/** A call, as each of its events names it. */
export interface CallRef {
  /** One id for the intent, the approval and the outcome. */
  readonly id: string;
  readonly tool: string;
  /** Absent for a tool that the guard does not have. */
  readonly effect?: Effect;
  /** The guarded call within which this one was made. */
  readonly parent?: string;
}

/** What decided about an action. */
export interface DecisionRecord {
  /** The revision of the policy engine. */
  readonly revision: string;
  readonly reasons: readonly string[];
  readonly obligations: readonly Obligation[];
}

/** Durable before the function runs. */
export interface CallIntentEvent extends EventBase {
  readonly kind: 'call.intent';
  readonly task: TaskRef;
  readonly call: CallRef;
  /** All that the policy engine was asked, arguments included, so that the run can be decided again. */
  readonly request: DecisionRequest;
  readonly decision: DecisionRecord;
  /** Every ground on which it would have been refused, were the guard not only evaluating. */
  readonly wouldDeny?: readonly Denial[];
}

/** Why something was refused. */
export interface Denial {
  readonly reason: DenialReason;
  /** In words, the input quoted. */
  readonly message: string;
  /** The ids of the policies that refused. */
  readonly policies: readonly string[];
}

/** What a refusal rests on; stable across releases. */
export type DenialReason =
  | 'no-task'
  | 'tool-not-in-task'
  | 'tool-changed'
  | 'argument'
  | 'budget'
  | 'clearance'
  | 'label'
  | 'policy'
  | 'approval'
  | 'task-ended';

/** A call that was refused before its function ran; without a task when it was made outside any. */
export interface CallDeniedEvent extends EventBase {
  readonly kind: 'call.denied';
  readonly call: CallRef;
  readonly denial: Denial;
  /**
   * What the policy engine was asked; or would have been, with the budget as it stood, when the call was refused before.
   * Absent when the arguments could not be taken.
   */
  readonly request?: DecisionRequest;
  readonly decision?: DecisionRecord;
}

/** What came of a call whose intent was recorded, unless it was denied after all. */
export interface CallOutcomeEvent extends EventBase {
  readonly kind: 'call.outcome';
  readonly task: TaskRef;
  readonly call: CallRef;
  readonly status: 'success' | 'failure' | 'aborted';
  readonly durationMs: number;
  /** The size of what it returned as JSON; absent when that cannot be said as JSON. */
  readonly resultBytes?: number;
  /** SHA-256 of the same, in hex. */
  readonly resultDigest?: string;
  /** The name or code of the error, never its text, which may hold data. */
  readonly error?: string;
  /** What would have been refused after the intent was on record. */
  readonly wouldDeny?: readonly Denial[];
}

/** Someone lowered the labels of a task, or was refused to. */
export interface LabelEvent extends EventBase {
  readonly kind: 'label.declassify' | 'label.endorse';
  readonly task: TaskRef;
  readonly before: Labels;
  readonly after: Labels;
  /** Why, as the caller says. */
  readonly justification: string;
  readonly request: DecisionRequest;
  readonly decision: DecisionRecord;
  readonly denial?: Denial;
  readonly wouldDeny?: readonly Denial[];
}

/** Someone was asked to agree to a call or to a change of labels, and answered or did not. */
export interface ApprovalEvent extends EventBase {
  readonly kind: 'approval';
  readonly task: TaskRef;
  /** The call, when it is one. */
  readonly call?: CallRef;
  /** The change of labels, when it is one. */
  readonly change?: 'labels/declassify' | 'labels/endorse';
  /** SHA-256 of the canonical arguments, in hex. */
  readonly argumentsDigest: string;
  /** Whose names they have: the record holds no digest of arguments of which it may hold none. */
  readonly argumentNames?: readonly string[];
  /** Who had to agree. */
  readonly by: string;
  readonly outcome: 'granted' | 'refused' | 'timed-out' | 'failed';
  /** Who answered: a SPIFFE ID, or a person as the approver names them. */
  readonly approver?: string;
}

/** A credential was made for a task, renewed, refused, or dropped with it. */
export interface CredentialEvent extends EventBase {
  readonly kind: 'credential';
  readonly task: TaskRef;
  readonly operation: 'issued' | 'renewed' | 'refused' | 'dropped';
  /** What it is: a task key, an X.509-SVID, a JWT-SVID, a grant. */
  readonly credential: string;
  /** Names it without being it: a serial number, a thumbprint, a token's `jti`, an audience. */
  readonly reference: string;
  /** The SPIFFE ID that it certifies, where it does. */
  readonly subject?: string;
  /** Milliseconds since 1970. */
  readonly expiresAt?: number;
  /** Why it was refused. */
  readonly reason?: string;
}

/** A grant, as each of its events names it. */
export interface GrantRef {
  /** The id of its last token. */
  readonly jti: string;
  /** The ids of all its tokens, root first, its own last: what ties the logs of several processes together. */
  readonly chain: readonly string[];
  /** The SPIFFE ID that holds it, or is to. */
  readonly holder: string;
  /** The tools that it allows. */
  readonly tools: readonly string[];
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** A task signed a root, passed a part of a grant on, or was started by one for the call of another; or its end revoked one. */
export interface GrantEvent extends EventBase {
  readonly kind: 'grant.issue' | 'grant.derive' | 'grant.accept' | 'grant.revoke';
  /** Whose it is: that which gives it, or that which was started by it. */
  readonly task: TaskRef;
  readonly grant: GrantRef;
  /** The SPIFFE ID whose X.509-SVID signed the root. */
  readonly issuer?: string;
  /** The tool that was called by it. */
  readonly tool?: string;
  /** The id of the proof that came with that call. */
  readonly proof?: string;
}

/** What was shown as a grant for a call, or given to this process to hold, was not taken. */
export interface GrantRefusedEvent extends EventBase {
  readonly kind: 'grant.refuse';
  /** Where it failed: the step of a `GrantError`. */
  readonly step: string;
  /** Why, in words. */
  readonly reason: string;
  /** The SPIFFE ID that showed it for a call, where mutual TLS has shown one. */
  readonly peer?: string;
  /** The tool that was to be called. */
  readonly tool?: string;
  /** The ids that its tokens say they have, root first; not verified, and absent when they could not be read. */
  readonly claimed?: readonly string[];
}

/** The X.509-SVID of the process was replaced. */
export interface RotationEvent extends EventBase {
  readonly kind: 'rotation';
  readonly serialNumber: string;
  /** Milliseconds since 1970. */
  readonly notAfter: number;
}
