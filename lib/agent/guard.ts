import type { BoundFetch, Identity } from '../identity/source.js';
import { type Clock, SYSTEM_CLOCK } from '../internal/clock.js';
import { checkDuration } from '../internal/options.js';
import { quote } from '../internal/quote.js';
import { type Logger, SILENT } from '../log.js';
import type { Approver } from './approval/approver.js';
import type { AuditLog } from './audit/log.js';
import type { CallContext } from './call.js';
import type { GuardCore } from './core.js';
import type { TaskCredentials } from './credential/credentials.js';
import type { DelegatedTaskOptions } from './delegation/delegated-task.js';
import type { GrantOffer } from './delegation/offer.js';
import type { AcceptOptions, GrantCarrier } from './delegation/receiver.js';
import { LocalGuard } from './local-guard.js';
import { checkMembers, optionError } from './options.js';
import type { PolicyEngine } from './policy/engine.js';
import { Recorder } from './recorder.js';
import { IssuedGrants } from './revocation/issued-grants.js';
import type { RevocationHandler, RevocationHandlerOptions } from './revocation/publisher.js';
import { joinRevocationSources, type RevocationSource } from './revocation/source.js';
import type { SchemaInput, SchemaOutput, StandardSchema } from './standard-schema.js';
import type { Task } from './task.js';
import { fetchTool, type Origins } from './task-fetch.js';
import type { TaskOptions } from './task-options.js';
import { loadTelemetry } from './telemetry.js';
import type { ToolDescription } from './tool-description.js';
import type { ToolSpec } from './tool-spec.js';

/** Options of {@link createGuard}. */
export interface GuardOptions {
  /** Who acts. Its loss revokes every task. */
  readonly identity: Identity;
  /** Decides each call; closed with the guard. */
  readonly policy: PolicyEngine;
  /** Keeps the record; closed with the guard. */
  readonly audit: AuditLog;
  /** What `task.fetch` sends requests with. Default: there is no `task.fetch`. */
  readonly fetch?: BoundFetch;
  /**
   * What requests by `task.fetch` do with data, by origin. One that is not named takes public data alone, lies outside,
   * and answers with internal data that is not trusted.
   */
  readonly origins?: Origins;
  /** Where tasks that ask for one get an SVID of their own from. Default: there is none to be had. */
  readonly credentials?: TaskCredentials;
  /**
   * Says whether grants that others have signed still hold, such as `await RevocationLists.open({ … })`. What the guard's own tasks
   * have signed it knows itself. Default: nothing does, and what nobody can answer for is refused.
   */
  readonly revocation?: RevocationSource;
  /** Whom to ask where a policy wants an approval. Default: no one, so that such calls are refused. */
  readonly approver?: Approver;
  /**
   * Lets pass what it would refuse, and says so in each record. What cannot be put on record is refused all the same,
   * and so is a call outside any task or after its end. Default: `false`.
   */
  readonly evaluateOnly?: boolean;
  /** How long a policy engine may take; no answer is a denial. Default: 1,000. */
  readonly policyTimeoutMs?: number;
  /** How long to wait for an approval whose obligation does not say. Default: 300,000. */
  readonly approvalTimeoutMs?: number;
  readonly logger?: Logger;
}

/** A tool as agents call it. Rejects with a `DeniedError` when the call is refused. */
export type GuardedTool<Args, Result> = (
  args: Args,
  options?: { readonly signal?: AbortSignal },
) => Promise<Result>;

