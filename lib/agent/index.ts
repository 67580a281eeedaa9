export type { JsonRecord, JsonValue } from '../internal/json.js';
export type { Approval, ApprovalRequest, Approver } from './approval/approver.js';
export type { ArgumentRule, ArgumentRules } from './audit/argument-rules.js';
export { type AuditChainStep, type FollowedLog, followAuditChain } from './audit/chain.js';
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
  GrantEvent,
  GrantRef,
  GrantRefusedEvent,
  LabelEvent,
  RotationEvent,
  TaskEndEvent,
  TaskEnding,
  TaskRef,
  TaskStartEvent,
} from './audit/events.js';
export { type AuditLogOptions, auditLog } from './audit/file-log.js';
export type { AuditLog } from './audit/log.js';
export type { AuditProblem, AuditProblemKind } from './audit/problem.js';
export {
  formatInclusionProof,
  type InclusionProof,
  proveInclusion,
} from './audit/proof.js';
export {
  type AuditRecord,
  type RecordedRequest,
  readAuditLog,
  recordedRequest,
} from './audit/recorded.js';
export {
  type AuditLogKey,
  type AuditVerdict,
  type VerifyAuditLogOptions,
  verifyAuditLog,
} from './audit/verify.js';
export type { BudgetOptions } from './budget.js';
export type { CallContext } from './call.js';
export { type ArgumentConstraints, allArguments } from './constraint/arguments.js';
export {
  all,
  any,
  contains,
  exact,
  type JsonScalar,
  notOneOf,
  oneOf,
  optional,
  pathUnder,
  type RangeOptions,
  range,
  subset,
  urlUnder,
  wildcard,
} from './constraint/build.js';
export { Constraint, check } from './constraint/constraint.js';
export {
  type TaskCredentialRequest,
  type TaskCredentials,
  type TaskCredentialsOptions,
  taskCredentials,
} from './credential/credentials.js';
export { CallGrant, type ShowGrantOptions } from './delegation/call-grant.js';
export { type CallServiceOptions, callService, takeAnswer } from './delegation/call-service.js';
export type { DelegateOptions } from './delegation/delegate-options.js';
export type { DelegatedTaskOptions } from './delegation/delegated-task.js';
export { Delegation } from './delegation/delegation.js';
export type { GrantOffer } from './delegation/offer.js';
export type { AcceptOptions, GrantCarrier } from './delegation/receiver.js';
export {
  type GrantedCall,
  type GrantedResponse,
  type GrantMiddleware,
  grantedCall,
  type RequireGrantOptions,
  requireGrant,
  tellLabels,
} from './delegation/require-grant.js';
export { DeniedError } from './denied.js';
export type { ToolAnnotations } from './flow/annotations.js';
export type { Confidentiality, Integrity, Labels } from './flow/labels.js';
export type { Sink } from './flow/sink.js';
export { GrantError } from './grant/grant-error.js';
export {
  GRANT_META_KEY,
  type GrantChainJson,
  type GrantPresentationJson,
} from './grant/presentation.js';
export type { GrantBudget } from './grant/profile.js';
export type { GrantStatus } from './grant/verify.js';
export { createGuard, type Guard, type GuardedTool, type GuardOptions } from './guard.js';
export { type CedarPolicy, type CedarPolicyOptions, cedarPolicy } from './policy/cedar.js';
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
export type { DeclassifyOptions, EndorseOptions } from './relabel.js';
export { RevocationLists, type RevocationListsOptions } from './revocation/lists.js';
export { liveTasks } from './revocation/live-tasks.js';
export type {
  RevocationHandler,
  RevocationHandlerOptions,
  RevocationRequest,
  RevocationResponse,
} from './revocation/publisher.js';
export {
  joinRevocationSources,
  type RevocableLink,
  type RevocationSource,
} from './revocation/source.js';
export type {
  SchemaInput,
  SchemaOutput,
  StandardSchema,
  StandardSchemaIssue,
  StandardSchemaResult,
} from './standard-schema.js';
export type { Task } from './task.js';
export type { TaskState } from './task-core.js';
export type { OriginFlow, Origins } from './task-fetch.js';
export type { TaskKey, TaskPublicJwk } from './task-key.js';
export type { TaskOptions } from './task-options.js';
export type { Effect, ToolDescription } from './tool-description.js';
export type { Returns, SinkOption, ToolDefinition, ToolSpec, ToolSpecBase } from './tool-spec.js';
