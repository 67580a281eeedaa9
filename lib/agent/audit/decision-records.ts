import type { JsonValue } from '../../internal/json.js';
import type { DecisionRequest, Obligation, RedactObligation } from '../policy/request.js';
import type { Effect } from '../tool-description.js';
import { type HeldArgument, withhold } from './argument-rules.js';
import type {
  ApprovalEvent,
  CallDeniedEvent,
  CallIntentEvent,
  CallOutcomeEvent,
  CallRef,
  DecisionRecord,
  Denial,
  LabelEvent,
} from './events.js';
import { type Held, holdRequest } from './held-request.js';
import * as ocsf from './ocsf.js';
import { common, labelsOf, type Parts, type Recorder, resource } from './record-parts.js';

const UNKNOWN_TOOL = ocsf.otherActivity('Unknown Tool');
const ACTIVITIES: Readonly<Record<Effect, ocsf.Activity>> = {
  read: ocsf.READ,
  write: ocsf.UPDATE,
  egress: ocsf.otherActivity('Send'),
  privilege: ocsf.otherActivity('Privilege Change'),
};
const APPROVAL = ocsf.otherActivity('Approval');
const NO_ONE: ReadonlySet<string> = new Set();

export function callIntent(event: CallIntentEvent, recorder: Recorder): Parts {
  const { call, decision, wouldDeny = [] } = event;
  const held = hold(event.request, decision, recorder);
  const [first] = wouldDeny;
  return {
    base: common(event),
    activity: activityOf(call),
    operation: 'tools/call',
    tool: call.tool,
    message: first ? `${call.tool} runs: ${first.reason} would refuse it` : `${call.tool} may run`,
    verdict: first ? ocsf.DETECTED : ocsf.ALLOWED,
    outcome: ocsf.intended(first?.reason, detailOf(first, held)),
    request: { data: held.request, uid: call.id },
    resources: resourcesOf(call.tool, held),
    decided: decided(decision.reasons, 'Allowed', decision),
    unmapped: {
      call: callOf(call),
      evaluate_only: event.evaluateOnly,
      obligations: obligationsOf(decision, recorder),
      would_deny: denialsOf(wouldDeny),
    },
  };
}

export function callDenied(event: CallDeniedEvent, recorder: Recorder): Parts {
  const { call, denial, decision, request } = event;
  const held = request && hold(request, decision, recorder);
  return {
    base: common(event),
    activity: activityOf(call),
    operation: 'tools/call',
    tool: call.tool,
    message: `${call.tool} was refused: ${denial.reason}`,
    verdict: ocsf.BLOCKED,
    outcome: ocsf.failure(denial.reason, detailOf(denial, held)),
    request: { data: held?.request, uid: call.id },
    resources: resourcesOf(call.tool, held),
    decided: decided(denial.policies, 'Denied', decision),
    unmapped: {
      call: callOf(call),
      denial: denialsOf([denial])?.[0],
      evaluate_only: event.evaluateOnly,
      obligations: obligationsOf(decision, recorder),
    },
  };
}

export function callOutcome(event: CallOutcomeEvent): Parts {
  const { call, status, error } = event;
  return {
    base: common(event),
    activity: activityOf(call),
    operation: 'tools/call',
    tool: call.tool,
    message: `${call.tool} ended: ${status}`,
    verdict: ocsf.LOGGED,
    outcome: status === 'success' ? ocsf.SUCCESS : ocsf.failure(status, error),
    request: { data: undefined, uid: call.id },
    response: {
      data: {
        bytes: event.resultBytes,
        duration_ms: event.durationMs,
        sha256: event.resultDigest,
      },
      error,
    },
    resources: resourcesOf(call.tool, undefined),
    unmapped: {
      call: callOf(call),
      evaluate_only: event.evaluateOnly,
      would_deny: denialsOf(event.wouldDeny ?? []),
    },
  };
}

