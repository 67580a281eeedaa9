import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { AuditLog } from '../../agent/audit/log.js';
import { checkMembers } from '../../agent/options.js';
import { peerOf } from '../../bindings/http/peer.js';
import { SpiffeError } from '../../errors.js';
import { type PeerPredicate, type PeerRule, parsePeerRule } from '../../identity/peer-rule.js';
import type { Identity } from '../../identity/source.js';
import type { SpiffeId } from '../../identity/spiffe-id.js';
import { type Clock, SYSTEM_CLOCK } from '../../internal/clock.js';
import { goneSignal } from '../../internal/gone-signal.js';
import { checkDuration, checkOptions } from '../../internal/options.js';
import { quote } from '../../internal/quote.js';
import { checkLogger, type Logger, SILENT } from '../../log.js';
import { checkIdentity } from '../../tls/identity.js';
import { Issuance } from './issuance.js';
import type { Mint } from './mint.js';
import { Refusal } from './refusal.js';

/** A credential that is about to be made, as a policy is asked about it. */
export interface TaskCredentialQuestion {
  /** Whose task it is, as mutual TLS has proved. */
  readonly agent: SpiffeId;
  readonly taskId: string;
  /** The SPIFFE ID to be certified. */
  readonly id: SpiffeId;
  /** What the task is for, in the agent's words. */
  readonly purpose: string;
  /** When the task ends, as the agent says. */
  readonly expiresAt: Date;
  /** Whether the task has had a credential before. */
  readonly renewal: boolean;
}

/** Options of {@link createTaskAuthority}. */
export interface TaskAuthorityOptions {
  /** Who the authority is. It makes credentials for agents of its own trust domain. */
  readonly identity: Identity;
  /** Signs: `mintWithSpire`, or `mintWithDevelopmentServer`. */
  readonly mint: Mint;
  /** Whose tasks may have credentials. There is no default. */
  readonly allow: PeerRule;
  /** Decides about each; what it throws or rejects with refuses. Default: all that `allow` lets in. */
  readonly policy?: (question: TaskCredentialQuestion) => boolean | Promise<boolean>;
  /** The longest life of a credential: from one second. Those who share no process with the task believe it so long. Default: 300,000. */
  readonly maxTtlMs?: number;
  /**
   * How many tasks one agent may have whose time is not over; the authority does not hear that one ended before, and keeps
   * less than a kilobyte for each. Default: 100,000.
   */
  readonly maxTasks?: number;
  /** Where each credential stands before it is given out; closed with the authority. Default: there is no such record. */
  readonly audit?: AuditLog;
  readonly logger?: Logger;
}

