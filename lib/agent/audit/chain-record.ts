import { isJsonObject, type JsonObject, member } from '../../internal/json.js';
import { objectMember } from './own-records.js';

/** A grant as a record names it. */
export interface RecordedGrant {
  readonly jti: string;
  /** Root first, its own last. */
  readonly chain: readonly string[];
  /** The SPIFFE ID that holds it. */
  readonly holder: string | undefined;
}

export function kindOf(record: JsonObject): string {
  return textOf(objectMember(record, 'metadata'), 'event_code') ?? '';
}

/** The id of the task in which it happened. */
export function taskOf(record: JsonObject): string | undefined {
  return textOf(objectMember(record, 'metadata'), 'correlation_uid');
}

/** For whom the task works. */
export function userOf(record: JsonObject): string | undefined {
  return textOf(objectMember(objectMember(record, 'actor'), 'user'), 'uid');
}

/** The time by the writer's clock, milliseconds since 1970. */
export function timeOf(record: JsonObject): number {
  const time = member(record, 'time');
  return typeof time === 'number' ? time : 0;
}

/** The grant that a record is about; of a refusal, the one that was claimed. */
export function grantOf(record: JsonObject): RecordedGrant | undefined {
  if (!kindOf(record).startsWith('grant.')) return undefined;
  const grant = objectMember(objectMember(record, 'unmapped'), 'grant');
  const chain = textsOf(member(grant, 'chain')) ?? textsOf(member(grant, 'claimed'));
  const jti = textOf(grant, 'jti') ?? chain?.at(-1);
  if (jti === undefined) return undefined;
  return { jti, chain: chain ?? [jti], holder: textOf(grant, 'holder') };
}

function textOf(object: unknown, name: string): string | undefined {
  const value = isJsonObject(object) ? member(object, name) : undefined;
  return typeof value === 'string' ? value : undefined;
}

function textsOf(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : undefined;
}
