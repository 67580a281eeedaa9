import { SpiffeId } from '../../identity/spiffe-id.js';
import { isRecord, memberOf, type WrittenRecord } from '../../internal/strict-json.js';
import { type Confidentiality, joinLabels, type Labels, rankOf } from '../flow/labels.js';
import { demand, GrantError } from './grant-error.js';
import { isWhole, type Token, textOf } from './token.js';

const LONGEST_TASK = 256;

/** How often what a grant allows may be called, by its holder and by all to whom it was passed on together. */
export interface GrantBudget {
  readonly calls?: number;
  readonly callsPerTool?: Readonly<Record<string, number>>;
}

/** What our profile says of a token beyond the draft. */
export interface ProfileClaims {
  /** The SPIFFE ID of its holder. */
  readonly sub: SpiffeId;
  readonly taskId: string;
  readonly labels: Labels;
  readonly budget: GrantBudget | undefined;
}

/** The claims of a token, each of which must be there but the budget. */
export function readProfile({ claims }: Token): ProfileClaims {
  return {
    sub: readSubject(claims),
    taskId: readTask(claims),
    labels: readLabels(claims),
    budget: readBudget(claims),
  };
}

/** What a child may say only in one direction: labels are raised, budgets lowered. */
export function checkProfile(parent: ProfileClaims, child: ProfileClaims): void {
  const joined = joinLabels(parent.labels, child.labels);
  const keeps =
    joined.confidentiality === child.labels.confidentiality &&
    joined.integrity === child.labels.integrity;
  demand(keeps, 'labels', 'it says that less was read than its parent says');
  demand(
    (child.budget?.calls ?? 0) <= (parent.budget?.calls ?? Number.POSITIVE_INFINITY),
    'budget',
    'it allows more calls than its parent',
  );
  const above = new Map(Object.entries(parent.budget?.callsPerTool ?? {}));
  for (const [tool, calls] of Object.entries(child.budget?.callsPerTool ?? {})) {
    demand(
      calls <= (above.get(tool) ?? Number.POSITIVE_INFINITY),
      'budget',
      'it allows more calls of a tool than its parent',
      tool,
    );
  }
}

function readSubject(claims: WrittenRecord): SpiffeId {
  const text = textOf(claims, 'sub', 'sub');
  let id: SpiffeId;
  try {
    id = SpiffeId.parse(text);
  } catch (cause) {
    throw new GrantError('sub', 'its sub is no SPIFFE ID', cause);
  }
  demand(id.path !== '', 'sub', 'its sub names a trust domain and no workload');
  return id;
}

function readTask(claims: WrittenRecord): string {
  const task = textOf(claims, 'spiffe_task', 'task');
  demand(task.length <= LONGEST_TASK, 'task', `its spiffe_task is longer than ${LONGEST_TASK}`);
  return task;
}

/** The labels in the claims of a proof, which need not be there: what is ill-formed says nothing, and refuses nothing. */
export function saidLabels(claims: WrittenRecord): Labels | undefined {
  try {
    return readLabels(claims);
  } catch {
    return undefined;
  }
}

function readLabels(claims: WrittenRecord): Labels {
  const labels = memberOf(claims, 'spiffe_labels');
  demand(isRecord(labels), 'labels', 'it has no spiffe_labels');
  const { confidentiality, integrity, ...rest } = labels;
  demand(
    rankOf(confidentiality as Confidentiality) >= 0,
    'labels',
    'its confidentiality is not known',
  );
  demand(
    integrity === 'trusted' || integrity === 'untrusted',
    'labels',
    'its integrity is not known',
  );
  demand(
    Object.keys(rest).length === 0,
    'labels',
    'its spiffe_labels have a member that is not known',
  );
  return Object.freeze({
    confidentiality: confidentiality as Confidentiality,
    integrity,
  });
}

function readBudget(claims: WrittenRecord): GrantBudget | undefined {
  if (!Object.hasOwn(claims, 'spiffe_budget')) return undefined;
  const budget = memberOf(claims, 'spiffe_budget');
  demand(isRecord(budget), 'budget', 'its spiffe_budget is no object');
  const { calls, calls_per_tool: perTool, ...rest } = budget;
  demand(
    Object.keys(rest).length === 0,
    'budget',
    'its spiffe_budget has a member that is not known',
  );
  demand(
    calls === undefined || isWhole(calls),
    'budget',
    'its calls are not a number of digits alone',
  );
  demand(perTool === undefined || isRecord(perTool), 'budget', 'its calls_per_tool are no object');
  for (const tool of Object.keys(perTool ?? {})) {
    demand(
      isWhole(perTool?.[tool]),
      'budget',
      'its calls of a tool are not a number of digits alone',
      tool,
    );
  }
  return Object.freeze({
    ...(calls !== undefined && { calls }),
    ...(perTool !== undefined && {
      callsPerTool: Object.freeze(perTool) as Readonly<Record<string, number>>,
    }),
  });
}
