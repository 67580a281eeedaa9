/**
 * A record: an OCSF 1.9 event of class API Activity with the profiles `ai_operation` and `security_control`. Members
 * stand in the order of canonical JSON, here and in every literal of it, so that `JSON.stringify` writes RFC 8785; one
 * that is `undefined` is left out.
 */
export interface OcsfRecord {
  readonly action: string | undefined;
  readonly action_id: number | undefined;
  readonly activity_id: number;
  readonly activity_name: string;
  readonly actor: OcsfActor;
  readonly ai_agent: { readonly instance_uid: string | undefined; readonly uid: string };
  readonly api: OcsfApi;
  readonly authorizations: readonly OcsfAuthorization[] | undefined;
  readonly category_uid: 6;
  readonly class_uid: 6003;
  readonly disposition: string | undefined;
  readonly disposition_id: number | undefined;
  readonly is_alert: true | undefined;
  readonly message: string;
  readonly metadata: OcsfMetadata;
  readonly policy: OcsfPolicy | undefined;
  readonly resources: readonly OcsfResource[] | undefined;
  readonly severity_id: number;
  readonly src_endpoint: { readonly uid: string };
  readonly status: string | undefined;
  readonly status_code: string | undefined;
  readonly status_detail: string | undefined;
  readonly status_id: number;
  readonly time: number;
  readonly trace: { readonly span: { readonly uid: string }; readonly uid: string } | undefined;
  readonly type_uid: number;
  readonly unmapped: object | undefined;
}

export interface OcsfActor {
  readonly app_uid: string;
  readonly user: { readonly uid: string } | undefined;
}

export interface OcsfApi {
  readonly operation: string;
  readonly request: { readonly data: object | undefined; readonly uid: string } | undefined;
  readonly response: OcsfResponse | undefined;
  readonly service: { readonly name: string } | undefined;
}

export interface OcsfResponse {
  readonly data: object | undefined;
  readonly error: string | undefined;
}

export interface OcsfAuthorization {
  readonly decision: 'Allowed' | 'Denied';
  readonly policy: { readonly uid: string };
}

export interface OcsfMetadata {
  readonly correlation_uid: string | undefined;
  readonly event_code: string;
  readonly is_truncated: true | undefined;
  readonly log_name: string;
  readonly product: {
    readonly name: string;
    readonly vendor_name: string;
    readonly version: string;
  };
  readonly profiles: readonly string[];
  readonly sequence: number;
  readonly untruncated_size: number | undefined;
  readonly version: '1.9.0';
}

export interface OcsfPolicy {
  readonly is_applied: true;
  readonly type: 'policy set';
  readonly uid: string;
}

export interface OcsfResource {
  readonly name: string;
  readonly role: 'Target';
  readonly role_id: 1;
  readonly type: string;
}

/** What every kind of record says, out of one event or another. */
export interface RecordBase {
  readonly code: string;
  readonly time: number;
  readonly agent: string;
  readonly taskId: string | undefined;
  readonly endUser: string | undefined;
  readonly trace: { readonly traceId: string; readonly spanId: string } | undefined;
}

/** Who decided, and by which policies. */
export interface RecordDecision {
  readonly authorizations: readonly OcsfAuthorization[] | undefined;
  readonly policy: OcsfPolicy | undefined;
}

/**
 * What differs from one kind of record to another; the rest is the same for all of a log. Nothing is spread in front of
 * other members: each of those would cost a microsecond on Node 20.
 */
export interface RecordParts {
  readonly base: RecordBase;
  readonly activity: Activity;
  readonly message: string;
  readonly operation: string;
  readonly verdict?: Verdict | undefined;
  readonly outcome?: Outcome | undefined;
  readonly request?: OcsfApi['request'];
  readonly response?: OcsfResponse | undefined;
  readonly tool?: string | undefined;
  readonly resources?: readonly OcsfResource[] | undefined;
  readonly decided?: RecordDecision | undefined;
  readonly unmapped?: object | undefined;
}

/** `activity_id` and its caption. */
export interface Activity {
  readonly id: number;
  readonly name: string;
}

/** What a control made of it: `action_id`, `disposition_id` and their captions. */
export interface Verdict {
  readonly action: string;
  readonly actionId: number;
  readonly disposition: string;
  readonly dispositionId: number;
  readonly alert?: true;
}

/** What came of it: `status_id` with its caption, and a code and a text of our own. */
export interface Outcome {
  readonly id: number;
  readonly name: string;
  readonly code?: string | undefined;
  readonly detail?: string | undefined;
}

