export type { JsonRecord, JsonValue } from '../internal/json.js';
export type { Approval, ApprovalRequest, Approver } from './approval/approver.js';
export type {
  ApprovalEvent,
  AuditEvent,
  CallDeniedEvent,
  CallIntentEvent,
  CallOutcomeEvent,
  CallRef,
  CredentialEvent,
  DecisionRecord,
  Denial,
  DenialReason,
  EventBase,
  LabelEvent,
  RotationEvent,
  TaskEndEvent,
  TaskEnding,
  TaskRef,
  TaskStartEvent,
} from './audit/events.js';
export type { AuditLog } from './audit/log.js';
export { DeniedError } from './denied.js';
export type { Confidentiality, Integrity, Labels } from './flow/labels.js';
export type { PolicyEngine } from './policy/engine.js';
export {
  type FunctionPolicyOptions,
  functionPolicy,
  type PolicyFunction,
} from './policy/function-policy.js';
export type {
  ApprovalObligation,
  Decision,
  DecisionAction,
  DecisionContext,
  DecisionRequest,
  LabelChange,
  Obligation,
  RedactObligation,
  ShortenLifeObligation,
  ToolProperties,
} from './policy/request.js';
export type { Effect, Sink, ToolDescription } from './tool-description.js';
