/** A task that has, or is about to get, a credential. */
export interface RegisteredTask {
  readonly id: string;
  /** The SPIFFE ID of the agent whose task it is. */
  readonly agent: string;
  /** Names the key that is certified for it. */
  readonly key: string;
  /** When it ends; milliseconds since 1970. */
  readonly expiresAt: number;
}

/** What stands against a task. */
export type Conflict = 'taken' | 'key-taken' | 'other-key' | 'longer' | 'too-many';

interface Entry {
  readonly task: RegisteredTask;
  /** Requests for it that are not answered yet. */
  pending: number;
  /** It got a credential. */
  issued: boolean;
}

const SWEEP_MS = 1_000;

/** Which tasks have credentials: each is one agent's, with one key, and ends when it was first said to. */
export class TaskRegistry {
  readonly #most: number;
  readonly #tasks = new Map<string, Entry>();
  /** The task that a key belongs to. */
  readonly #keys = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  #sweptAt = 0;

  /** @param most - how many open tasks one agent may have. */
  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#tasks.size;
  }

  /** Whether the task has had a credential: the next one renews it. */
  isIssued(id: string): boolean {
    return this.#tasks.get(id)?.issued === true;
  }

  /** Enters a request for a task, until {@link settle}; or says what stands against it. */
  enter(task: RegisteredTask, now: number): Conflict | undefined {
    this.#sweep(now);
    const known = this.#tasks.get(task.id);
    if (known !== undefined) {
      if (known.task.agent !== task.agent) return 'taken';
      if (known.task.key !== task.key) return 'other-key';
      if (known.task.expiresAt < task.expiresAt) return 'longer';
      known.pending += 1;
      return undefined;
    }
    if (this.#keys.has(task.key)) return 'key-taken';
    const count = this.#counts.get(task.agent) ?? 0;
    if (count >= this.#most) return 'too-many';
    this.#tasks.set(task.id, { task, pending: 1, issued: false });
    this.#keys.set(task.key, task.id);
    this.#counts.set(task.agent, count + 1);
    return undefined;
  }

  /** A request was answered. A task that never got a credential is in nobody's way. */
  settle(id: string, issued: boolean): void {
    const entry = this.#tasks.get(id);
    if (entry === undefined) return;
    entry.pending -= 1;
    entry.issued ||= issued;
    if (!entry.issued && entry.pending === 0) this.#remove(entry.task);
  }

  #remove(task: RegisteredTask): void {
    this.#tasks.delete(task.id);
    this.#keys.delete(task.key);
    const count = (this.#counts.get(task.agent) ?? 1) - 1;
    if (count === 0) this.#counts.delete(task.agent);
    else this.#counts.set(task.agent, count);
  }

  /** Forgets what has ended. By no timer: nothing is in anybody's way until somebody comes. */
  #sweep(now: number): void {
    if (now - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = now;
    for (const { task } of this.#tasks.values()) if (task.expiresAt <= now) this.#remove(task);
  }
}
