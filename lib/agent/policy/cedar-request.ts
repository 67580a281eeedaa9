import type { EntityJson, StatefulAuthorizationCall } from '@cedar-policy/cedar-wasm/nodejs';
import { isJsonObject } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import type { RecordedRequest } from '../audit/recorded.js';
import { type Confidentiality, rankOf } from '../flow/labels.js';
import { isRead, type Reads, readOf } from './cedar-reads.js';
import {
  CALL_ACTION,
  type CedarModel,
  isLabelAction,
  TASK,
  TOOL,
  WORKLOAD,
} from './cedar-schema.js';
import {
  type MemberShape,
  narrowed,
  type RecordShape,
  toCedarRecord,
  without,
} from './cedar-shape.js';
import type { DecisionRequest } from './request.js';

/** The Cedar action of a request: the tool itself, or the change of labels. */
export function actionOf({ action, resource }: DecisionRequest): string {
  return action.name === CALL_ACTION ? resource.id : action.name;
}

/** The policies that have a say about one action, and what they may be shown of a request for it. */
export interface Slice {
  /** The name of the set that Cedar parsed. */
  readonly name: string;
  readonly reads: Reads;
  readonly principal: RecordShape;
  readonly resource: RecordShape;
  readonly context: RecordShape;
}

/** A slice whose requests show what its policies read, and no more. */
export function sliceOf(
  { contexts }: CedarModel,
  action: string,
  name: string,
  reads: Reads,
): Slice {
  return {
    name,
    reads,
    principal: narrowed(WORKLOAD, reads.principal),
    resource: narrowed(isLabelAction(action) ? TASK : TOOL, reads.resource),
    context: narrowed(contexts.get(action) as RecordShape, reads.context),
  };
}

/**
 * A request as Cedar is asked it.
 *
 * @throws TypeError when something in it is not as its schema says.
 */
export function cedarCall(request: DecisionRequest, slice: Slice): StatefulAuthorizationCall {
  const { subject, resource, context } = request;
  const name = actionOf(request);
  const isCall = request.action.name === CALL_ACTION;
  if (isCall !== (resource.type === 'tool') || isCall === isLabelAction(name))
    throw new TypeError(`no policy is about the action ${quote(name)}`);
  const principal = { type: 'Workload', id: subject.id };
  const action = { type: 'Action', id: name };
  const about = { type: isCall ? 'Tool' : 'Task', id: resource.id };
  const [, trustDomain, path] = /^spiffe:\/\/([^/]+)(.*)$/s.exec(subject.id) ?? [];
  const who = toCedarRecord({ trustDomain, path }, slice.principal, 'subject');
  const what = toCedarRecord(leveled(resource.properties), slice.resource, 'resource');
  const entities: EntityJson[] = [
    { uid: action, attrs: {}, parents: isCall ? [{ type: 'Action', id: CALL_ACTION }] : [] },
  ];
  // One of which nothing is read is known by its name alone.
  if (isRead(slice.reads.principal)) entities.push({ uid: principal, attrs: who, parents: [] });
  if (isRead(slice.reads.resource)) entities.push({ uid: about, attrs: what, parents: [] });
  return {
    principal,
    action,
    resource: about,
    context: toCedarRecord(
      { ...context, labels: withLevel(context.labels) },
      slice.context,
      'context',
    ),
    preparsedPolicySetId: slice.name,
    entities,
  };
}

/** What a record does not hold of a request, and the policies of its slice may read. */
export function neededOf(
  { reads, context }: Slice,
  { missing, missingProperties }: Omit<RecordedRequest, 'request'>,
): readonly string[] {
  const read = readOf(reads.context, 'arguments');
  const shown = shapeOfArguments(context).members;
  return [
    ...missing
      .filter((name) => shown.has(name) && isRead(readOf(read, name)))
      .map((name) => `context.arguments.${name}`),
    ...missingProperties
      .filter((name) => isRead(readOf(reads.resource, name)))
      .map((name) => `resource.${name}`),
  ];
}

/** A slice that does not ask for arguments which nobody has. */
export function lacking(slice: Slice, names: readonly string[]): Slice {
  if (names.length === 0) return slice;
  const args = without(shapeOfArguments(slice.context), names);
  const members = new Map(slice.context.members);
  members.set('arguments', { ...(members.get('arguments') as MemberShape), shape: args });
  return { ...slice, context: { kind: 'Record', members } };
}

function shapeOfArguments(context: RecordShape): RecordShape {
  return (context.members.get('arguments') as MemberShape).shape as RecordShape;
}

/** The properties with the rank of each confidentiality beside it, since Cedar compares no text. */
function leveled(properties: DecisionRequest['resource']['properties']): object {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [
      name,
      isJsonObject(value) ? withLevel(value) : value,
    ]),
  );
}

function withLevel(labels: object): object {
  const { confidentiality, clearance } = labels as Record<string, Confidentiality | undefined>;
  const level = confidentiality ?? clearance;
  return { ...labels, ...(level !== undefined && { level: rankOf(level) }) };
}
