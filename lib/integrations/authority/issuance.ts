import type { CredentialEvent } from '../../agent/audit/events.js';
import type { AuditLog } from '../../agent/audit/log.js';
import type { Peer } from '../../identity/source.js';
import type { SpiffeId } from '../../identity/spiffe-id.js';
import { Certificate } from '../../identity/x509/certificate.js';
import { leafId } from '../../identity/x509/leaf.js';
import { waitFor } from '../../internal/abort.js';
import type { Clock } from '../../internal/clock.js';
import type { Logger } from '../../log.js';
import type { TaskCredentialQuestion } from './authority.js';
import { type AskedCredential, judge, parseRequest, readCsr, sameBytes } from './judge.js';
import type { Mint } from './mint.js';
import { Refusal } from './refusal.js';
import { type Conflict, TaskRegistry } from './task-registry.js';

/** What an authority makes credentials with, judged already. */
export interface IssuanceSettings {
  /** The authority's own. */
  readonly id: SpiffeId;
  readonly mint: Mint;
  readonly policy: ((question: TaskCredentialQuestion) => boolean | Promise<boolean>) | undefined;
  readonly maxTtlMs: number;
  readonly maxTasks: number;
  readonly audit: AuditLog | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

const CONFLICTS: Readonly<Record<Conflict, readonly [status: number, why: string]>> = {
  taken: [403, 'another agent has a task of this id'],
  'key-taken': [403, 'the key belongs to another task'],
  'other-key': [403, 'the task has another key'],
  longer: [403, 'the task was to end earlier'],
  'too-many': [429, 'the agent has as many open tasks as it may'],
};

/** Makes credentials, each once all has been judged, and gives it out once it is on record. */
export class Issuance {
  readonly #settings: IssuanceSettings;
  readonly #tasks: TaskRegistry;
  #underWay = 0;
  #wake: (() => void) | undefined;

  constructor(settings: IssuanceSettings) {
    this.#settings = settings;
    this.#tasks = new TaskRegistry(settings.maxTasks);
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    if (this.#underWay > 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }

  /** @throws Refusal, and what the mint and the audit log throw. */
  async issue(caller: Peer, body: string, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    this.#underWay += 1;
    try {
      return await this.#issue(caller, body, signal);
    } finally {
      this.#underWay -= 1;
      if (this.#underWay === 0) this.#wake?.();
    }
  }

  async #issue(caller: Peer, body: string, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    const { purpose, expiresAt, csr } = parseRequest(body);
    const request = readCsr(csr);
    const said = { agent: caller.id, uri: request.uri, purpose };
    try {
      const asked = judge(request, caller, this.#settings.id.trustDomain);
      return await this.#enter(asked, { csr, purpose, expiresAt, signal });
    } catch (error) {
      if (error instanceof Refusal) await this.#recordRefusal(said, error);
      throw error;
    }
  }

  async #enter(asked: AskedCredential, sent: Sent): Promise<readonly Uint8Array[]> {
    const now = this.#settings.clock.now();
    const { taskId: id, agent, key } = asked;
    const { expiresAt } = sent;
    if (expiresAt - now < 1_000) throw new Refusal(400, 'the task ends within a second');
    const conflict = this.#tasks.enter({ id, agent: agent.toString(), key, expiresAt }, now);
    if (conflict !== undefined) throw new Refusal(...CONFLICTS[conflict]);
    let issued = false;
    try {
      const certificates = await this.#make(asked, sent, now);
      issued = true;
      return certificates;
    } finally {
      this.#tasks.settle(id, issued);
    }
  }

  async #make(asked: AskedCredential, sent: Sent, now: number): Promise<readonly Uint8Array[]> {
    const { mint, maxTtlMs, audit, logger } = this.#settings;
    const { csr, purpose, expiresAt, signal } = sent;
    const { agent, taskId, id } = asked;
    const renewal = this.#tasks.isIssued(taskId);
    const end = new Date(expiresAt);
    await this.#decide({ agent, taskId, id, purpose, expiresAt: end, renewal }, signal);
    const ttlSeconds = Math.floor(Math.min(maxTtlMs, expiresAt - now) / 1_000);
    const certificates = await mint({ csr, ttlSeconds, signal });
    const { serialNumber, notAfter } = checkMinted(certificates, asked, expiresAt);
    // Before it is given out: what is not on record is not used.
    await audit?.append({
      ...this.#event(renewal ? 'renewed' : 'issued', { taskId, purpose, id: id.toString() }),
      reference: serialNumber,
      expiresAt: notAfter,
    });
    const about = { agent: agent.toString(), id: id.toString(), serialNumber, renewal };
    logger.info({ ...about, notAfter: new Date(notAfter) }, 'gave a task a credential');
    return certificates;
  }

  /** Waits no longer than the caller does: a policy that never answers must keep no place, and no authority from closing. */
  async #decide(question: TaskCredentialQuestion, signal: AbortSignal): Promise<void> {
    const { policy } = this.#settings;
    if (policy === undefined) return;
    let decision: unknown;
    try {
      decision = await waitFor(Promise.resolve(policy(Object.freeze(question))), signal);
    } catch (cause) {
      if (signal.aborted) throw new Refusal(503, 'the caller did not wait for the policy', cause);
      throw new Refusal(403, 'the policy refuses it', cause);
    }
    if (decision !== true) throw new Refusal(403, 'the policy refuses it');
  }

  /** A refusal stands whether it can be recorded or not. */
  async #recordRefusal(
    { agent, uri, purpose }: { readonly agent: SpiffeId; readonly uri: string; purpose: string },
    { message }: Refusal,
  ): Promise<void> {
    const { audit, logger } = this.#settings;
    try {
      const taskId = uri.slice(uri.lastIndexOf('/') + 1);
      const event = this.#event('refused', { taskId, purpose, id: uri });
      await audit?.append({ ...event, reference: agent.toString(), reason: message });
    } catch (error) {
      logger.error({ err: error, agent: agent.toString() }, 'a refusal was not put on record');
    }
  }

  #event(
    operation: CredentialEvent['operation'],
    { taskId, purpose, id }: { taskId: string; purpose: string; id: string },
  ): Omit<CredentialEvent, 'reference'> {
    return {
      kind: 'credential',
      time: this.#settings.clock.now(),
      agent: this.#settings.id.toString(),
      task: { id: taskId, purpose },
      operation,
      credential: 'x509-svid',
      subject: id,
    };
  }
}

/** What came with the request. */
interface Sent {
  readonly csr: Uint8Array;
  readonly purpose: string;
  readonly expiresAt: number;
  readonly signal: AbortSignal;
}

/** Holds what was minted to what was asked for. Whom it chains to is for the agent to verify, by its own bundles. */
function checkMinted(
  [leaf]: readonly Uint8Array[],
  { id, spki }: AskedCredential,
  expiresAt: number,
): { readonly serialNumber: string; readonly notAfter: number } {
  if (leaf === undefined) throw new Error('the issuer gave no certificate');
  const certificate = Certificate.decode(leaf);
  const { notAfter } = certificate;
  if (!leafId(certificate).equals(id) || !sameBytes(certificate.spki, spki))
    throw new Error('the issuer gave a certificate for another ID or key');
  if (notAfter > expiresAt)
    throw new Error(
      `the issuer gave a certificate that outlives the task: until ${new Date(notAfter).toISOString()}; are the clocks right?`,
    );
  const serialNumber = Buffer.from(certificate.serialNumber)
    .toString('hex')
    .replace(/^00(?=.)/, '');
  return { serialNumber, notAfter };
}
