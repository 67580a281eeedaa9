import type { JsonRecord, JsonValue } from '../../internal/json.js';
import type { DecisionRequest, LabelChange, ToolProperties } from '../policy/request.js';
import { type HeldArgument, hold, type RuleOf } from './argument-rules.js';
import type { MemberOrder } from './member-order.js';

/**
 * A request for a decision as it stands in a record: each argument, and what was taken from one, as its rule has it.
 * Members in the order of canonical JSON.
 */
export interface HeldRequest {
  readonly action: DecisionRequest['action'];
  readonly context: object;
  readonly resource: object;
  readonly subject: object;
}

/** What a record holds of a request, and what it does not. */
export interface Held {
  readonly request: HeldRequest;
  /** Arguments whose values are not in it. */
  readonly hidden: readonly JsonValue[];
  /** What is acted upon, and where data goes. */
  readonly places: Places;
}

interface Places {
  readonly target?: HeldArgument<string>;
  readonly destination?: HeldArgument<string>;
}

/** A request as a record holds it. `digested` names arguments of which no rule may keep more than a digest. */
export function holdRequest(
  request: DecisionRequest,
  ruleOf: RuleOf,
  digested: ReadonlySet<string>,
  order: MemberOrder,
): Held {
  const { action, subject, resource, context } = request;
  const { task, budget, labels } = context;
  const args = new Map<string, HeldArgument>();
  const hidden: JsonValue[] = [];
  for (const [name, value] of Object.entries(context.arguments)) {
    const asked = ruleOf(resource.id, name);
    const rule = asked === 'keep' && digested.has(name) ? 'digest' : asked;
    args.set(name, hold(order.of(value), rule));
    if (rule !== 'keep') hidden.push(value);
  }
  const places = holdPlaces(resource.properties, context.arguments, args);
  const held: HeldRequest = {
    action: { name: action.name },
    context: {
      arguments: order.of(Object.fromEntries(args)),
      budget: {
        bytesOutLeft: budget.bytesOutLeft,
        callsLeft: budget.callsLeft,
        toolCallsLeft: budget.toolCallsLeft,
      },
      business: order.of(context.business),
      chain: context.chain,
      labels: { confidentiality: labels.confidentiality, integrity: labels.integrity },
      task: {
        clearance: task.clearance,
        endUser: task.endUser,
        expiresAt: task.expiresAt,
        id: task.id,
        purpose: task.purpose,
        startedAt: task.startedAt,
      },
      time: context.time,
    },
    resource: {
      id: resource.id,
      properties: order.of({ ...(resource.properties as unknown as JsonRecord), ...places }),
      type: resource.type,
    },
    subject: {
      id: subject.id,
      properties: subject.properties && order.of(subject.properties),
      type: subject.type,
    },
  };
  return { request: held, hidden, places };
}

/** What names the resource or the destination came from an argument, and is held as that is. */
function holdPlaces(
  properties: ToolProperties | LabelChange,
  values: JsonRecord,
  args: ReadonlyMap<string, HeldArgument>,
): Places {
  if (!('effect' in properties)) return {};
  const { target, destination } = properties;
  const holdText = (text: string): HeldArgument<string> => {
    const name = Object.keys(values).find((each) => values[each] === text);
    const held = name === undefined ? undefined : args.get(name);
    if (held === undefined) return hold(text, 'digest');
    return 'value' in held ? { value: text } : held;
  };
  return {
    ...(target === undefined ? {} : { target: holdText(target) }),
    ...(destination === undefined ? {} : { destination: holdText(destination) }),
  };
}
