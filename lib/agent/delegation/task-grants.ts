import { SpiffeId } from '../../identity/spiffe-id.js';
import type { X509Svid } from '../../identity/x509/svid.js';
import type { JsonRecord } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import { joinLabels, type Labels } from '../flow/labels.js';
import { checkNarrower } from '../grant/capabilities.js';
import { demand, GrantError } from '../grant/grant-error.js';
import { deriveGrant, type GrantTools, issueRootGrant, readOwnGrant } from '../grant/issue.js';
import { DEFAULT_LIMITS } from '../grant/limits.js';
import type { GrantPresentation } from '../grant/presentation.js';
import type { GrantBudget } from '../grant/profile.js';
import { proveGrant } from '../grant/prove.js';
import { optionError } from '../options.js';
import type { TaskCore } from '../task-core.js';
import { type DelegateOptions, type DelegatePlan, parseDelegate } from './delegate-options.js';
import { Delegation } from './delegation.js';
import { type HeldGrant, heldGrant, readHeldGrant, refOf, tokensOf } from './held-grant.js';
import { type ArgumentJson, capabilitiesOf, hasLocal, portable } from './portable.js';
import { recordGrantRefusal } from './refusal.js';

/** One call that a task shows its grant for. */
export interface ShownCall {
  readonly tool: string;
  readonly args: JsonRecord;
  /** The same, as they are sent. */
  readonly argsJson: string;
  readonly audience: string;
  readonly nonce?: string | undefined;
  /** What the task has read by now. */
  readonly labels: Labels;
}

/** A root that was signed for a task, and what it rests on. */
interface OwnRoot {
  readonly svid: X509Svid;
  readonly labels: Labels;
  readonly grant: Promise<HeldGrant>;
}

/**
 * The grants of one task: the one it was started with, or the root that its first use of one makes; and what it passes on.
 * Each is on record, and can be revoked, before it is given away.
 */
export class TaskGrants {
  readonly #task: TaskCore;
  #received: HeldGrant | undefined;
  #root: OwnRoot | undefined;

  constructor(task: TaskCore, received: HeldGrant | undefined) {
    this.#task = task;
    this.#received = received;
  }

  /** The grant that it was started with, or what came in its place since. */
  get received(): HeldGrant | undefined {
    return this.#received;
  }

  async delegate(options: DelegateOptions): Promise<Delegation> {
    const task = this.#task;
    const plan = parseDelegate(options);
    const deadline = this.#deadline(plan.ttlMs);
    this.#checkBudget(plan);
    const make = (): Promise<HeldGrant> => task.within(() => this.#derive(plan, deadline));
    const worst = Object.keys(plan.tools)
      .map((tool) => task.returnsOf(tool))
      .reduce(joinLabels);
    return new Delegation(plan.to, worst, await make(), make);
  }

  /** The grant with the proof for one call, which the guard has allowed. */
  async present(call: ShownCall): Promise<GrantPresentation> {
    const { key, guard } = this.#task;
    const { tool, args, argsJson, audience, nonce, labels } = call;
    const { chain, issuer } = await this.#grantFor({ [tool]: valuesOf(args) }, labels);
    const proof = proveGrant({
      leaf: chain.at(-1) ?? '',
      signer: key,
      tool,
      argsJson,
      audience,
      ...(nonce !== undefined && { nonce }),
      labels,
      now: new Date(guard.clock.now()),
    });
    return { chain, issuer, proof };
  }

  /** Puts a grant that was made anew in the place of the one that the task has. */
  async renew(json: unknown): Promise<void> {
    const task = this.#task;
    await task.within(async () => {
      let next: HeldGrant;
      try {
        next = this.#renewed(json);
      } catch (error) {
        if (error instanceof GrantError)
          await recordGrantRefusal(task.guard, error, { task: task.ref, chain: tokensOf(json) });
        throw error;
      }
      const { rootIssuer: issuer, ids, leaf } = next;
      const event = { kind: 'grant.accept', task: task.ref, grant: refOf(ids, leaf) } as const;
      await task.guard.recorder.append({ ...event, issuer });
      this.#received = next;
      task.flow.take(leaf.labels);
      task.boundBy(leaf.expiresAt);
    });
  }

  #renewed(json: unknown): HeldGrant {
    const { key, guard } = this.#task;
    const { agent, identity, clock } = guard;
    const before = this.#received;
    if (before === undefined) throw optionError('a grant', 'the task was not started with one');
    const now = new Date(clock.now());
    const next = readHeldGrant(json, { agent, bundles: identity.x509.bundles, now });
    demand(next.leaf.thumbprint === key.thumbprint, '4b2', 'it is held by another key');
    demand(
      next.rootIssuer === before.rootIssuer && next.rootTask === before.rootTask,
      'task',
      'it is of another task than the one that it is to take the place of',
    );
    return next;
  }

