import { approval, callDenied, callIntent, callOutcome, labelChange } from './decision-records.js';
import type {
  AuditEvent,
  CredentialEvent,
  RotationEvent,
  TaskEndEvent,
  TaskStartEvent,
} from './events.js';
import { grant, grantRefused } from './grant-records.js';
import * as ocsf from './ocsf.js';
import { common, labelsOf, type Parts, type Recorder, resource } from './record-parts.js';

const TASK_START = ocsf.otherActivity('Task Start');
const TASK_END = ocsf.otherActivity('Task End');

/** What the record of an event says. Every one tells what was decided: the log's own records alone do not. */
export function recordParts(event: AuditEvent, recorder: Recorder): Parts {
  switch (event.kind) {
    case 'call.intent':
      return callIntent(event, recorder);
    case 'call.outcome':
      return callOutcome(event);
    case 'call.denied':
      return callDenied(event, recorder);
    case 'task.start':
      return taskStart(event, recorder);
    case 'task.end':
      return taskEnd(event);
    case 'label.declassify':
    case 'label.endorse':
      return labelChange(event, recorder);
    case 'approval':
      return approval(event, recorder);
    case 'credential':
      return credential(event);
    case 'grant.issue':
    case 'grant.derive':
    case 'grant.accept':
    case 'grant.revoke':
      return grant(event);
    case 'grant.refuse':
      return grantRefused(event);
    case 'rotation':
      break;
  }
  return rotation(event);
}

function taskStart(event: TaskStartEvent, { order }: Recorder): Parts {
  return {
    base: common(event),
    activity: TASK_START,
    operation: 'task/start',
    message: `task started: ${event.task.purpose}`,
    verdict: ocsf.ALLOWED,
    unmapped: {
      evaluate_only: event.evaluateOnly,
      task: {
        budget: order.of(event.budget),
        business: order.of(event.business),
        clearance: event.clearance,
        expires_at: event.expiresAt,
        key_thumbprint: event.keyThumbprint,
        purpose: event.task.purpose,
        tool_definitions: event.toolDefinitions && order.of(event.toolDefinitions),
        tool_digests: order.of(event.toolDigests),
        tools: order.of(event.tools),
      },
    },
  };
}

function taskEnd(event: TaskEndEvent): Parts {
  return {
    base: common(event),
    activity: TASK_END,
    operation: 'task/end',
    message: `task ended: ${event.ending}`,
    verdict: event.ending === 'revoked' ? ocsf.REVOKED : ocsf.LOGGED,
    outcome: ocsf.success(event.ending, event.reason),
    unmapped: {
      evaluate_only: event.evaluateOnly,
      labels: labelsOf(event.labels),
      task: {
        bytes_out: event.bytesOut,
        calls: event.calls,
        denied: event.denied,
        purpose: event.task.purpose,
      },
    },
  };
}

const CREDENTIAL_ACTIVITIES: Readonly<Record<CredentialEvent['operation'], ocsf.Activity>> = {
  issued: ocsf.CREATE,
  renewed: ocsf.UPDATE,
  refused: ocsf.CREATE,
  dropped: ocsf.DELETE,
};

function credential(event: CredentialEvent): Parts {
  const refused = event.operation === 'refused';
  return {
    base: common(event),
    activity: CREDENTIAL_ACTIVITIES[event.operation],
    operation: `credential/${event.operation}`,
    message: `${event.credential} ${event.operation}`,
    verdict: refused ? ocsf.BLOCKED : ocsf.LOGGED,
    outcome: refused ? ocsf.failure(undefined, event.reason) : undefined,
    resources: [resource('credential', event.reference)],
    unmapped: {
      credential: {
        expires_at: event.expiresAt,
        reference: event.reference,
        subject: event.subject,
        type: event.credential,
      },
      evaluate_only: event.evaluateOnly,
    },
  };
}

function rotation(event: RotationEvent): Parts {
  return {
    base: common(event),
    activity: ocsf.UPDATE,
    operation: 'identity/rotate',
    message: 'the X.509-SVID was replaced',
    verdict: ocsf.LOGGED,
    resources: [resource('credential', event.serialNumber)],
    unmapped: {
      credential: {
        expires_at: event.notAfter,
        reference: event.serialNumber,
        type: 'X.509-SVID',
      },
      evaluate_only: event.evaluateOnly,
    },
  };
}
