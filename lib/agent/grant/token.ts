import type { JsonRecord } from '../../internal/json.js';
import {
  isArray,
  isRecord,
  memberOf,
  plainJson,
  type WrittenJson,
  type WrittenRecord,
} from '../../internal/strict-json.js';
import { type Capabilities, checkNarrower, readCapabilities } from './capabilities.js';
import { demand, GrantError } from './grant-error.js';
import { hashOf, type Jws, readAudience, readClaims } from './jws.js';
import { type HolderKey, readHolderKey, thumbprintUri } from './keys.js';
import type { Limits } from './limits.js';

/** A token whose signature and claims hold. */
export interface Token {
  readonly jti: string;
  readonly iss: string;
  /** Seconds since 1970, as all times here. */
  readonly iat: number;
  readonly exp: number;
  readonly depth: number;
  readonly maxDepth: number;
  readonly holder: HolderKey;
  /** What was written as `cnf.jwk`. */
  readonly jwk: JsonRecord;
  /** `undefined` without `aud`; empty, so that nobody is named, when it is ill-formed. */
  readonly audience: readonly string[] | undefined;
  /** 0 or 1; without an entry there are no tools. */
  readonly entries: number;
  readonly tools: Capabilities;
  /** Of its signing input. */
  readonly hash: string;
  readonly claims: WrittenRecord;
}

/** Steps 3b to 3n, the signature aside. */
export function readRoot(jws: Jws, issuer: string, now: number, limits: Limits): Token {
  const claims = readClaims(jws, '3b');
  const iat = wholeOf(claims, 'iat', '3b');
  const exp = wholeOf(claims, 'exp', '3b');
  demand(memberOf(claims, 'del_depth') === 0, '3c', 'the del_depth of its root is not 0');
  demand(!Object.hasOwn(claims, 'par_hash'), '3d', 'its root has a par_hash');
  checkTimes({ depth: 0, iat, exp }, now, limits);
  demand(exp > iat, '3g', 'its root expires before it was issued');
  demand(exp <= iat + limits.lifetime, '3h', 'its root lives too long');
  const maxDepth = wholeOf(claims, 'del_max_depth', '3i');
  demand(maxDepth <= limits.depth, '3i', `the del_max_depth of its root is above ${limits.depth}`);
  const jti = textOf(claims, 'jti', '3j');
  const iss = memberOf(claims, 'iss');
  demand(iss === issuer, '3k', 'the iss of its root is not the issuer whose key signed it');
  const { holder, jwk } = holderOf(claims, '3l');
  const { entries, tools } = readCapabilities(
    memberOf(claims, 'authorization_details'),
    '3m',
    '3n',
    1,
  );
  const audience = audienceOf(claims);
  return {
    jti,
    iss: issuer,
    iat,
    exp,
    depth: 0,
    maxDepth,
    holder,
    jwk,
    audience,
    entries,
    tools,
    hash: hashOf(jws),
    claims,
  };
}

/** Steps 4b to 4q, the signature aside. */
export function readChild(parent: Token, jws: Jws, now: number, limits: Limits): Token {
  const claims = readClaims(jws, '4b');
  const jti = textOf(claims, 'jti', '4b1');
  const { holder, jwk } = holderOf(claims, '4b2');
  const details = memberOf(claims, 'authorization_details');
  demand(isArray(details), '4b3', 'authorization_details is no array');
  const depth = wholeOf(claims, 'del_depth', '4b4');
  const maxDepth = wholeOf(claims, 'del_max_depth', '4b4');
  const iss = stringOf(claims, 'iss', '4b5');
  const parentHash = stringOf(claims, 'par_hash', '4b5');
  const iat = wholeOf(claims, 'iat', '4b5');
  const exp = wholeOf(claims, 'exp', '4b5');
  demand(
    iss === thumbprintUri(parent.holder.thumbprint),
    '4c',
    'its iss is not the thumbprint of its parent’s key',
  );
  demand(depth === parent.depth + 1, '4d', 'its del_depth is not one more than its parent’s');
  demand(depth <= parent.maxDepth, '4e', 'its parent allows no token below it');
  demand(depth <= limits.depth, '4f', `it is more than ${limits.depth} deep`);
  demand(maxDepth <= parent.maxDepth, '4g', 'its del_max_depth is above its parent’s');
  demand(exp <= parent.exp, '4h', 'it outlives its parent');
  demand(exp > now, '4i', 'it has expired');
  demand(iat >= parent.iat, '4j', 'it was issued before its parent');
  demand(iat <= now + limits.skew, '4k', 'it was issued in the future');
  demand(exp > iat, '4l', 'it expires before it was issued');
  demand(depth <= maxDepth, '4m', 'its del_depth is above its own del_max_depth');
  const { entries, tools } = readCapabilities(details, '4n', '4o', 0);
  checkNarrower(parent.tools, tools);
  demand(parentHash === parent.hash, '4q', 'its par_hash is that of another parent');
  const audience = audienceOf(claims);
  return {
    jti,
    iss,
    iat,
    exp,
    depth,
    maxDepth,
    holder,
    jwk,
    audience,
    entries,
    tools,
    hash: hashOf(jws),
    claims,
  };
}

