import { createHash } from 'node:crypto';
import type { Peer } from '../../identity/source.js';
import { SpiffeId } from '../../identity/spiffe-id.js';
import type { TrustDomain } from '../../identity/trust-domain.js';
import { Certificate } from '../../identity/x509/certificate.js';
import {
  type CertificateRequest,
  readCertificateRequest,
} from '../../identity/x509/certificate-request.js';
import { isJsonObject, member } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import { Refusal } from './refusal.js';

/** What an agent sends. */
export interface SentRequest {
  readonly csr: Uint8Array;
  readonly purpose: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** What it asks for, judged. */
export interface AskedCredential {
  readonly agent: SpiffeId;
  readonly taskId: string;
  /** The ID to certify. */
  readonly id: SpiffeId;
  readonly spki: Uint8Array;
  /** SHA-256 of the key, in base64url. */
  readonly key: string;
}

const TASK = 'task';
const LONGEST_PURPOSE = 1024;

/** @throws Refusal */
export function parseRequest(text: string): SentRequest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Refusal(400, 'the request is not JSON', cause);
  }
  if (!isJsonObject(value)) throw new Refusal(400, 'the request is no JSON object');
  const csr = member(value, 'csr');
  const purpose = member(value, 'purpose');
  const expiresAt = member(value, 'expiresAt');
  if (typeof csr !== 'string' || Buffer.from(csr, 'base64').toString('base64') !== csr)
    throw new Refusal(400, 'csr is not base64');
  if (typeof purpose !== 'string' || purpose.length > LONGEST_PURPOSE || !purpose.isWellFormed())
    throw new Refusal(400, `purpose is no text of at most ${LONGEST_PURPOSE} characters`);
  if (typeof expiresAt !== 'number' || !Number.isSafeInteger(expiresAt))
    throw new Refusal(400, 'expiresAt is no whole number of milliseconds');
  return { csr: Buffer.from(csr, 'base64'), purpose, expiresAt };
}

/** The URI that a request asks for, and its key. @throws Refusal */
export function readCsr(csr: Uint8Array): CertificateRequest {
  try {
    return readCertificateRequest(csr);
  } catch (cause) {
    throw new Refusal(400, `the certificate request: ${(cause as Error).message}`, cause);
  }
}

/**
 * Holds a request to what this caller may ask for: an ID right below its own, for a key that is not its own.
 *
 * @throws Refusal
 */
export function judge(
  { uri, spki }: CertificateRequest,
  caller: Peer,
  trustDomain: TrustDomain,
): AskedCredential {
  const agent = caller.id;
  if (!agent.memberOf(trustDomain))
    throw new Refusal(403, `${agent} lies in another trust domain than ${trustDomain}`);
  // What a task may do is for its agent to ask, and for no task.
  if (agent.path.split('/').includes(TASK))
    throw new Refusal(403, `${agent} is a task itself, or looks like one`);
  const prefix = `${agent}/${TASK}/`;
  const taskId = uri.startsWith(prefix) ? uri.slice(prefix.length) : '';
  if (taskId === '' || taskId.includes('/'))
    throw new Refusal(403, `${quote(uri)} is no task of ${agent}`);
  let id: SpiffeId;
  try {
    id = SpiffeId.parse(uri);
  } catch (cause) {
    throw new Refusal(400, `${quote(uri)} is no SPIFFE ID`, cause);
  }
  const [leaf] = caller.chain;
  if (leaf === undefined || sameBytes(Certificate.decode(leaf).spki, spki))
    throw new Refusal(403, 'the key is that of the agent; a task has one of its own');
  const key = createHash('sha256').update(spki).digest('base64url');
  return { agent, taskId, id, spki, key };
}

export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
