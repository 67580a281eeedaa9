import { SpiffeError } from '../../errors.js';
import type { JsonObject } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import { mergeRecords, type PlacedRecord } from './chain-order.js';
import { grantOf, kindOf, taskOf, userOf } from './chain-record.js';
import { readAuditLog } from './recorded.js';

/** A record of one of several logs that belongs to a chain. */
export interface AuditChainStep {
  /** The directory of its log, and its index there. */
  readonly directory: string;
  readonly index: number;
  readonly record: JsonObject;
  /** What it is, such as `call.intent`. */
  readonly kind: string;
  /** The task in which it happened; `undefined` for a refusal. */
  readonly task: string | undefined;
  /**
   * On whose behalf: who called it by a grant, who gave them that, and so on to whoever issued the root; then the user of
   * the task there, where it has one. One whose log is not among these, or whom two logs claim to be, is `undefined`.
   */
  readonly onBehalfOf: readonly (string | undefined)[];
}

/** A log, and the SPIFFE ID that it is of. */
export interface FollowedLog {
  readonly directory: string;
  readonly id: string;
}

/**
 * Follows a chain of grants through the logs of several processes. From a grant or a task it goes down to all that
 * was done by it and by what was derived from it, and up to the root: of the tasks above it gives the start, the end and
 * the grants of the chain. Order is that of each log and of giving before accepting, else by time.
 *
 * Whether the logs are what was written is for `verifyAuditLog` to say.
 *
 * @param id - of a task, or the `jti` of a grant.
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` when no record names it; `ERR_SPIFFE_AUDIT_INVALID`.
 */