  async #derive(plan: DelegatePlan, deadline: number): Promise<HeldGrant> {
    const { key, flow, guard } = this.#task;
    const { tools, to, audience } = plan;
    for (const name of Object.keys(tools)) {
      if (this.#task.rules(name) === undefined)
        throw optionError(`the tool ${quote(name)} for a grant`, 'the task does not have it');
    }
    const own = this.#ownTools(tools);
    checkNarrower(capabilitiesOf(own), capabilitiesOf(tools));
    const budget = this.#budget(plan);
    const { labels } = flow;
    const parent = await this.#grantFor(tools, labels);
    const { leaf } = parent;
    const token = deriveGrant({
      parent: parent.chain.at(-1) ?? '',
      signer: key,
      holder: plan.key,
      holderId: to,
      tools,
      budget: { ...budget, calls: Math.min(budget.calls, leaf.budget?.calls ?? budget.calls) },
      expiresAt: new Date(
        Math.min(deadline, this.#task.expiresAt.getTime(), leaf.expiresAt.getTime()),
      ),
      maxDepth: leaf.depth + 1 + plan.maxDepth,
      labels: joinLabels(leaf.labels, labels),
      now: new Date(guard.clock.now()),
      ...(audience !== undefined && { audience }),
    });
    const given = { chain: [...parent.chain, token], issuer: parent.issuer };
    const links = [...parent.links, readOwnGrant(token, leaf.sub)];
    const grant = heldGrant(given, links, parent.rootIssuer);
    await this.#putOnRecord('grant.derive', grant);
    return grant;
  }

  /** What lies above a grant for these tools, or above a proof for a call of one. */
  async #grantFor(
    asked: Readonly<Record<string, ArgumentJson>>,
    labels: Labels,
  ): Promise<HeldGrant> {
    if (this.#received !== undefined) return this.#received;
    const { rules } = this.#task.plan;
    const special = Object.keys(asked).filter((name) => {
      const own = rules.get(name);
      return own !== undefined && hasLocal(own.toJSON() as ArgumentJson);
    });
    // What is of this process is in no root but one made for the values that are asked for.
    if (special.length > 0) return await this.#issue(this.#ownTools(asked), labels);
    const svid = this.#task.guard.identity.x509.svid();
    const root = this.#root;
    // A token below a root may say that more was read, never less.
    if (root?.svid === svid && isWithin(root.labels, labels)) return await root.grant;
    const grant = this.#issue(this.#ownTools({}), labels);
    const made = { svid, labels, grant };
    this.#root = made;
    try {
      return await grant;
    } catch (error) {
      if (this.#root === made) this.#root = undefined;
      throw error;
    }
  }

  /** The tools of the task as a token can carry them; those that it cannot without values that are asked for are left out. */
  #ownTools(asked: Readonly<Record<string, ArgumentJson>>): Readonly<Record<string, ArgumentJson>> {
    const own = [...this.#task.plan.rules].flatMap(([name, rules]) => {
      const map = rules.toJSON() as ArgumentJson;
      const wanted = Object.hasOwn(asked, name) ? asked[name] : undefined;
      if (wanted === undefined) return hasLocal(map) ? [] : [[name, map] as const];
      return [[name, portable(name, map, wanted)] as const];
    });
    return Object.fromEntries(own);
  }

