import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SpiffeError } from '../../errors.js';
import type { Identity } from '../../identity/source.js';
import type { X509Svid } from '../../identity/x509/svid.js';
import type { Clock } from '../../internal/clock.js';
import type { Logger } from '../../log.js';
import type { RuleOf } from './argument-rules.js';
import { CheckpointLane } from './checkpoint-lane.js';
import { endorse } from './endorsement.js';
import type { AuditEvent } from './events.js';
import { GroupWriter, type LogEnd, syncDirectory, type Written } from './group-writer.js';
import { eventLine, ownLine } from './line.js';
import { type DirectoryLock, lockDirectory } from './lock.js';
import type { RecordParts, RecordSetting } from './ocsf.js';
import { keyParts, type Outage, outageParts, repairParts, type Writing } from './own-parts.js';
import { packageVersion } from './package-version.js';
import { type Repair, recoverLog } from './recover.js';
import { Signer } from './signer.js';
import { codeOf, foreign, unavailable } from './trouble.js';

/** More than this waiting to be written is not taken: the disk cannot keep up, or is gone. */
const MOST_WAITING_BYTES = 64 << 20;

/** How a log is written, judged already. */
export interface LogSettings {
  readonly ruleOf: RuleOf;
  readonly unhashedResults: ReadonlySet<string>;
  readonly checkpointRecords: number;
  readonly checkpointMs: number;
  readonly segmentBytes: number;
  readonly copyTo: Logger | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** An audit log that is being written. */
export class AuditSession {
  readonly #directory: string;
  readonly #settings: LogSettings;
  readonly #lock: DirectoryLock;
  readonly #setting: RecordSetting;
  readonly #writer: GroupWriter;
  readonly #signer: Signer;
  readonly #checkpoints: CheckpointLane;
  readonly #watching = new AbortController();
  #svid: X509Svid;
  /** Whether the SVID in use has still to endorse the log key. */
  #unendorsed = true;
  #outage: Outage | undefined;
  /** Records of the log about itself that are not durable yet. */
  #ownWaiting = 0;
  /** Who the process has become, when this log is no longer its own. */
  #stranger: string | undefined;

