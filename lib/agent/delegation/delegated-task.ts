import { type PeerPredicate, type PeerRule, parsePeerRule } from '../../identity/peer-rule.js';
import { SpiffeId } from '../../identity/spiffe-id.js';
import { quote } from '../../internal/quote.js';
import { ArgumentRules } from '../constraint/arguments.js';
import { checkLabels, joinLabels } from '../flow/labels.js';
import { checkNarrower } from '../grant/capabilities.js';
import { demand } from '../grant/grant-error.js';
import { checkMembers, optionError } from '../options.js';
import { agentOf } from '../revocation/source.js';
import type { TaskOptions } from '../task-options.js';
import type { HeldGrant } from './held-grant.js';
import type { ArgumentJson } from './portable.js';
import { capabilitiesOf } from './portable.js';

/** What a task is for that another process has delegated. */
export interface DelegatedTaskOptions
  extends Omit<TaskOptions, 'tools' | 'budget' | 'ttlMs' | 'credential'> {
  /**
   * Who may have given it: each who passed it on, from hand to hand; a task is as good as its agent. On a server that is
   * the caller who handed it in, say `peerOf(req).id`. There is no default.
   */
  readonly from: PeerRule;
  /**
   * Who may have signed its root. Only that is proved by an SVID: of the others a chain holds what those before them say.
   * Default: `from`.
   */
  readonly issuers?: PeerRule;
  /** No more than the grant allows. Default: all tools of the grant that the guard has. */
  readonly tools?: TaskOptions['tools'];
  /** Default: the calls that the grant allows, where it says how many. */
  readonly budget?: TaskOptions['budget'];
  /** Default: as long as the grant is good. */
  readonly ttlMs?: number;
}

const MEMBERS = [
  'from',
  'issuers',
  'purpose',
  'tools',
  'budget',
  'ttlMs',
  'clearance',
  'labels',
  'endUser',
  'business',
  'signal',
];
/** As long as any task may live; what ends this one is the end of its grant. */
const A_GRANTS_LIFE_MS = 2_147_483_647;

/** The task that a grant is carried out in. */
export function delegatedTask(
  { leaf, links, calls }: HeldGrant,
  options: DelegatedTaskOptions,
  offered: ReadonlySet<string>,
): TaskOptions {
  const what = 'the options of a delegated task';
  checkMembers(what, options, MEMBERS);
  const {
    from,
    issuers = from,
    tools,
    budget,
    ttlMs = A_GRANTS_LIFE_MS,
    labels = {},
    ...rest
  } = options;
  checkGivers(links, parsePeerRule(from), parsePeerRule(issuers));
  const granted: TaskOptions['tools'] = Object.fromEntries(
    leaf.tools
      .filter((name) => offered.has(name))
      .map((name) => [name, leaf.constraintsOf(name) ?? {}]),
  );
  if (tools !== undefined) {
    checkMembers(`${what}: tools`, tools, Object.keys(tools));
    checkNarrower(capabilitiesOf(toJson(granted)), capabilitiesOf(toJson(tools)));
  }
  const most = Math.min(
    calls ?? Number.POSITIVE_INFINITY,
    budget?.calls ?? Number.POSITIVE_INFINITY,
  );
  if (most === Number.POSITIVE_INFINITY)
    throw optionError(what, `the grant has no budget, so say one: of ${quote(leaf.jti)}`);
  return {
    ...rest,
    tools: tools ?? granted,
    budget: { ...budget, calls: most, tools: callsPerTool(leaf, tools ?? granted, budget) },
    ttlMs,
    labels: joinLabels(leaf.labels, checkLabels(`${what}: labels`, labels, leaf.labels)),
  };
}

function checkGivers(
  [root, ...passed]: HeldGrant['links'],
  mayGive: PeerPredicate,
  maySign: PeerPredicate,
): void {
  demand(root !== undefined && maySign(root.by), 'from', `its root was signed by ${root?.by}`);
  for (const { by } of passed) {
    const isGiver = mayGive(by) || mayGive(SpiffeId.parse(agentOf(by.toString())));
    demand(isGiver, 'from', `it was given by ${by}`);
  }
}

/** Of each tool that the grant or the owner of the task bounds, the lesser. */
function callsPerTool(
  { budget: granted }: HeldGrant['leaf'],
  tools: TaskOptions['tools'],
  budget: DelegatedTaskOptions['budget'],
): Readonly<Record<string, number>> {
  const bounds = [granted?.callsPerTool ?? {}, budget?.tools ?? {}];
  const least: Record<string, number> = { ...budget?.tools };
  for (const name of Object.keys(tools)) {
    const counts = bounds.flatMap((each) => (Object.hasOwn(each, name) ? [each[name] ?? 0] : []));
    if (counts.length > 0) least[name] = Math.min(...counts);
  }
  return least;
}

function toJson(tools: TaskOptions['tools']): Readonly<Record<string, ArgumentJson>> {
  return Object.fromEntries(
    Object.entries(tools).map(([name, map]) => [
      name,
      ArgumentRules.parse(name, map).toJSON() as ArgumentJson,
    ]),
  );
}
