import type { SpiffeId } from '../../identity/spiffe-id.js';
import type { GrantLink } from '../grant/link.js';
import type { GrantStatus } from '../grant/verify.js';

/** What a source of revocations is told of a token: its id, who signed it, and when. */
export type RevocableLink = Pick<GrantLink, 'jti' | 'by' | 'issuedAt'>;

/** Says of each token of a chain whether it still holds. */
export interface RevocationSource {
  /** Never waits, never throws. A token that it cannot say anything about is `unknown`, which refuses the chain. */
  status(link: RevocableLink): GrantStatus;
  /**
   * The same of a task, by the SPIFFE ID of its SVID, `<agent>/task/<id>`: `revoked` when the task has ended. A source without
   * it knows of none; see `liveTasks`.
   */
  taskStatus?(id: SpiffeId): GrantStatus;
  /**
   * Calls `listener` whenever something may have been revoked, until what it gives is called: tasks that work by a grant end
   * then, and not only with their next call.
   */
  watch?(listener: () => void): () => void;
}

/**
 * Several sources as one: a token or a task is revoked when any says so, and active when none does and one knows it.
 */
export function joinRevocationSources(...sources: readonly RevocationSource[]): RevocationSource {
  return Object.freeze({
    status: (link: RevocableLink): GrantStatus => best(sources.map((each) => each.status(link))),
    taskStatus: (id: SpiffeId): GrantStatus =>
      best(sources.map((each) => each.taskStatus?.(id) ?? 'unknown')),
    watch: (listener: () => void): (() => void) => {
      const stops = sources.map((source) => source.watch?.(listener));
      return () => {
        for (const stop of stops) stop?.();
      };
    },
  });
}

function best(found: readonly GrantStatus[]): GrantStatus {
  if (found.includes('revoked')) return 'revoked';
  return found.includes('active') ? 'active' : 'unknown';
}

/** What several that must all answer say together; of none, nothing is known. */
export function worst(found: readonly GrantStatus[]): GrantStatus {
  if (found.includes('revoked')) return 'revoked';
  return found.length === 0 || found.includes('unknown') ? 'unknown' : 'active';
}

/** The SPIFFE ID of a task ends in `/task/` and its id, below that of its agent. */
const TASK_SUFFIX = /\/task\/[^/]+$/;

/** Whether this is the SPIFFE ID of a task. */
export function isTask(id: string): boolean {
  return TASK_SUFFIX.test(id);
}

/** Who keeps the list of the tokens that this SPIFFE ID signs: the agent, for the tasks below it. */
export function agentOf(id: string): string {
  return id.replace(TASK_SUFFIX, '');
}

/** The id of a task, the last segment of its SPIFFE ID. */
export function taskIdOf(id: string): string {
  return id.slice(id.lastIndexOf('/') + 1);
}

/**
 * When a token was made, in milliseconds, as far as it says. Whoever signs it puts the time in its id (UUID version 7,
 * RFC 9562 5.7), which is finer than `iat`; another id leaves `iat`.
 */
export function madeAt({ jti, issuedAt }: RevocableLink): number {
  const second = issuedAt.getTime();
  const ms = timeOf(jti);
  if (ms === undefined) return second;
  // A child is never dated before its parent, so its id may be older than its `iat`, but is in no later second.
  return Math.floor(ms / 1000) * 1000 === second ? ms : Math.min(ms, second);
}

/** The time in an id, milliseconds since 1970; `undefined` for one that tells none. */
export function timeOf(id: string): number | undefined {
  return UUID_V7.test(id) ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : undefined;
}

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
