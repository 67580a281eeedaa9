import { isJsonObject, type JsonObject, member, parseJsonObject } from '../../internal/json.js';

/** How a record of the log about itself begins; every other begins with what was decided, `{"action":`. */
const PREFIX = Buffer.from('{"activity_id":');
/** The first byte in which the two differ. */
const TELLING = 6;

/** The codes of the records that a log writes about itself. */
export const LOG_KEY = 'log.key';
export const LOG_REPAIR = 'log.repair';
export const LOG_OUTAGE = 'log.outage';

/** Whether the line at `start` is a record of the log about itself; told without parsing it. */
export function isOwnRecord(buffer: Buffer, start: number): boolean {
  return (
    buffer[start + TELLING] === PREFIX[TELLING] &&
    buffer.compare(PREFIX, 0, PREFIX.length, start, start + PREFIX.length) === 0
  );
}

/** A record of this log at `index`, parsed; `undefined` when the line is none. */
export function parseRecord(line: Uint8Array, index: number): JsonObject | undefined {
  const record = parseJsonObject(line);
  return record !== undefined && objectMember(record, 'metadata')['sequence'] === index
    ? record
    : undefined;
}

/** A member that is an object; an empty one where it is not. */
export function objectMember(record: JsonObject, name: string): JsonObject {
  const value = member(record, name);
  return isJsonObject(value) ? value : {};
}

/** What kind of event a record tells of. */
export function codeOf(record: JsonObject): unknown {
  return objectMember(record, 'metadata')['event_code'];
}
