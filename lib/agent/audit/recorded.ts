import { SpiffeError } from '../../errors.js';
import {
  isJsonObject,
  type JsonObject,
  type JsonRecord,
  type JsonValue,
} from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import type { DecisionRequest } from '../policy/request.js';
import { readBlocks } from './blocks.js';
import { listSegments } from './layout.js';
import { objectMember, parseRecord } from './own-records.js';

const NEWLINE = 0x0a;
const PLACES = ['target', 'destination'] as const;

/** A record as it was read; whether it is what was signed is for `verifyAuditLog` to say. */
export interface AuditRecord {
  /** Its place in the log, counted from 0. */
  readonly index: number;
  /** OCSF 1.9, class API Activity. */
  readonly record: JsonObject;
}

/** A request for a decision, out of a record. */
export interface RecordedRequest {
  readonly request: DecisionRequest;
  /** The arguments whose values were not kept; the request does not have them. */
  readonly missing: readonly string[];
  /** The properties of the resource, taken from such an argument, which it does not have either. */
  readonly missingProperties: readonly ('target' | 'destination')[];
}

/**
 * The records of an audit log, in order.
 *
 * @throws SpiffeError `ERR_SPIFFE_AUDIT_INVALID` at a line that is no record of this log; one that is not complete ends it.
 */
export async function* readAuditLog(directory: string): AsyncGenerator<AuditRecord> {
  let index = 0;
  for (const segment of await listSegments(directory)) {
    for await (const { buffer, start, end } of readBlocks(segment)) {
      for (let from = start; from < end; index++) {
        const to = buffer.indexOf(NEWLINE, from);
        const record = parseRecord(buffer.subarray(from, to), index);
        if (record === undefined) {
          throw new SpiffeError(
            'ERR_SPIFFE_AUDIT_INVALID',
            `cannot read record ${index} of the audit log in ${quote(directory)}: \`agent-spiffe audit verify\` tells more`,
          );
        }
        yield { index, record };
        from = to + 1;
      }
    }
  }
}

/**
 * What the policy engine was asked when this was recorded, so that it can be decided again; `undefined` for a record
 * that holds no such request. What was taken from an argument that was not kept is missing from its properties too.
 */
export function recordedRequest(record: JsonObject): RecordedRequest | undefined {
  const data = objectMember(objectMember(objectMember(record, 'api'), 'request'), 'data');
  const context = objectMember(data, 'context');
  const held = objectMember(context, 'arguments');
  const resource = objectMember(data, 'resource');
  // A record that was too long holds a digest in place of the request.
  if (!isJsonObject(data['action'])) return undefined;
  const kept = Object.entries(held).filter(([, argument]) => isKept(argument));
  const missing = Object.keys(held).filter((name) => !isKept(held[name]));
  const args = Object.fromEntries(kept.map(([name, argument]) => [name, valueOf(argument)]));
  const stated = objectMember(resource, 'properties');
  const missingProperties = PLACES.filter((name) => name in stated && !isKept(stated[name]));
  const properties = Object.entries(stated).flatMap(([name, value]) => {
    if (name !== 'target' && name !== 'destination') return [[name, value]];
    return isKept(value) ? [[name, valueOf(value)]] : [];
  });
  const request = {
    ...data,
    context: { ...context, arguments: args },
    resource: { ...resource, properties: Object.fromEntries(properties) as JsonRecord },
  };
  return { request: request as unknown as DecisionRequest, missing, missingProperties };
}

function isKept(argument: unknown): argument is { readonly value: JsonValue } {
  return isJsonObject(argument) && Object.hasOwn(argument, 'value');
}

function valueOf(argument: unknown): JsonValue {
  return (argument as { readonly value: JsonValue }).value;
}