export function labelChange(event: LabelEvent, recorder: Recorder): Parts {
  const { denial, decision, wouldDeny = [], kind } = event;
  const held = hold(event.request, decision, recorder);
  const verdict = wouldDeny.length > 0 ? ocsf.DETECTED : ocsf.ALLOWED;
  const against = denial ?? wouldDeny[0];
  return {
    base: common(event),
    activity: ocsf.UPDATE,
    operation: event.request.action.name,
    message: `${kind === 'label.declassify' ? 'declassifying' : 'endorsing'} was ${denial ? `refused: ${denial.reason}` : 'allowed'}`,
    verdict: denial ? ocsf.BLOCKED : verdict,
    outcome: denial
      ? ocsf.failure(denial.reason, denial.message)
      : ocsf.success(against?.reason, against?.message),
    request: { data: held.request, uid: event.task.id },
    decided: decided(denial?.policies ?? decision.reasons, denial ? 'Denied' : 'Allowed', decision),
    unmapped: {
      denial: denial && denialsOf([denial])?.[0],
      evaluate_only: event.evaluateOnly,
      justification: event.justification,
      labels: { after: labelsOf(event.after), before: labelsOf(event.before) },
      obligations: obligationsOf(decision, recorder),
      would_deny: denialsOf(wouldDeny),
    },
  };
}

export function approval(event: ApprovalEvent, { ruleOf }: Recorder): Parts {
  const { call, change, outcome, task, argumentNames = [] } = event;
  const subject = call?.tool ?? change ?? '';
  // Beside the others, which can be known, the digest of all would give one away that can be guessed.
  const redacted = argumentNames.some((name) => ruleOf(subject, name) === 'redact');
  const granted = outcome === 'granted';
  return {
    base: common(event),
    activity: APPROVAL,
    operation: 'approval',
    tool: call?.tool,
    message: `approval of ${call?.tool ?? change} by ${event.by}: ${outcome}`,
    verdict: granted ? ocsf.APPROVED : ocsf.REJECTED,
    outcome: granted ? ocsf.success(outcome) : ocsf.failure(outcome),
    request: { data: undefined, uid: call?.id ?? task.id },
    resources: call && resourcesOf(call.tool, undefined),
    unmapped: {
      approval: {
        approver: event.approver,
        arguments_sha256: redacted ? undefined : event.argumentsDigest,
        by: event.by,
        change,
      },
      call: call && callOf(call),
      evaluate_only: event.evaluateOnly,
    },
  };
}

function hold(
  request: DecisionRequest,
  decision: DecisionRecord | undefined,
  { ruleOf, order }: Recorder,
): Held {
  const redactions = decision?.obligations.filter(isRedaction) ?? [];
  const names = redactions.flatMap((redaction) => redaction.arguments ?? []);
  return holdRequest(request, ruleOf, names.length === 0 ? NO_ONE : new Set(names), order);
}

function isRedaction(obligation: Obligation): obligation is RedactObligation {
  return obligation.type === 'redact';
}

/** Who decided, and by which of its policies. */
function decided(
  policies: readonly string[],
  decision: 'Allowed' | 'Denied',
  record: DecisionRecord | undefined,
): ocsf.RecordDecision {
  return {
    authorizations:
      policies.length === 0 ? undefined : policies.map((uid) => ({ decision, policy: { uid } })),
    policy: record && { is_applied: true, type: 'policy set', uid: record.revision },
  };
}

function resourcesOf(tool: string, held: Held | undefined): readonly ocsf.OcsfResource[] {
  const { target, destination } = held?.places ?? {};
  const resources = [resource('tool', tool)];
  if (target !== undefined) resources.push(resource('target', nameOf(target)));
  if (destination !== undefined) resources.push(resource('destination', nameOf(destination)));
  return resources;
}

function nameOf(held: HeldArgument<string>): string {
  if ('value' in held) return held.value;
  return 'sha256' in held ? `sha256:${held.sha256}` : 'redacted';
}

function activityOf({ effect }: CallRef): ocsf.Activity {
  return effect === undefined ? UNKNOWN_TOOL : ACTIVITIES[effect];
}

function callOf({ effect, parent }: CallRef): object {
  return { effect, parent };
}

function denialsOf(denials: readonly Denial[]): readonly object[] | undefined {
  if (denials.length === 0) return undefined;
  return denials.map(({ policies, reason }) => ({ policies, reason }));
}

function obligationsOf(
  decision: DecisionRecord | undefined,
  { order }: Recorder,
): JsonValue | undefined {
  if (decision === undefined || decision.obligations.length === 0) return undefined;
  return order.of(decision.obligations as unknown as JsonValue);
}

/** What a denial says of its input, without what the record does not hold of that. */
function detailOf(denial: Denial | undefined, held: Held | undefined): string | undefined {
  return denial && held && withhold(denial.message, held.hidden);
}