  private constructor(
    directory: string,
    settings: LogSettings,
    lock: DirectoryLock,
    signer: Signer,
    svid: X509Svid,
    end: LogEnd,
  ) {
    this.#directory = directory;
    this.#settings = settings;
    this.#lock = lock;
    this.#signer = signer;
    this.#svid = svid;
    this.#setting = { origin: signer.key.name, version: packageVersion() };
    this.#writer = new GroupWriter(directory, settings.segmentBytes, end, {
      onDurable: (lines) => this.#onDurable(lines),
      onWriting: () => signer.hash(),
      onRefused: (cause, records) => this.#onRefused(cause, records),
    });
    const { checkpointRecords: records, checkpointMs: ms, clock } = settings;
    this.#checkpoints = new CheckpointLane(signer, end.records, { records, ms, clock }, (cause) =>
      this.#onUnsigned(cause),
    );
  }

  /**
   * Takes the directory for this process, finds or repairs where the log ends, and goes on from there by a new key.
   *
   * @throws SpiffeError `ERR_SPIFFE_AUDIT_UNAVAILABLE`, `ERR_SPIFFE_AUDIT_INVALID` when the log was altered or is another
   * identity's; as {@link Identity.x509} does when there is no identity.
   */
  static async open(
    directory: string,
    identity: Identity,
    settings: LogSettings,
  ): Promise<AuditSession> {
    const svid = identity.x509.svid();
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      syncDirectory(dirname(directory));
      const lock = await lockDirectory(directory);
      try {
        const session = await AuditSession.#continue(directory, settings, lock, svid);
        void session.#watch(identity);
        return session;
      } catch (error) {
        await lock.release();
        throw error;
      }
    } catch (error) {
      throw error instanceof SpiffeError ? error : unavailable(directory, error);
    }
  }

  static async #continue(
    directory: string,
    settings: LogSettings,
    lock: DirectoryLock,
    svid: X509Svid,
  ): Promise<AuditSession> {
    const { owner, tree, end, repair, ...recovered } = await recoverLog(directory);
    const id = svid.id.toString();
    if (owner !== undefined && owner.id !== id) throw foreign(directory, owner.id, id);
    const origin = owner?.origin ?? nameLog(svid);
    const signer = await Signer.open({ ...recovered, directory, origin, tree });
    const session = new AuditSession(directory, settings, lock, signer, svid, end);
    try {
      syncDirectory(directory);
      await session.#begin(repair);
      return session;
    } catch (error) {
      session.#writer.close();
      await signer.close();
      throw error;
    }
  }

  /** Resolves once the record is durable; that of a task's end also once a checkpoint covers it, if one can be written. */
  append(event: AuditEvent): Promise<Written> {
    let line: string;
    try {
      this.#refuseWhileUnable();
      this.#announce();
      line = eventLine(
        withheld(event, this.#settings),
        this.#writer.next,
        this.#setting,
        this.#settings.ruleOf,
      );
    } catch (cause) {
      const error = cause instanceof SpiffeError ? cause : unavailable(this.#directory, cause);
      return Promise.reject(error);
    }
    const written = this.#writer.append(line);
    return event.kind === 'task.end' ? this.#covered(written) : written;
  }

  /** Resolves once a checkpoint covers all that was appended so far. */
  checkpoint(): Promise<void> {
    return this.#checkpoints.cover(this.#writer.next);
  }

  /** Writes and signs what waits, and lets go of the directory. */
  async close(): Promise<void> {
    this.#watching.abort();
    await this.#writer.idle();
    try {
      await this.#checkpoints.cover(this.#writer.records);
    } finally {
      await this.#checkpoints.end();
      this.#writer.close();
      await this.#signer.close();
      await this.#lock.release();
    }
  }

  async #begin(repair: Repair | undefined): Promise<void> {
    this.#unendorsed = false;
    const written = [this.#own(this.#keyLine())];
    if (repair !== undefined)
      written.push(this.#own(this.#line(repairParts(repair, this.#writing()))));
    await Promise.all(written);
    if (repair !== undefined)
      this.#settings.logger.warn({ directory: this.#directory, ...repair }, 'audit log repaired');
    await this.#checkpoints.cover(this.#writer.records);
  }

  async #covered(written: Promise<Written>): Promise<Written> {
    const where = await written;
    // The record is durable all the same: what went wrong was logged.
    await this.#checkpoints.cover(where.index + 1).catch(() => {});
    return where;
  }

  #refuseWhileUnable(): void {
    if (this.#stranger !== undefined)
      throw foreign(this.#directory, this.#svid.id.toString(), this.#stranger);
    if (this.#writer.waitingBytes > MOST_WAITING_BYTES) {
      const cause = new Error(`${this.#writer.waitingBytes} bytes wait to be written`);
      throw unavailable(this.#directory, cause);
    }
  }

  /** What the log has to say about itself goes in front of what is appended next. */
  #announce(): void {
    const outage = this.#outage;
    if (outage !== undefined) {
      this.#outage = undefined;
      this.#own(this.#line(outageParts(outage, this.#writing()))).catch(() => {
        // It goes on; what was refused since has been counted anew.
        const refused = outage.refused + (this.#outage?.refused ?? 0);
        this.#outage = { ...outage, refused };
      });
    }
    if (this.#unendorsed) {
      // Should it not fit, nothing is appended before one does.
      const line = this.#keyLine();
      this.#unendorsed = false;
      this.#own(line).catch(() => {
        this.#unendorsed = true;
      });
    }
  }

  #keyLine(): string {
    const endorsed = {
      origin: this.#setting.origin,
      index: this.#writer.next,
      key: this.#signer.key,
    };
    return this.#line(keyParts(endorse(this.#svid, endorsed), this.#writing()));
  }

  #line(parts: RecordParts): string {
    return ownLine(parts, this.#writer.next, this.#setting);
  }

  #writing(): Writing {
    return { agent: this.#svid.id.toString(), time: this.#settings.clock.now() };
  }

  async #own(line: string): Promise<void> {
    this.#ownWaiting++;
    await this.#writer.append(line);
    this.#ownWaiting--;
  }

  #onDurable(lines: Buffer): void {
    this.#signer.take(lines);
    this.#checkpoints.onDurable(this.#writer.records);
    if (this.#settings.copyTo !== undefined) this.#copy(lines, this.#settings.copyTo);
  }

  #copy(lines: Buffer, copyTo: Logger): void {
    for (const line of lines.toString('utf8', 1, lines.length - 1).split('\n')) {
      const record = JSON.parse(line) as { readonly message: string };
      try {
        copyTo.info(record, record.message);
      } catch (err) {
        this.#settings.logger.error({ err }, 'copy of an audit record not taken');
      }
    }
  }

  #onRefused(cause: unknown, records: number): Error {
    const refused = records - this.#ownWaiting;
    this.#ownWaiting = 0;
    this.#outage = {
      since: this.#outage?.since ?? this.#settings.clock.now(),
      refused: refused + (this.#outage?.refused ?? 0),
      code: this.#outage?.code ?? codeOf(cause),
    };
    const fields = { directory: this.#directory, records: refused, err: cause };
    this.#settings.logger.error(fields, 'audit records not written');
    this.#checkpoints.onRefused();
    return unavailable(this.#directory, cause);
  }

  #onUnsigned(cause: unknown): Error {
    const fields = { directory: this.#directory, err: cause };
    this.#settings.logger.error(fields, 'audit checkpoint not written');
    return unavailable(this.#directory, cause);
  }

  /** Each SVID that replaces the one before endorses the log key. */
  async #watch(identity: Identity): Promise<void> {
    const { signal } = this.#watching;
    try {
      for await (const { svid } of identity.x509.updates({ signal })) {
        if (svid !== undefined && !isSame(svid, this.#svid)) this.#rotate(svid);
      }
    } catch (err) {
      if (!signal.aborted)
        this.#settings.logger.error({ err }, 'audit log no longer follows the identity');
    }
  }

  #rotate(svid: X509Svid): void {
    this.#stranger = svid.id.equals(this.#svid.id) ? undefined : svid.id.toString();
    if (this.#stranger !== undefined) return;
    this.#svid = svid;
    this.#unendorsed = true;
    try {
      this.#announce();
    } catch (err) {
      this.#settings.logger.error({ err }, 'audit log cannot be endorsed');
    }
  }
}

function nameLog({ id }: X509Svid): string {
  // C2SP tlog-checkpoint: an origin is a URL without its scheme; a process has as many logs as directories.
  return `${id.toString().slice('spiffe://'.length)}/audit/${randomBytes(8).toString('hex')}`;
}

function isSame(a: X509Svid, b: X509Svid): boolean {
  return Buffer.compare(a.certificates[0] as Uint8Array, b.certificates[0] as Uint8Array) === 0;
}

/** An event without the digest of a result that the log is not to hold. */
function withheld(event: AuditEvent, { unhashedResults }: LogSettings): AuditEvent {
  if (event.kind !== 'call.outcome' || event.resultDigest === undefined) return event;
  if (!unhashedResults.has('*') && !unhashedResults.has(event.call.tool)) return event;
  const { resultDigest: _, ...rest } = event;
  return rest;
}
