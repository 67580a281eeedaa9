import { hash } from 'node:crypto';
import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';
import type { RuleOf } from './argument-rules.js';
import type { AuditEvent } from './events.js';
import { LONGEST_RECORD } from './layout.js';
import { MemberOrder } from './member-order.js';
import { ocsfRecord, type RecordParts, type RecordSetting } from './ocsf.js';
import { recordParts } from './records.js';

/** A text of a record that is too long is cut to this. */
const LONGEST_TEXT = 1000;
const MOST_NAMED = 100;
/** A character takes three bytes at most in UTF-8. */
const SURELY_SHORT = LONGEST_RECORD / 3;

/**
 * The line of an event: its record in canonical JSON, and a newline. Where it would be longer than an entry may be, its
 * arguments are digested where the rules would keep them, and definitions of tools left out; then all that has no bound is.
 *
 * @throws TypeError for an argument that has no canonical JSON; SpiffeError `ERR_SPIFFE_AUDIT_UNAVAILABLE` when not
 * even its names fit.
 */
export function eventLine(
  event: AuditEvent,
  index: number,
  setting: RecordSetting,
  ruleOf: RuleOf,
): string {
  const order = new MemberOrder();
  const text = order.write(ocsfRecord(recordParts(event, { ruleOf, order }), index, setting));
  if (fits(text)) return `${text}\n`;
  const kilobytes = Math.ceil(Buffer.byteLength(text) / 1024);
  const atMostDigest: RuleOf = (tool, argument) =>
    ruleOf(tool, argument) === 'redact' ? 'redact' : 'digest';
  const parts = recordParts(withoutDefinitions(event), { ruleOf: atMostDigest, order });
  const digested = order.write(ocsfRecord(parts, index, setting, kilobytes));
  if (fits(digested)) return `${digested}\n`;
  const rest = ocsfRecord(withoutData(parts, order), index, setting, kilobytes);
  return fitting(order.write(rest), event.kind);
}

/** The line of a record of the log about itself. */
export function ownLine(parts: RecordParts, index: number, setting: RecordSetting): string {
  return fitting(new MemberOrder().write(ocsfRecord(parts, index, setting)), parts.base.code);
}

function fits(text: string): boolean {
  return text.length <= SURELY_SHORT || Buffer.byteLength(text) <= LONGEST_RECORD;
}

function fitting(text: string, kind: string): string {
  if (fits(text)) return `${text}\n`;
  throw new SpiffeError(
    'ERR_SPIFFE_AUDIT_UNAVAILABLE',
    `cannot record ${quote(kind)}: its names alone take ${Buffer.byteLength(text)} bytes, and a record holds ${LONGEST_RECORD}`,
  );
}

function withoutDefinitions(event: AuditEvent): AuditEvent {
  if (event.kind !== 'task.start') return event;
  const { toolDefinitions: _, ...rest } = event;
  return rest;
}

/** What may be of any length as its digest, and texts cut. */
function withoutData(parts: RecordParts, order: MemberOrder): RecordParts {
  const { request, unmapped, outcome, message, decided, resources } = parts;
  return {
    ...parts,
    message: shorten(message),
    request: request && { ...request, data: request.data && digestOf(request.data, order) },
    unmapped: unmapped && digestOf(unmapped, order),
    outcome:
      outcome?.detail === undefined ? outcome : { ...outcome, detail: shorten(outcome.detail) },
    decided: decided && {
      ...decided,
      authorizations: decided.authorizations?.slice(0, MOST_NAMED),
    },
    resources: resources?.map((each) => ({ ...each, name: shorten(each.name) })),
  };
}

function digestOf(data: object, order: MemberOrder): object {
  return { sha256: hash('sha256', order.write(data), 'hex') };
}

function shorten(text: string): string {
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text;
}