export async function followAuditChain(
  id: string,
  logs: readonly FollowedLog[],
): Promise<readonly AuditChainStep[]> {
  const map = new ChainMap();
  for (const [log, { directory, id: agent }] of logs.entries())
    for await (const { record } of readAuditLog(directory)) map.add(log, agent, record);
  const reach = map.reach(id);
  if (reach === undefined)
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot follow ${quote(id)}: no record of these logs names a task or a grant of this id`,
    );
  const steps: AuditChainStep[] = [];
  const sources = logs.map(({ directory }, log) => records(log, directory, reach));
  for await (const { log, index, record } of mergeRecords(sources, map.given())) {
    steps.push({
      directory: (logs[log] as FollowedLog).directory,
      index,
      record,
      kind: kindOf(record),
      task: taskOf(record),
      onBehalfOf: map.onBehalfOf(log, record),
    });
  }
  return steps;
}

async function* records(
  log: number,
  directory: string,
  reach: Reach,
): AsyncGenerator<PlacedRecord> {
  for await (const { index, record } of readAuditLog(directory))
    if (reach.has(log, record)) yield { log, index, record };
}

/** What belongs to a chain. */
interface Reach {
  has(log: number, record: JsonObject): boolean;
}

/** A task, by its log: an id in another log is of another. */
type TaskKey = string;

interface Task {
  /** Whose log it is in. */
  readonly agent: string;
  readonly user: string | undefined;
  /** The grants that it signed. */
  readonly signed: Set<string>;
  /** The chains that it was started by, and renewed with since; root first. */
  readonly chains: (readonly string[])[];
  /** Who held the first of them. */
  holder: string | undefined;
}

interface Grant {
  readonly chain: readonly string[];
  /** Who say that they signed it. */
  readonly claims: { readonly key: TaskKey; readonly agent: string }[];
}

/** Who signed a grant. Nobody, when two agents say that they did: one of their logs does not tell the truth. */
function giverOf(grant: Grant | undefined): Partial<Grant['claims'][number]> {
  const [first, ...more] = grant?.claims ?? [];
  return first === undefined || more.some(({ agent }) => agent !== first.agent) ? {} : first;
}

/** Which task signed which grant, and which was started by which. */
class ChainMap {
  readonly #tasks = new Map<TaskKey, Task>();
  readonly #grants = new Map<string, Grant>();

  add(log: number, agent: string, record: JsonObject): void {
    const id = taskOf(record);
    if (id === undefined) return;
    const key = keyOf(log, id);
    const task = this.#tasks.get(key) ?? {
      agent,
      user: userOf(record),
      signed: new Set<string>(),
      chains: [],
      holder: undefined,
    };
    this.#tasks.set(key, task);
    const found = grantOf(record);
    if (found === undefined) return;
    const { jti, chain, holder } = found;
    const grant = this.#grants.get(jti) ?? { chain, claims: [] };
    this.#grants.set(jti, grant);
    switch (kindOf(record)) {
      case 'grant.issue':
      case 'grant.derive':
        task.signed.add(jti);
        grant.claims.push({ key, agent });
        break;
      case 'grant.accept':
        task.chains.push(chain);
        task.holder ??= holder;
        break;
      default:
    }
  }

  /** The grants whose giving is on record. */
  given(): ReadonlySet<string> {
    return new Set([...this.#tasks.values()].flatMap(({ signed }) => [...signed]));
  }

  /** All that a task or a grant leads to, and what leads to it; `undefined` when there is none of this id. */
  reach(id: string): Reach | undefined {
    const below = new Set<string>();
    const whole = new Set<TaskKey>();
    if (this.#knows(id)) below.add(id);
    for (const key of this.#tasks.keys()) if (key.endsWith(` ${id}`)) whole.add(key);
    if (below.size + whole.size === 0) return undefined;
    this.#goDown(below, whole);
    const above = new Set(
      [...below]
        .flatMap((jti) => this.#grants.get(jti)?.chain ?? [])
        .filter((jti) => !below.has(jti)),
    );
    for (const key of whole)
      for (const jti of this.#tasks.get(key)?.chains.flat() ?? [])
        if (!below.has(jti)) above.add(jti);
    const around = new Set(
      [...above, ...below].flatMap(
        (jti) => this.#grants.get(jti)?.claims.map(({ key }) => key) ?? [],
      ),
    );
    return {
      has: (log, record) => {
        const kind = kindOf(record);
        const task = taskOf(record);
        const key = task === undefined ? undefined : keyOf(log, task);
        if (key !== undefined && whole.has(key)) return true;
        if (kind === 'task.start' || kind === 'task.end')
          return key !== undefined && around.has(key);
        const grant = grantOf(record);
        if (grant === undefined) return false;
        if (kind === 'grant.refuse') return grant.chain.some((jti) => below.has(jti));
        return below.has(grant.jti) || above.has(grant.jti);
      },
    };
  }

  onBehalfOf(log: number, record: JsonObject): readonly (string | undefined)[] {
    const id = taskOf(record);
    const task = id === undefined ? undefined : this.#tasks.get(keyOf(log, id));
    if (task === undefined) return [];
    const [chain] = task.chains;
    if (chain === undefined) return task.user === undefined ? [] : [task.user];
    const signers = chain.map((jti) => giverOf(this.#grants.get(jti)).agent).toReversed();
    // The root, and the first grant below it, are both of whoever issued it; a task may hold its grant itself.
    const givers = [task.agent, task.holder, ...signers].filter(
      (agent, at, all) => at > 0 && agent !== all[at - 1],
    );
    const root = giverOf(this.#grants.get(chain[0] ?? '')).key;
    const user = root === undefined ? undefined : this.#tasks.get(root)?.user;
    return user === undefined ? givers : [...givers, user];
  }

  #knows(jti: string): boolean {
    if (this.#grants.has(jti)) return true;
    for (const { chain } of this.#grants.values()) if (chain.includes(jti)) return true;
    return false;
  }

  /** Adds what was signed by these tasks, what was derived from these grants, and the tasks that were started by them. */
  #goDown(below: Set<string>, whole: Set<TaskKey>): void {
    for (let before = -1; before !== below.size + whole.size; ) {
      before = below.size + whole.size;
      for (const key of whole) for (const jti of this.#tasks.get(key)?.signed ?? []) below.add(jti);
      for (const [jti, { chain }] of this.#grants)
        if (chain.some((each) => below.has(each))) below.add(jti);
      for (const [key, { chains }] of this.#tasks)
        if (chains.flat().some((each) => below.has(each))) whole.add(key);
    }
  }
}

function keyOf(log: number, task: string): TaskKey {
  return `${log} ${task}`;
}
