import { resolve } from 'node:path';
import { SpiffeError } from '../../errors.js';
import type { Identity } from '../../identity/source.js';
import { type Clock, SYSTEM_CLOCK } from '../../internal/clock.js';
import { checkDuration } from '../../internal/options.js';
import { quote } from '../../internal/quote.js';
import { type Logger, SILENT } from '../../log.js';
import { type ArgumentRules, parseArgumentRules } from './argument-rules.js';
import type { AuditEvent } from './events.js';
import type { AuditLog } from './log.js';
import { AuditSession, type LogSettings } from './session.js';

/** How an audit log is written. */
export interface AuditLogOptions {
  /** Which arguments of which tools a record holds as they are, and which not at all. Default: each as a digest. */
  readonly arguments?: ArgumentRules;
  /** Of which tools a record holds no digest of what they return, since it could be guessed; `*` for all. Default: none. */
  readonly unhashedResults?: readonly string[];
  /** A checkpoint is signed at the latest when so many records are below none. Default: 1,000. */
  readonly checkpointRecords?: number;
  /** Or when the first of them is that old, in milliseconds. Default: 5,000. */
  readonly checkpointMs?: number;
  /** A new file is begun when one holds so many bytes. Default: 64 MiB. */
  readonly segmentBytes?: number;
  /** Gets a copy of each record once it is durable, at level info; pino fits. Default: none. */
  readonly copyTo?: Logger;
  /** Is told what happens to the log itself. Default: silent. */
  readonly logger?: Logger;
}

const RECORDS = 1000;
const MS = 5000;
const SEGMENT_BYTES = 64 << 20;
const FEWEST_SEGMENT_BYTES = 1 << 16;

/**
 * An audit log in a directory of its own, created when it is not there: one record a line in files that only grow, in a
 * tree that is signed as it grows (C2SP tlog-checkpoint). One process writes to it at a time; any may verify it.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`.
 */
export function auditLog(directory: string, options: AuditLogOptions = {}): AuditLog {
  return openableLog(directory, options, SYSTEM_CLOCK);
}

/** The same, with a clock to tell the time by. */
export function openableLog(directory: string, options: AuditLogOptions, clock: Clock): AuditLog {
  if (typeof directory !== 'string' || directory === '')
    throw invalid(`cannot take ${quote(directory)} as the directory of an audit log: give a path`);
  const { segmentBytes = SEGMENT_BYTES, checkpointRecords = RECORDS } = options;
  return new FileAuditLog(resolve(directory), {
    ruleOf: parseArgumentRules(options.arguments ?? {}),
    unhashedResults: checkNames(options.unhashedResults ?? []),
    checkpointRecords: checkCount('checkpointRecords', checkpointRecords, 1),
    checkpointMs: checkDuration('checkpointMs', options.checkpointMs ?? MS),
    segmentBytes: checkCount('segmentBytes', segmentBytes, FEWEST_SEGMENT_BYTES),
    copyTo: options.copyTo,
    logger: options.logger ?? SILENT,
    clock,
  });
}

class FileAuditLog implements AuditLog {
  readonly #directory: string;
  readonly #settings: LogSettings;
  #identity: Identity | undefined;
  #opening: Promise<AuditSession> | undefined;
  #session: AuditSession | undefined;
  #closing: Promise<void> | undefined;

  constructor(directory: string, settings: LogSettings) {
    this.#directory = directory;
    this.#settings = settings;
  }

  async open(identity: Identity): Promise<void> {
    if (this.#closing !== undefined) throw this.#notOpen('it was closed');
    if (this.#identity !== undefined && this.#identity !== identity)
      throw invalid(`cannot open the audit log in ${quote(this.#directory)} for a second identity`);
    this.#identity = identity;
    this.#opening ??= AuditSession.open(this.#directory, identity, this.#settings);
    try {
      const session = await this.#opening;
      // Whoever closes it meanwhile waits for it, and closes it.
      if (this.#closing === undefined) this.#session = session;
    } catch (error) {
      // What kept it from opening may be gone the next time.
      this.#opening = undefined;
      throw error;
    }
  }

  append(event: AuditEvent): Promise<{ readonly index: number }> {
    return this.#session?.append(event) ?? Promise.reject(this.#notOpen('it is not open'));
  }

  checkpoint(): Promise<void> {
    return this.#session?.checkpoint() ?? Promise.reject(this.#notOpen('it is not open'));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#session = undefined;
    const session = await this.#opening?.catch(() => undefined);
    await session?.close();
  }

  #notOpen(why: string): SpiffeError {
    return new SpiffeError(
      'ERR_SPIFFE_AUDIT_UNAVAILABLE',
      `cannot write to the audit log in ${quote(this.#directory)}: ${why}`,
    );
  }
}

function checkCount(name: string, count: number, least: number): number {
  if (Number.isSafeInteger(count) && count >= least) return count;
  const shown = typeof count === 'number' ? String(count) : quote(count);
  throw invalid(`cannot take ${shown} as ${name}: give a whole number from ${least} on`);
}

function checkNames(names: unknown): ReadonlySet<string> {
  if (Array.isArray(names) && names.every((name) => typeof name === 'string'))
    return new Set(names as readonly string[]);
  throw invalid(
    `cannot take ${quote(names)} as unhashedResults: give a list of names of tools, or ['*']`,
  );
}

function invalid(message: string): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_OPTION_INVALID', message);
}
