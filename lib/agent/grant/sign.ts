import { randomUUID } from 'node:crypto';
import { canonicalJson } from '../../internal/canonical-json.js';
import type { JsonRecord } from '../../internal/json.js';
import type { TaskPublicJwk } from '../task-key.js';
import { headerOf } from './jws.js';

/** A task's key: what it signs with, and by what others know it. */
export interface GrantSigner {
  readonly publicJwk: TaskPublicJwk;
  /** The Ed25519 signature of these bytes. */
  sign(data: Uint8Array): Uint8Array;
}

/** A compact JWS over claims in canonical form (RFC 8785). */
export function writeJws(
  type: 'aat+jwt' | 'aat-pop+jwt',
  algorithm: string,
  claims: JsonRecord | string,
  sign: (data: Uint8Array) => Uint8Array,
): string {
  const signed = `${headerOf(algorithm, type)}.${encode(typeof claims === 'string' ? claims : canonicalJson(claims))}`;
  const signature = Buffer.from(sign(Buffer.from(signed, 'latin1'))).toString('base64url');
  return `${signed}.${signature}`;
}

/** A UUID of version 7 (RFC 9562 5.7): the time in milliseconds, then chance. */
export function uuidV7(ms: number): string {
  const time = ms.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}

function encode(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64url');
}
