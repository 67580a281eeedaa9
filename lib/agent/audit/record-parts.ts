import type { Labels } from '../flow/labels.js';
import type { RuleOf } from './argument-rules.js';
import type { AuditEvent } from './events.js';
import type { MemberOrder } from './member-order.js';
import type { OcsfResource, RecordBase, RecordParts } from './ocsf.js';

export type Parts = RecordParts;

/** How an event becomes a record. */
export interface Recorder {
  readonly ruleOf: RuleOf;
  readonly order: MemberOrder;
}

/** What is taken from every event in the same way. */
export function common(event: AuditEvent): RecordBase {
  const { kind, time, agent, task, trace } = event;
  return { code: kind, time, agent, taskId: task?.id, endUser: task?.endUser, trace };
}

/** A resource as OCSF has it. */
export function resource(type: string, name: string): OcsfResource {
  return { name, role: 'Target', role_id: 1, type };
}

/** Labels, their members in order. */
export function labelsOf({ confidentiality, integrity }: Labels): Labels {
  return { confidentiality, integrity };
}