export const READ: Activity = { id: 2, name: 'Read' };
export const UPDATE: Activity = { id: 3, name: 'Update' };
export const CREATE: Activity = { id: 1, name: 'Create' };
export const DELETE: Activity = { id: 4, name: 'Delete' };

/** An activity that OCSF has no number for. */
export function otherActivity(name: string): Activity {
  return { id: 99, name };
}

export const ALLOWED: Verdict = {
  action: 'Allowed',
  actionId: 1,
  disposition: 'Allowed',
  dispositionId: 1,
};
export const BLOCKED: Verdict = {
  action: 'Denied',
  actionId: 2,
  disposition: 'Blocked',
  dispositionId: 2,
  alert: true,
};
export const APPROVED: Verdict = { ...ALLOWED, disposition: 'Approved', dispositionId: 8 };
export const REVOKED: Verdict = {
  action: 'Denied',
  actionId: 2,
  disposition: 'Access Revoked',
  dispositionId: 24,
  alert: true,
};
export const REJECTED: Verdict = { ...BLOCKED, disposition: 'Rejected', dispositionId: 25 };
/** It would have been blocked. */
export const DETECTED: Verdict = {
  action: 'Observed',
  actionId: 3,
  disposition: 'Detected',
  dispositionId: 15,
  alert: true,
};
/** Nobody had to decide about it. */
export const LOGGED: Verdict = {
  action: 'Observed',
  actionId: 3,
  disposition: 'Logged',
  dispositionId: 17,
};

export const SUCCESS: Outcome = { id: 1, name: 'Success' };

/** As {@link SUCCESS}, with more to say about it. */
export function success(code: string | undefined, detail?: string): Outcome {
  return { id: 1, name: 'Success', code, detail };
}

/** It is about to happen. */
export function intended(code: string | undefined, detail: string | undefined): Outcome {
  return { id: 99, name: 'Intended', code, detail };
}

export function failure(code: string | undefined, detail?: string): Outcome {
  return { id: 2, name: 'Failure', code, detail };
}

/** What is the same for every record of a log. */
export interface RecordSetting {
  /** The name of the log. */
  readonly origin: string;
  /** The version of this package. */
  readonly version: string;
}

const INFORMATIONAL = 1;
const MEDIUM = 3;
const PROFILES = ['ai_operation', 'security_control'];
const PROFILES_WITH_TRACE = [...PROFILES, 'trace'];

/**
 * The record of these parts that stands at `index`.
 *
 * @param kilobytes - how long it was before something was left out of it.
 */
export function ocsfRecord(
  parts: RecordParts,
  index: number,
  setting: RecordSetting,
  kilobytes?: number,
): OcsfRecord {
  const { activity, verdict, outcome = SUCCESS, decided } = parts;
  const { agent, taskId, endUser, trace, time, code } = parts.base;
  return {
    action: verdict?.action,
    action_id: verdict?.actionId,
    activity_id: activity.id,
    activity_name: activity.name,
    actor: { app_uid: agent, user: endUser === undefined ? undefined : { uid: endUser } },
    ai_agent: { instance_uid: taskId, uid: agent },
    api: {
      operation: parts.operation,
      request: parts.request,
      response: parts.response,
      service: parts.tool === undefined ? undefined : { name: parts.tool },
    },
    authorizations: decided?.authorizations,
    category_uid: 6,
    class_uid: 6003,
    disposition: verdict?.disposition,
    disposition_id: verdict?.dispositionId,
    is_alert: verdict?.alert,
    message: parts.message,
    metadata: {
      correlation_uid: taskId,
      event_code: code,
      is_truncated: kilobytes === undefined ? undefined : true,
      log_name: setting.origin,
      product: { name: 'agent-spiffe', vendor_name: 'agent-spiffe', version: setting.version },
      profiles: trace === undefined ? PROFILES : PROFILES_WITH_TRACE,
      sequence: index,
      untruncated_size: kilobytes,
      version: '1.9.0',
    },
    policy: decided?.policy,
    resources: parts.resources,
    severity_id: verdict?.alert === true ? MEDIUM : INFORMATIONAL,
    src_endpoint: { uid: agent },
    status: outcome.name,
    status_code: outcome.code,
    status_detail: outcome.detail,
    status_id: outcome.id,
    time,
    trace: trace && { span: { uid: trace.spanId }, uid: trace.traceId },
    // OCSF: the class and the activity in one number.
    type_uid: 600_300 + activity.id,
    unmapped: parts.unmapped,
  };
}
