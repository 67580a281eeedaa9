import { type Channel, channel } from 'node:diagnostics_channel';
import { SpiffeError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import type { AuditEvent } from './audit/events.js';
import type { AuditLog } from './audit/log.js';

type Stamp = 'time' | 'agent' | 'evaluateOnly';
type Unstamped<E> = E extends AuditEvent ? Omit<E, Stamp> : never;

/** An event, but for what every event of one guard says. */
export type Happening = Unstamped<AuditEvent>;

/** Where a guard writes down what happens. */
export class Recorder {
  readonly #audit: AuditLog;
  readonly #clock: Clock;
  readonly #stamp: { readonly agent: string; readonly evaluateOnly?: true };
  readonly #channels = new Map<AuditEvent['kind'], Channel>();

  constructor(audit: AuditLog, clock: Clock, agent: string, evaluateOnly: boolean) {
    this.#audit = audit;
    this.#clock = clock;
    this.#stamp = evaluateOnly ? { agent, evaluateOnly } : { agent };
  }

  /**
   * Resolves once the event is durable; then subscribers of the diagnostics channel `agent-spiffe:<kind>` get it,
   * too late to change what is written.
   *
   * @throws SpiffeError `ERR_SPIFFE_AUDIT_UNAVAILABLE`
   */
  async append(happening: Happening): Promise<void> {
    const event: AuditEvent = { time: this.#clock.now(), ...this.#stamp, ...happening };
    try {
      await this.#audit.append(event);
    } catch (error) {
      throw unavailable(`record ${event.kind}`, error);
    }
    this.#channel(event.kind).publish(event);
  }

  /** @throws SpiffeError `ERR_SPIFFE_AUDIT_UNAVAILABLE` */
  async checkpoint(): Promise<void> {
    try {
      await this.#audit.checkpoint();
    } catch (error) {
      throw unavailable('sign the log', error);
    }
  }

  #channel(kind: AuditEvent['kind']): Channel {
    let found = this.#channels.get(kind);
    if (found === undefined) {
      found = channel(`agent-spiffe:${kind}`);
      this.#channels.set(kind, found);
    }
    return found;
  }
}

function unavailable(what: string, error: unknown): SpiffeError {
  if (error instanceof SpiffeError && error.code === 'ERR_SPIFFE_AUDIT_UNAVAILABLE') return error;
  return new SpiffeError(
    'ERR_SPIFFE_AUDIT_UNAVAILABLE',
    `cannot ${what}: the audit log failed, and what is not on record is not done`,
    { cause: error },
  );
}