/** Makes every action of a task a fresh decision. */
export interface Guard {
  /**
   * Wraps a tool, at start-up. Its schema, when it has one, types the arguments.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, and `ERR_SPIFFE_GUARD_SEALED` after the first task.
   */
  tool<S extends StandardSchema, Result>(
    name: string,
    spec: ToolSpec & { readonly schema: S },
    run: (args: SchemaOutput<S>, context: CallContext) => Result | Promise<Result>,
  ): GuardedTool<SchemaInput<S>, Result>;
  tool<Args extends object, Result>(
    name: string,
    spec: ToolSpec,
    run: (args: Args, context: CallContext) => Result | Promise<Result>,
  ): GuardedTool<Args, Result>;
  /**
   * Runs a function in a task of its own, which is over when this resolves or rejects, with its record closed.
   *
   * @throws SpiffeError as {@link Guard.startTask} does; `ERR_SPIFFE_TASK_ENDED` when the task ends before the function; and
   * what the function throws.
   */
  task<T>(options: TaskOptions, run: (task: Task) => T | Promise<T>): Promise<T>;
  /**
   * Starts a task that goes on until it is ended, by its owner or by its time. The first task of a guard seals it.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, `ERR_SPIFFE_TASK_NESTED`, `ERR_SPIFFE_POLICY_INVALID` when the
   * policies do not fit the tools, `ERR_SPIFFE_AUDIT_UNAVAILABLE`, `ERR_SPIFFE_CREDENTIAL_DENIED` and
   * `ERR_SPIFFE_CREDENTIAL_UNAVAILABLE` when its credential is not to be had, and what `identity.x509.svid()` throws.
   */
  startTask(options: TaskOptions): Promise<Task>;
  /**
   * What to send to whoever is to delegate something to this process: its SPIFFE ID, and the public half of a new key. The
   * grant must be taken by {@link Guard.startDelegated} within a minute.
   */
  offer(): GrantOffer;
  /**
   * Starts a task that may do what a grant says which another process has delegated to this one, or less. It ends with the
   * grant, unless that is made anew in time (`task.renewGrant`). What it shows to services is that grant, and what it
   * delegates is a part of it.
   *
   * @param grant - the JSON of a `Delegation`, as it came.
   * @throws GrantError when a service would not take it, when it is not for this process, or not for a key that was offered;
   * SpiffeError `ERR_SPIFFE_OPTION_INVALID` for tools that it does not allow; otherwise as {@link Guard.startTask}.
   */
  startDelegated(grant: unknown, options: DelegatedTaskOptions): Promise<Task>;
  /**
   * Judges one call that came to a server, by the grant and the proof that came with it, and starts a task that may carry
   * out this call and no other: of this tool, once, with these arguments. It holds what its caller has read. End it with
   * the request.
   *
   * @param request - as it came to a server that `createServer` made, whose mutual TLS shows the caller.
   * @throws GrantError when the call is refused, with the step that failed, which is on record then; SpiffeError as
   * {@link Guard.startTask} does.
   */
  accept(request: GrantCarrier, options: AcceptOptions): Promise<Task>;
  /** The tools, as they are described at this moment. */
  readonly tools: readonly ToolDescription[];
  /** The tasks that are open. */
  readonly tasks: readonly Task[];
  /**
   * Knows of the grants that its own tasks have signed, and of their SVIDs, from the moment in which a task ends: for other
   * guards and servers (`liveTasks`) of this process.
   */
  readonly revocations: RevocationSource;
  /**
   * Makes a request handler that answers with the signed list of what its tasks have signed and the end of a task has
   * revoked, and of the tasks with an SVID that have ended, for the `RevocationLists` of those who take its grants or let in its
   * tasks. It goes on when the guard is closed, as long as there
   * is an identity to sign with.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`
   */
  revocationHandler(options?: RevocationHandlerOptions): RevocationHandler;
  /** Ends every task, and closes the policy engine and the audit log. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const MEMBERS = [
  'identity',
  'policy',
  'audit',
  'fetch',
  'origins',
  'credentials',
  'revocation',
  'approver',
  'evaluateOnly',
  'policyTimeoutMs',
  'approvalTimeoutMs',
  'logger',
];

/**
 * Creates a guard, which speaks for the identity that it is given.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, `ERR_SPIFFE_AUDIT_UNAVAILABLE`, and what `identity.x509.svid()` throws.
 */
export function createGuard(options: GuardOptions): Promise<Guard> {
  return createGuardWith(options, SYSTEM_CLOCK);
}

/** The same, with the clock in the caller's hand. */
export async function createGuardWith(options: GuardOptions, clock: Clock): Promise<Guard> {
  checkMembers('the options of a guard', options, MEMBERS);
  const { identity, policy, audit, fetch, credentials, approver, evaluateOnly = false } = options;
  const { revocation } = options;
  needMethod(
    'identity',
    (identity as Partial<Identity> | undefined)?.x509,
    'svid',
    'await Workload.open()',
  );
  needMethod('policy', policy, 'decide', "cedarPolicy('./policies') or functionPolicy(() => true)");
  needMethod('audit', audit, 'append', "auditLog('./audit')");
  if (typeof evaluateOnly !== 'boolean')
    throw optionError(
      'evaluateOnly of a guard',
      `${quote(evaluateOnly)} is neither true nor false`,
    );
  if (approver !== undefined) needMethod('approver', approver, 'ask', '{ ask: … }');
  if (credentials !== undefined)
    needMethod('credentials', credentials, 'issue', 'taskCredentials({ … })');
  if (revocation !== undefined)
    needMethod('revocation', revocation, 'status', 'what RevocationLists.open({ … }) resolved to');
  const policyTimeoutMs = checkDuration('policyTimeoutMs', options.policyTimeoutMs ?? 1_000);
  const approvalTimeoutMs = checkDuration(
    'approvalTimeoutMs',
    options.approvalTimeoutMs ?? 300_000,
  );
  const tool = fetch && fetchTool(options.origins ?? {});
  const agent = identity.x509.svid().id.toString();
  const startSpan = await loadTelemetry();
  await audit.open(identity);
  const grants = new IssuedGrants(clock, agent);
  const core: GuardCore = Object.freeze({
    identity,
    agent,
    fetch,
    policy,
    policyTimeoutMs,
    approver,
    approvalTimeoutMs,
    credentials,
    grants,
    revocation: joinRevocationSources(grants, ...(revocation === undefined ? [] : [revocation])),
    recorder: new Recorder(audit, clock, agent, evaluateOnly),
    startSpan,
    evaluateOnly,
    clock,
    logger: options.logger ?? SILENT,
  });
  return new LocalGuard(core, audit, tool);
}

/** What stands in the place of one of the guard's parts, such as a promise of it, would only be missed by the first task. */
function needMethod(name: string, part: unknown, method: string, example: string): void {
  const found = (part as Readonly<Record<string, unknown>> | null | undefined)?.[method];
  if (typeof found !== 'function')
    throw optionError(`the ${name} of a guard`, `it is missing, or is none; give ${example}`);
}
