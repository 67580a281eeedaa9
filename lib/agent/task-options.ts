import type { JsonRecord } from '../internal/json.js';
import { checkDuration, checkSignal } from '../internal/options.js';
import { quote } from '../internal/quote.js';
import { Budget, type BudgetOptions } from './budget.js';
import { type ArgumentConstraints, ArgumentRules } from './constraint/arguments.js';
import {
  type Confidentiality,
  checkConfidentiality,
  checkLabels,
  type Labels,
} from './flow/labels.js';
import { checkJson, checkMembers, checkText, optionError } from './options.js';
import type { Tool } from './tool.js';

/** What a task is for, and all that it may do. */
export interface TaskOptions {
  /** Why the task is there, in words; policies and the record see it. */
  readonly purpose: string;
  /** The tools that it may call, each with the constraints on its arguments. */
  readonly tools: Readonly<Record<string, ArgumentConstraints>>;
  readonly budget: BudgetOptions;
  /** How long it may live. */
  readonly ttlMs: number;
  /** The highest confidentiality that it may read. Default: `confidential`. */
  readonly clearance?: Confidentiality;
  /** What it holds from the start, such as an untrusted prompt. Default: public and trusted. */
  readonly labels?: Partial<Labels>;
  /** For whom it works, when it works for someone. */
  readonly endUser?: string;
  /** What policies are to know about the business at hand. */
  readonly business?: JsonRecord;
  /**
   * `svid`: the task is a workload of its own, whose ID is that of the agent with `/task/` and the id of the task behind
   * it, and `task.identity` is its identity. The guard must have been given `credentials`. Default: it has none.
   */
  readonly credential?: 'svid';
  /** Ends the task when it aborts. */
  readonly signal?: AbortSignal;
}

/** The same, parsed. */
export interface TaskPlan {
  readonly purpose: string;
  readonly rules: ReadonlyMap<string, ArgumentRules>;
  readonly budget: Budget;
  readonly ttlMs: number;
  readonly clearance: Confidentiality;
  readonly labels: Labels;
  readonly endUser: string | undefined;
  readonly business: JsonRecord;
  readonly credential: 'svid' | undefined;
  readonly signal: AbortSignal | undefined;
}

const MEMBERS = [
  'purpose',
  'tools',
  'budget',
  'ttlMs',
  'clearance',
  'labels',
  'endUser',
  'business',
  'credential',
  'signal',
];
const NOTHING_READ: Labels = Object.freeze({ confidentiality: 'public', integrity: 'trusted' });

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` */
export function parseTask(options: TaskOptions, tools: ReadonlyMap<string, Tool>): TaskPlan {
  const what = 'the options of a task';
  checkMembers(what, options, MEMBERS);
  const {
    clearance = 'confidential',
    labels = {},
    endUser,
    business = {},
    credential,
    signal,
  } = options;
  if (credential !== undefined && credential !== 'svid')
    throw optionError(`${what}: credential`, `${quote(credential)} is not svid`);
  checkMembers(`${what}: tools`, options.tools, Object.keys(options.tools ?? {}));
  const rules = new Map<string, ArgumentRules>();
  for (const [name, constraints] of Object.entries(options.tools)) {
    if (!tools.has(name)) throw optionError(what, `the guard has no tool ${quote(name)}`);
    rules.set(name, ArgumentRules.parse(name, constraints));
  }
  return Object.freeze({
    purpose: checkText(`${what}: purpose`, options.purpose),
    rules,
    budget: new Budget(options.budget, rules),
    ttlMs: checkDuration('ttlMs', options.ttlMs),
    clearance: checkConfidentiality(`${what}: clearance`, clearance),
    labels: checkLabels(`${what}: labels`, labels, NOTHING_READ),
    endUser: endUser === undefined ? undefined : checkText(`${what}: endUser`, endUser),
    business: checkJson(`${what}: business`, business),
    credential,
    signal: checkSignal(signal),
  });
}