  async #issue(tools: GrantTools, labels: Labels): Promise<HeldGrant> {
    const task = this.#task;
    const { guard, ref, key, credential } = task;
    const svid = guard.identity.x509.svid();
    const holderId = credential?.identity.x509.svid().id ?? SpiffeId.parse(guard.agent);
    const token = issueRootGrant({
      svid,
      holder: key.publicJwk,
      holderId,
      taskId: ref.id,
      tools,
      expiresAt: task.expiresAt,
      maxDepth: DEFAULT_LIMITS.depth,
      labels,
      budget: this.#whole(Object.keys(tools)),
      now: new Date(guard.clock.now()),
    });
    const given = { chain: [token], issuer: svid.certificates };
    const grant = heldGrant(given, [readOwnGrant(token, svid.id)], svid.id.toString());
    await task.within(() => this.#putOnRecord('grant.issue', grant));
    return grant;
  }

  async #putOnRecord(kind: 'grant.issue' | 'grant.derive', held: HeldGrant): Promise<void> {
    const task = this.#task;
    const { grants, recorder } = task.guard;
    const grant = refOf(held.ids, held.leaf);
    grants.add(task, grant);
    await recorder.append({ kind, task: task.ref, grant, issuer: held.rootIssuer });
  }

  #deadline(ttlMs: number | undefined): number {
    if (ttlMs === undefined) return Number.POSITIVE_INFINITY;
    const { expiresAt, guard } = this.#task;
    const end = guard.clock.now() + ttlMs;
    demand(end <= expiresAt.getTime(), '4h', 'it would outlive its task');
    return end;
  }

  /** @throws GrantError when it is more than the task has left. */
  #checkBudget({ budget, tools }: DelegatePlan): void {
    const left = this.#left(Object.keys(tools));
    const { calls = left.calls, callsPerTool = {} } = budget;
    demand(calls <= left.calls, 'budget', `the task has ${left.calls} calls left itself`);
    for (const [name, most] of Object.entries(callsPerTool)) {
      const own = new Map(Object.entries(left.callsPerTool)).get(name) ?? left.calls;
      demand(most <= own, 'budget', `the task has ${own} calls of ${quote(name)} left itself`);
    }
  }

  /** As much of it as the task has left by now: when it is made anew, that may have become less. */
  #budget({ budget, tools }: DelegatePlan): GrantBudget & { readonly calls: number } {
    const left = this.#left(Object.keys(tools));
    const { calls = left.calls, callsPerTool = {} } = budget;
    const own = new Map(Object.entries(left.callsPerTool));
    const asked = Object.entries(callsPerTool).map(
      ([name, most]) => [name, Math.min(most, own.get(name) ?? left.calls)] as const,
    );
    return {
      calls: Math.min(calls, left.calls),
      callsPerTool: { ...left.callsPerTool, ...Object.fromEntries(asked) },
    };
  }

  /** All that the task ever had: the calls that it shows its root for have been taken from what is left. */
  #whole(tools: readonly string[]): GrantBudget {
    const { calls, perTool } = this.#task.budget.whole;
    const named = Object.entries(perTool).filter(([name]) => tools.includes(name));
    return { calls, callsPerTool: Object.fromEntries(named) };
  }

  #left(tools: readonly string[]): {
    readonly calls: number;
    readonly callsPerTool: Readonly<Record<string, number>>;
  } {
    const { budget } = this.#task;
    const perTool = tools.flatMap((name) => {
      const { toolCallsLeft } = budget.left(name);
      return toolCallsLeft === undefined ? [] : [[name, toolCallsLeft] as const];
    });
    return { calls: budget.left('').callsLeft, callsPerTool: Object.fromEntries(perTool) };
  }
}

/** The arguments of one call as constraints that nothing else meets; those that are no scalar have none of their own. */
function valuesOf(args: JsonRecord): ArgumentJson {
  const scalars = Object.entries(args).filter(
    ([, value]) => typeof value !== 'object' || value === null,
  );
  return Object.fromEntries(
    scalars.map(([name, value]) => [name, { constraint_type: 'exact', value }]),
  );
}

function isWithin(less: Labels, more: Labels): boolean {
  const joined = joinLabels(less, more);
  return joined.confidentiality === more.confidentiality && joined.integrity === more.integrity;
}
