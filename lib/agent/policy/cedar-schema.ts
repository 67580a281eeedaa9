import type { ActionType, SchemaJson } from '@cedar-policy/cedar-wasm/nodejs';
import { SpiffeError } from '../../errors.js';
import type { JsonRecord } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import type { ToolDescription } from '../tool-description.js';
import { cedarType, type RecordShape, recordOf, recordOfSchema } from './cedar-shape.js';

const LABELS = recordOf({ confidentiality: 'String', integrity: 'String', level: 'Long' });

/** What policies may read of the principal. */
export const WORKLOAD: RecordShape = recordOf({ trustDomain: 'String', path: 'String' });

/** What policies may read of a tool, for one call. */
export const TOOL: RecordShape = recordOf({
  effect: 'String',
  'target?': 'String',
  'destination?': 'String',
  returns: LABELS,
  'sink?': recordOf({ clearance: 'String', level: 'Long', outside: 'Boolean' }),
});

/** What policies may read of a task whose labels are to change. */
export const TASK: RecordShape = recordOf({ to: LABELS, justification: 'String' });

/** The action that stands for every call of a tool; each tool is an action in it. */
export const CALL_ACTION = 'tools/call';
const LABEL_ACTIONS: readonly string[] = ['labels/declassify', 'labels/endorse'];

/** Whether an action is a change of labels; every other is a tool. */
export function isLabelAction(action: string): boolean {
  return LABEL_ACTIONS.includes(action);
}

/** What the policies of a guard are about. */
export interface CedarModel {
  readonly schema: SchemaJson<string>;
  /** Each action that may be asked about, with the shape of its context. */
  readonly contexts: ReadonlyMap<string, RecordShape>;
}

/**
 * The schema for the tools of a guard.
 *
 * @throws SpiffeError `ERR_SPIFFE_POLICY_INVALID` for a tool that is named as another action is.
 */
export function modelOf(
  tools: readonly Pick<ToolDescription, 'name' | 'inputSchema'>[],
  business: JsonRecord | undefined,
): CedarModel {
  const contexts = new Map<string, RecordShape>();
  const actions: Record<string, ActionType<string>> = { [CALL_ACTION]: {} };
  const add = (name: string, args: RecordShape, more: ActionType<string>): void => {
    const context = contextShape(args, recordOfSchema(business));
    contexts.set(name, context);
    const { resourceTypes } = more.appliesTo as { resourceTypes: string[] };
    actions[name] = {
      ...more,
      appliesTo: { principalTypes: ['Workload'], resourceTypes, context: cedarType(context) },
    };
  };
  for (const name of LABEL_ACTIONS)
    add(name, recordOf({}), { appliesTo: { principalTypes: [], resourceTypes: ['Task'] } });
  for (const { name, inputSchema } of tools) {
    if (contexts.has(name) || name === CALL_ACTION || name === '__proto__') {
      throw new SpiffeError(
        'ERR_SPIFFE_POLICY_INVALID',
        `cannot make a Cedar schema for the tool ${quote(name)}: its name is taken by another action; give it another name`,
      );
    }
    add(name, recordOfSchema(inputSchema), {
      memberOf: [{ id: CALL_ACTION }],
      appliesTo: { principalTypes: [], resourceTypes: ['Tool'] },
    });
  }
  const entityTypes = {
    Workload: { shape: cedarType(WORKLOAD) },
    Tool: { shape: cedarType(TOOL) },
    Task: { shape: cedarType(TASK) },
  };
  return { schema: { '': { entityTypes, actions } }, contexts };
}

function contextShape(args: RecordShape, business: RecordShape): RecordShape {
  return recordOf({
    task: recordOf({
      id: 'String',
      purpose: 'String',
      startedAt: 'datetime',
      expiresAt: 'datetime',
      'endUser?': 'String',
      clearance: 'String',
    }),
    arguments: args,
    chain: { kind: 'Set', element: { kind: 'String' } },
    labels: LABELS,
    budget: recordOf({ callsLeft: 'Long', 'toolCallsLeft?': 'Long', 'bytesOutLeft?': 'Long' }),
    time: 'datetime',
    business,
  });
}
