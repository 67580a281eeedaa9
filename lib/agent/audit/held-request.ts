import type { JsonRecord, JsonValue } from '../../internal/json.js';
import type { DecisionRequest, LabelChange, ToolProperties } from '../policy/request.js';
import { type HeldArgument, hold, type RuleOf } from './argument-rules.js';
import type { MemberOrder } from './member-order.js';
import { labelsOf } from './record-parts.js';

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
  readonly target: HeldArgument<string> | undefined;
  readonly destination: HeldArgument<string> | undefined;
}

const NOWHERE: Places = { target: undefined, destination: undefined };

/** A request as a record holds it. `digested` names arguments of which no rule may keep more than a digest. */
export function holdRequest(
  request: DecisionRequest,
  ruleOf: RuleOf,
  digested: ReadonlySet<string>,
  order: MemberOrder,
): Held {
  const { action, subject, resource, context } = request;
  const { task, budget, labels } = context;
  const { args, hidden } = holdArguments(resource.id, context.arguments, ruleOf, digested, order);
  const places = holdPlaces(resource.properties, context.arguments, args);
  const held: HeldRequest = {
    action: { name: action.name },
    context: {
      arguments: args,
      budget: {
        bytesOutLeft: budget.bytesOutLeft,
        callsLeft: budget.callsLeft,
        toolCallsLeft: budget.toolCallsLeft,
      },
      business: order.of(context.business),
      chain: context.chain,
      labels: labelsOf(labels),
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
      properties: propertiesOf(resource.properties, places),
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

interface HeldArguments {
  readonly args: Readonly<Record<string, HeldArgument>>;
  readonly hidden: readonly JsonValue[];
}

function holdArguments(
  tool: string,
  values: JsonRecord,
  ruleOf: RuleOf,
  digested: ReadonlySet<string>,
  order: MemberOrder,
): HeldArguments {
  const hidden: JsonValue[] = [];
  const args: Record<string, HeldArgument> = {};
  for (const [name, value] of Object.entries(order.of(values) as JsonRecord)) {
    const asked = ruleOf(tool, name);
    const rule = asked === 'keep' && digested.has(name) ? 'digest' : asked;
    const held = hold(value, rule);
    // An assignment to `__proto__` would make no member.
    if (name === '__proto__') Object.defineProperty(args, name, { value: held, enumerable: true });
    else args[name] = held;
    if (rule !== 'keep') hidden.push(value);
  }
  return { args, hidden };
}

/** What names the resource or the destination came from an argument, and is held as that is. */
function holdPlaces(
  properties: ToolProperties | LabelChange,
  values: JsonRecord,
  args: HeldArguments['args'],
): Places {
  if (!('effect' in properties)) return NOWHERE;
  const { target, destination } = properties;
  if (target === undefined && destination === undefined) return NOWHERE;
  const holdText = (text: string): HeldArgument<string> => {
    const name = Object.keys(values).find((each) => values[each] === text);
    const held = name === undefined ? undefined : args[name];
    if (held === undefined) return hold(text, 'digest');
    return 'value' in held ? { value: text } : held;
  };
  return {
    target: target === undefined ? undefined : holdText(target),
    destination: destination === undefined ? undefined : holdText(destination),
  };
}

function propertiesOf(properties: ToolProperties | LabelChange, places: Places): object {
  if (!('effect' in properties))
    return { justification: properties.justification, to: labelsOf(properties.to) };
  const { effect, returns, sink } = properties;
  return {
    destination: places.destination,
    effect,
    returns: labelsOf(returns),
    sink: sink && { clearance: sink.clearance, outside: sink.outside },
    target: places.target,
  };
}