/** Answers agents that ask for credentials of their tasks. A handler for `createServer`, at whatever path. */
export interface TaskAuthority extends RequestListener {
  /** Refuses from now on, and closes the audit log. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const EXAMPLE = "{ identity, mint: mintWithSpire({ … }), allow: 'spiffe://example.org/agents/*' }";
const MEMBERS = ['identity', 'mint', 'allow', 'policy', 'maxTtlMs', 'maxTasks', 'audit', 'logger'];
const LONGEST_BODY = 16 * 1024;

/**
 * Creates an authority for credentials of tasks: a handler for a server over mutual TLS. It makes
 * `<ID of the caller>/task/<id>` for the caller, for a key that signed the request, and nothing else.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, `ERR_SPIFFE_PEER_RULE_INVALID`; what `identity.x509.svid()` and the
 * opening of the audit log throw.
 */
export function createTaskAuthority(options: TaskAuthorityOptions): Promise<TaskAuthority> {
  return createTaskAuthorityWith(options, SYSTEM_CLOCK);
}

/** The same, with the clock in the caller's hand. */
export async function createTaskAuthorityWith(
  options: TaskAuthorityOptions,
  clock: Clock,
): Promise<TaskAuthority> {
  checkMembers('the options of a task authority', checkOptions(options, EXAMPLE), MEMBERS);
  const { identity, mint, policy, audit, maxTasks = 100_000 } = options;
  const accepts = parsePeerRule(options.allow);
  const logger = checkLogger(options.logger ?? SILENT);
  for (const [name, given] of [
    ['mint', mint],
    ['policy', policy ?? (() => true)],
  ] as const) {
    if (typeof given !== 'function') throw invalid(name, given, 'give a function');
  }
  if (!Number.isSafeInteger(maxTasks) || maxTasks < 1)
    throw invalid('maxTasks', maxTasks, 'give a whole number from 1');
  const maxTtlMs = checkDuration('maxTtlMs', options.maxTtlMs ?? 300_000);
  if (maxTtlMs < 1_000) throw invalid('maxTtlMs', maxTtlMs, 'an SVID lives for a second at least');
  const { id } = checkIdentity(identity).x509.svid();
  await audit?.open(identity);
  const settings = { id, mint, policy, maxTtlMs, maxTasks, audit, clock, logger };
  const issuance = new Issuance(settings);
  let closed: Promise<void> | undefined;
  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    void answer(request, response, (body) => {
      if (closed !== undefined) throw new Refusal(503, 'the authority is closed');
      const caller = peerOf(request);
      if (!isAllowed(accepts, caller.id)) throw new Refusal(403, `${caller.id} is not let in`);
      return issuance.issue(caller, body, goneSignal(response));
    }).catch((error: unknown) => logger.error({ err: error }, 'a request could not be answered'));
  };
  const close = (): Promise<void> => {
    closed ??= issuance.idle().then(() => audit?.close());
    return closed;
  };
  return Object.assign(handler, { close, [Symbol.asyncDispose]: close });

  async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    issue: (body: string) => Promise<readonly Uint8Array[]>,
  ): Promise<void> {
    try {
      if (request.method !== 'POST') throw new Refusal(405, 'send a POST');
      const certificates = await issue(await readBody(request));
      send(response, 200, {
        certificates: certificates.map((der) => Buffer.from(der).toString('base64')),
      });
    } catch (error) {
      const { status, message } = refusalOf(error);
      logger.warn({ err: error, peer: shownPeer(request), status }, 'gave a task no credential');
      send(response, status, { error: message });
    }
  }
}

function invalid(name: string, given: unknown, hint: string): SpiffeError {
  const shown = typeof given === 'number' ? String(given) : quote(given);
  return new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take ${shown} as ${name} of a task authority: ${hint}`,
  );
}

function isAllowed(accepts: PeerPredicate, id: SpiffeId): boolean {
  try {
    return accepts(id);
  } catch (cause) {
    throw new Refusal(403, `the rule failed when asked about ${id}`, cause);
  }
}

function shownPeer(request: IncomingMessage): string | undefined {
  try {
    return peerOf(request).id.toString();
  } catch {
    return undefined;
  }
}

/** What the caller is told: its own mistakes whole, of our failures no more than that they are. */
function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const code = error instanceof SpiffeError ? error.code : undefined;
  if (code === 'ERR_SPIFFE_PEER_UNKNOWN' || code === 'ERR_SPIFFE_PEER_NO_CERTIFICATE')
    return new Refusal(403, 'the caller showed no SVID');
  if (code === 'ERR_SPIFFE_CREDENTIAL_DENIED') return new Refusal(403, 'the issuer refuses it');
  return new Refusal(503, 'no credential can be made at present');
}

/** By events: to iterate over a request that comes in one piece takes longer than to read it. */
function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let length = 0;
    request.on('data', (piece: Buffer) => {
      length += piece.length;
      if (length <= LONGEST_BODY) pieces.push(piece);
      else reject(new Refusal(413, 'the request is too long'));
    });
    request.once('end', () => resolve(Buffer.concat(pieces).toString('utf8')));
    request.once('close', () => reject(new Refusal(400, 'the request was cut off')));
  });
}

function send(response: ServerResponse, status: number, body: object): void {
  if (response.destroyed) return;
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  });
  response.end(text);
}
