import type { JsonRecord } from '../../internal/json.js';
import type { Confidentiality, Labels } from '../flow/labels.js';
import type { Sink } from '../flow/sink.js';
import type { Effect } from '../tool-description.js';

/**
 * A question to a policy engine, in the shape of the AuthZEN Authorization API 1.0 §5, tools named as COAZ names them.
 */
export interface DecisionRequest {
  /** Who acts: `id` is a SPIFFE ID. */
  readonly subject: {
    readonly type: 'workload';
    readonly id: string;
    readonly properties?: JsonRecord;
  };
  readonly action: { readonly name: DecisionAction };
  /** Of type `tool` and named by the tool; for a change of labels of type `task` and named by the task. */
  readonly resource: {
    readonly type: 'tool' | 'task';
    readonly id: string;
    readonly properties: ToolProperties | LabelChange;
  };
  readonly context: DecisionContext;
}

/**
 * What a policy engine is asked about. The start of a task is none of these: whatever it goes on to do is asked about,
 * with the task in the context.
 */
export type DecisionAction = 'tools/call' | 'labels/declassify' | 'labels/endorse';

/** What is known about the tool, for this call. */
export interface ToolProperties {
  readonly effect: Effect;
  /** The value of the argument that names what is acted upon, where it is text. */
  readonly target?: string;
  /** The value of the argument that names where data goes, where it is text. */
  readonly destination?: string;
  /** What the result adds to the labels of the task. */
  readonly returns: Labels;
  /** Where the arguments go; absent when the tool is no sink. */
  readonly sink?: Sink;
}

/** A change of labels that was asked for. */
export interface LabelChange {
  readonly to: Labels;
  /** Why, as the caller says. */
  readonly justification: string;
}

/** What is known when the question is asked. */
export interface DecisionContext {
  readonly task: {
    readonly id: string;
    readonly purpose: string;
    /** RFC 3339. */
    readonly startedAt: string;
    /** RFC 3339. */
    readonly expiresAt: string;
    readonly endUser?: string;
    readonly clearance: Confidentiality;
  };
  /** As the tool's function will get them, but for the values of headers of `task.fetch`, which are digests. */
  readonly arguments: JsonRecord;
  /** The tools called in this task before this call, in order, those that still run included; the newest 100. */
  readonly chain: readonly string[];
  /** What the task has read so far, and what is being read beside this call; without what this call will read. */
  readonly labels: Labels;
  /** What is left once this call is counted. */
  readonly budget: {
    readonly callsLeft: number;
    /** Of this tool alone; absent when only calls in all are bounded. */
    readonly toolCallsLeft?: number;
    readonly bytesOutLeft?: number;
  };
  /** RFC 3339, by the guard's clock. */
  readonly time: string;
  /** What the task's options say about the business at hand. */
  readonly business: JsonRecord;
}

/** The answer of a policy engine. */
export interface Decision {
  readonly decision: boolean;
  readonly context?: {
    /** The ids of the policies that led to it. */
    readonly reasons?: readonly string[];
    /** What must be done for a `true` to hold. */
    readonly obligations?: readonly Obligation[];
    /** Why there is no true answer; makes it a denial. */
    readonly error?: string;
  };
}

/** What must be done before or after an action that is allowed. One that is not understood makes it a denial. */
export type Obligation = RedactObligation | ApprovalObligation | ShortenLifeObligation;

/** Leaves out what need not be seen. */
export interface RedactObligation {
  readonly type: 'redact';
  /** Arguments that the record holds as digests alone. */
  readonly arguments?: readonly string[];
  /** JSON Pointers (RFC 6901) into the result; what they point at does not reach the caller. */
  readonly result?: readonly string[];
}

/** Someone else must agree, to exactly these arguments, first. */
export interface ApprovalObligation {
  readonly type: 'require-approval';
  /** Who: a role that the approver knows, or a rule about SPIFFE IDs. */
  readonly by: string;
  /** How long to wait for them. Default: as the guard's approver says. */
  readonly timeoutMs?: number;
}

/** The task ends sooner: this long from now, if that is before its own end. */
export interface ShortenLifeObligation {
  readonly type: 'shorten-life';
  readonly ttlMs: number;
}
