import { hash } from 'node:crypto';
import { decodeBase64url } from '../../internal/base64url.js';
import {
  isArray,
  isRecord,
  memberOf,
  parseStrictJson,
  type WrittenRecord,
} from '../../internal/strict-json.js';
import { GrantError } from './grant-error.js';
import { ALGORITHMS, type GrantKey, isSignedBy } from './keys.js';

/** What we write ourselves, which is what comes but for foreign tokens. */
const KNOWN_HEADERS: ReadonlyMap<string, { readonly algorithm: string; readonly type: string }> =
  new Map(
    [...ALGORITHMS].flatMap((algorithm) =>
      (['aat+jwt', 'aat-pop+jwt'] as const).map((type) => [
        headerOf(algorithm, type),
        { algorithm, type },
      ]),
    ),
  );

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A compact JWS taken apart; nothing of it is believed yet. */
export interface Jws {
  /** What is signed: header and payload as they came. */
  readonly signed: string;
  readonly header: string;
  readonly signature: string;
  /** The text of the payload. */
  readonly payload: string;
}

/** The header that we write, encoded. */
export function headerOf(algorithm: string, type: 'aat+jwt' | 'aat-pop+jwt'): string {
  return Buffer.from(`{"alg":"${algorithm}","typ":"${type}"}`).toString('base64url');
}

/** Takes a compact JWS apart as far as its payload (RFC 7515 7.1), in canonical base64url and UTF-8 alone. */
export function splitJws(token: string, step: string): Jws {
  const first = token.indexOf('.');
  const second = token.indexOf('.', first + 1);
  if (first < 1 || second === -1 || token.includes('.', second + 1))
    throw new GrantError(step, 'a token is not three parts joined by dots');
  return {
    signed: token.slice(0, second),
    header: token.slice(0, first),
    payload: decodeText(token.slice(first + 1, second), step),
    signature: token.slice(second + 1),
  };
}

/** The base64url of the SHA-256 of what is signed: what `par_hash` and `aat_hash` hold. */
export function hashOf({ signed }: Jws): string {
  return hash('sha256', signed, 'base64url');
}

/** AAT 3.5: the type, the algorithm, and nothing critical. Gives the algorithm; keys that a header names are not looked at. */
export function readHeader({ header }: Jws, type: string, step: string): string {
  const known = KNOWN_HEADERS.get(header);
  if (known?.type === type) return known.algorithm;
  const parameters = parseObject(decodeText(header, step), step, 'a header');
  const algorithm = memberOf(parameters, 'alg');
  if (typeof algorithm !== 'string' || !ALGORITHMS.has(algorithm))
    throw new GrantError(step, `its alg is none of ${[...ALGORITHMS].join(' ')}`);
  if (memberOf(parameters, 'typ') !== type) throw new GrantError(step, `its typ is not ${type}`);
  // RFC 7515 4.1.11: we understand no extension, and an empty list is not allowed.
  if (Object.hasOwn(parameters, 'crit')) throw new GrantError(step, 'its header has crit');
  return algorithm;
}

/** The header must fit the key: with which algorithm it is used is the key's to say. */
export function checkAlgorithm(jws: Jws, type: string, key: GrantKey, step: string): void {
  const algorithm = readHeader(jws, type, step);
  if (algorithm !== key.algorithm)
    throw new GrantError(
      step,
      `its alg ${algorithm} does not fit the key, which is for ${key.algorithm}`,
    );
}

/** Whether a key signed it. */
export function isSigned({ signed, signature }: Jws, key: GrantKey): boolean {
  const bytes = decodeBase64url(signature);
  return bytes !== undefined && isSignedBy(key, Buffer.from(signed, 'latin1'), bytes);
}

/** The claims of what has been verified. */
export function readClaims({ payload }: Jws, step: string): WrittenRecord {
  return parseObject(payload, step, 'a payload');
}

/** AAT 3.2: text or a list of texts; `undefined` for anything else. */
export function readAudience(claims: WrittenRecord): readonly string[] | undefined {
  const audience = memberOf(claims, 'aud');
  if (typeof audience === 'string') return [audience];
  if (!isArray(audience) || !audience.every((value) => typeof value === 'string')) return undefined;
  return audience;
}

function parseObject(text: string, step: string, what: string): WrittenRecord {
  let value: ReturnType<typeof parseStrictJson>;
  try {
    value = parseStrictJson(text);
  } catch (cause) {
    throw new GrantError(step, `${what} cannot be read: ${(cause as Error).message}`, cause);
  }
  if (!isRecord(value)) throw new GrantError(step, `${what} is no JSON object`);
  return value;
}

function decodeText(part: string, step: string): string {
  const bytes = decodeBase64url(part);
  if (bytes === undefined) throw new GrantError(step, 'a part of a token is not base64url');
  try {
    return UTF8.decode(bytes);
  } catch (cause) {
    throw new GrantError(step, 'a part of a token is not UTF-8', cause);
  }
}