/** What of a token that has held may have ceased to: steps 3e and 3f, or 4i and 4k. */
export function checkTimes(
  { depth, iat, exp }: Pick<Token, 'depth' | 'iat' | 'exp'>,
  now: number,
  limits: Limits,
): void {
  const [over, early] = depth === 0 ? ['3e', '3f'] : ['4i', '4k'];
  demand(exp > now, over, 'it has expired');
  demand(iat <= now + limits.skew, early, 'it was issued in the future');
}

/** A token of one's own, which is not verified: what it says, wherever it stands in a chain. */
export function readHeld(jws: Jws): Token {
  const step = '2c';
  const claims = readClaims(jws, step);
  const { holder, jwk } = holderOf(claims, step);
  return {
    jti: textOf(claims, 'jti', step),
    iss: textOf(claims, 'iss', step),
    iat: wholeOf(claims, 'iat', step),
    exp: wholeOf(claims, 'exp', step),
    depth: wholeOf(claims, 'del_depth', step),
    maxDepth: wholeOf(claims, 'del_max_depth', step),
    holder,
    jwk,
    audience: audienceOf(claims),
    ...readCapabilities(memberOf(claims, 'authorization_details'), step, step, 0),
    hash: hashOf(jws),
    claims,
  };
}

/** AAT 3.2: digits alone. A number that is written otherwise, or has more digits than a double, is none. */
export function isWhole(value: WrittenJson | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function wholeOf(claims: WrittenRecord, name: string, step: string): number {
  const value = memberOf(claims, name);
  demand(isWhole(value), step, `its ${name} is not a number of digits alone`);
  return value;
}

function stringOf(claims: WrittenRecord, name: string, step: string): string {
  const value = memberOf(claims, name);
  demand(typeof value === 'string', step, `its ${name} is no text`);
  return value;
}

export function textOf(claims: WrittenRecord, name: string, step: string): string {
  const value = stringOf(claims, name, step);
  demand(value !== '', step, `its ${name} is empty`);
  return value;
}

function audienceOf(claims: WrittenRecord): readonly string[] | undefined {
  return Object.hasOwn(claims, 'aud') ? (readAudience(claims) ?? []) : undefined;
}

function holderOf(claims: WrittenRecord, step: string): { holder: HolderKey; jwk: JsonRecord } {
  const confirmation = memberOf(claims, 'cnf');
  const written = isRecord(confirmation) ? memberOf(confirmation, 'jwk') : undefined;
  demand(isRecord(written), step, 'it has no cnf.jwk');
  let jwk: JsonRecord;
  try {
    jwk = plainJson(written) as JsonRecord;
  } catch (cause) {
    throw new GrantError(step, 'its cnf.jwk cannot be read', cause);
  }
  const holder = readHolderKey(jwk);
  demand(
    holder !== undefined,
    step,
    'its cnf.jwk is not a public key for an algorithm of ours, and nothing else',
  );
  return { holder, jwk };
}
