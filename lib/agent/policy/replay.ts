import { SpiffeError } from '../../errors.js';
import { canonicalJson } from '../../internal/canonical-json.js';
import { isJsonObject, type JsonObject, type JsonRecord, member } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import { codeOf, objectMember } from '../audit/own-records.js';
import { type AuditRecord, readAuditLog, recordedRequest } from '../audit/recorded.js';
import type { ToolDescription } from '../tool-description.js';
import type { CedarEngine } from './cedar-engine.js';
import type { Obligation } from './request.js';

/** What policies say about one request. */
export interface ReplayedDecision {
  readonly decision: boolean;
  readonly reasons: readonly string[];
  readonly obligations: readonly Obligation[];
  /** Why there is no true answer; the decision is a denial then. */
  readonly error?: string;
}

/** A recorded decision, and what became of it. */
export interface Replayed {
  /** The record that holds it. */
  readonly index: number;
  readonly task: string;
  /** The tool, or the change of labels. */
  readonly action: string;
  readonly outcome: 'same' | 'allowed' | 'denied' | 'obligations' | 'undecided';
  readonly before?: ReplayedDecision;
  readonly after?: ReplayedDecision;
  /** What the policies would have to know, and the record does not hold. */
  readonly needed?: readonly string[];
}

/** A tool as policies are validated against it. */
export type ReplayTool = Pick<ToolDescription, 'name' | 'inputSchema'>;

/** Makes the engine of the other policies for these tools. */
export type EngineFor = (tools: readonly ReplayTool[]) => Promise<CedarEngine>;

/**
 * Decides each recorded request again, each by itself: what an agent would have done after another answer is not told.
 *
 * @param tools - of the guard; by default those that the log defines, as they were when each task started.
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` when neither gives a tool; as `readAuditLog` and `engineFor` do.
 */
export async function* replay(
  directory: string,
  engineFor: EngineFor,
  tools?: readonly ReplayTool[],
): AsyncGenerator<Replayed> {
  const defined = tools === undefined ? await definitionsOf(directory) : new Map();
  const engines = new Map<string, Promise<CedarEngine>>();
  const engineWith = (pins: JsonObject): Promise<CedarEngine> => {
    const set = tools ?? toolsOf(defined, pins);
    const key = JSON.stringify(set);
    let engine = engines.get(key);
    if (engine === undefined) {
      engine = engineFor(set);
      engines.set(key, engine);
    }
    return engine;
  };
  /** The tools of the tasks that are open, by task. */
  const open = new Map<unknown, CedarEngine>();
  try {
    // Even where nothing is to be decided, policies that cannot be used are told.
    const others = await engineWith({});
    const calls = new Set<unknown>();
    for await (const { index, record } of readAuditLog(directory)) {
      const task = objectMember(record, 'metadata')['correlation_uid'];
      const code = codeOf(record);
      if (code === 'task.start') open.set(task, await engineWith(taskOf(record, 'tool_digests')));
      else if (code === 'task.end') open.delete(task);
      else if (code === 'call.outcome') calls.delete(callOf(record));
      else if (code === 'call.denied' && calls.delete(callOf(record))) continue;
      else if (isDecision(record)) {
        if (code === 'call.intent') calls.add(callOf(record));
        yield decideAgain({ index, record }, open.get(task) ?? others);
      }
    }
  } finally {
    for (const engine of engines.values()) await (await engine.catch(() => undefined))?.close();
  }
}

type Definitions = ReadonlyMap<string, ReplayTool>;

/** Every definition of a tool that the log holds, by its digest; a later one of the same name stands later. */
async function definitionsOf(directory: string): Promise<Definitions> {
  const found = new Map<string, ReplayTool>();
  for await (const { record } of readAuditLog(directory)) {
    if (codeOf(record) !== 'task.start') continue;
    for (const [digest, each] of Object.entries(taskOf(record, 'tool_definitions')))
      found.set(digest, each as ReplayTool);
  }
  if (found.size > 0) return found;
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot decide the log in ${quote(directory)} again: it defines no tool; give the tools beside it`,
  );
}

/** The tools as a task pinned them; the others as they were last. */
function toolsOf(defined: Definitions, pins: JsonObject): readonly ReplayTool[] {
  const tools = new Map([...defined.values()].map((tool) => [tool.name, tool]));
  for (const digest of Object.values(pins)) {
    const pinned = defined.get(String(digest));
    if (pinned !== undefined) tools.set(pinned.name, pinned);
  }
  return [...tools.values()];
}

function taskOf(record: JsonObject, name: string): JsonObject {
  return objectMember(objectMember(objectMember(record, 'unmapped'), 'task'), name);
}

function callOf(record: JsonObject): unknown {
  return objectMember(objectMember(record, 'api'), 'request')['uid'];
}

/** Whether a policy engine was asked, and its answer stands here. */
function isDecision(record: JsonObject): boolean {
  const code = codeOf(record);
  if (code === 'call.denied') return member(record, 'policy') !== undefined;
  return code === 'call.intent' || code === 'label.declassify' || code === 'label.endorse';
}

function decideAgain({ index, record }: AuditRecord, engine: CedarEngine): Replayed {
  const api = objectMember(record, 'api');
  const tool = member(objectMember(api, 'service'), 'name');
  const named = {
    index,
    task: String(objectMember(record, 'metadata')['correlation_uid']),
    action: String(tool ?? api['operation']),
  };
  const recorded = recordedRequest(record);
  if (recorded === undefined)
    return { ...named, outcome: 'undecided', needed: ['the request, which was too long to keep'] };
  const answer = engine.decideRecorded(recorded);
  if ('needed' in answer) return { ...named, outcome: 'undecided', needed: answer.needed };
  const before = recordedDecision(record);
  const { reasons = [], obligations = [], error } = answer.context ?? {};
  const after: ReplayedDecision = {
    decision: answer.decision,
    reasons,
    obligations,
    ...(error !== undefined && { error }),
  };
  return { ...named, outcome: outcomeOf(before, after), before, after };
}

function outcomeOf(before: ReplayedDecision, after: ReplayedDecision): Replayed['outcome'] {
  if (before.decision !== after.decision) return after.decision ? 'allowed' : 'denied';
  return sorted(before.obligations) === sorted(after.obligations) ? 'same' : 'obligations';
}

function sorted(obligations: readonly Obligation[]): string {
  return obligations
    .map((each) => canonicalJson(each as unknown as JsonRecord))
    .toSorted()
    .join('\n');
}

/** What the policies said then: a call may have been refused for another reason, or passed where the guard only evaluated. */
function recordedDecision(record: JsonObject): ReplayedDecision {
  const { denial, would_deny, obligations } = objectMember(record, 'unmapped');
  const grounds = [denial, ...(Array.isArray(would_deny) ? (would_deny as unknown[]) : [])];
  const refused = grounds.filter(isJsonObject).some(({ reason }) => reason === 'policy');
  const policies = member(record, 'authorizations');
  const named = Array.isArray(policies) ? policies.filter(isJsonObject) : [];
  return {
    decision: !refused,
    reasons: named.map((each) => String(objectMember(each, 'policy')['uid'])),
    obligations: Array.isArray(obligations) ? (obligations as readonly Obligation[]) : [],
  };
}
