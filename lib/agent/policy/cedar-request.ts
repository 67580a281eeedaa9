import type { EntityJson, StatefulAuthorizationCall } from '@cedar-policy/cedar-wasm/nodejs';
import { isJsonObject } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import { type Confidentiality, rankOf } from '../flow/labels.js';
import { CALL_ACTION, type CedarModel, TASK, TOOL, WORKLOAD } from './cedar-schema.js';
import { toCedarRecord } from './cedar-shape.js';
import type { DecisionRequest } from './request.js';

/** The Cedar action of a request: the tool itself, or the change of labels. */
export function actionOf({ action, resource }: DecisionRequest): string {
  return action.name === CALL_ACTION ? resource.id : action.name;
}

/**
 * A request as Cedar is asked it.
 *
 * @throws TypeError when something in it is not as its schema says.
 */
export function cedarCall(
  request: DecisionRequest,
  { contexts }: CedarModel,
  preparsedPolicySetId: string,
): StatefulAuthorizationCall {
  const { subject, resource, context } = request;
  const name = actionOf(request);
  const shape = contexts.get(name);
  const isCall = request.action.name === CALL_ACTION;
  if (shape === undefined || isCall !== (resource.type === 'tool'))
    throw new TypeError(`no policy is about the action ${quote(name)}`);
  const principal = { type: 'Workload', id: subject.id };
  const action = { type: 'Action', id: name };
  const about = { type: isCall ? 'Tool' : 'Task', id: resource.id };
  const [, trustDomain, path] = /^spiffe:\/\/([^/]+)(.*)$/s.exec(subject.id) ?? [];
  const entities: EntityJson[] = [
    {
      uid: principal,
      attrs: toCedarRecord({ trustDomain, path }, WORKLOAD, 'subject'),
      parents: [],
    },
    {
      uid: about,
      attrs: toCedarRecord(leveled(resource.properties), isCall ? TOOL : TASK, 'resource'),
      parents: [],
    },
    { uid: action, attrs: {}, parents: isCall ? [{ type: 'Action', id: CALL_ACTION }] : [] },
  ];
  return {
    principal,
    action,
    resource: about,
    context: toCedarRecord({ ...context, labels: withLevel(context.labels) }, shape, 'context'),
    preparsedPolicySetId,
    entities,
  };
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
