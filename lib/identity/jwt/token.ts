import { SpiffeError } from '../../errors.js';
import { decodeBase64url } from '../../internal/base64url.js';
import { BoundedMap } from '../../internal/bounded-map.js';
import { type JsonObject, member, parseJsonObject } from '../../internal/json.js';
import { SpiffeId } from '../spiffe-id.js';
import { JWT_ALGORITHMS, type JwtAlgorithm } from './algorithms.js';

const LONGEST = 64 * 1024;
/** Seconds from 1970 to the last instant of a Date (ECMAScript 21.4.1.1). */
const FARTHEST = 8.64e12;
/** An issuer writes the same header again and again. */
const MOST_HEADERS = 100;
const LONGEST_KNOWN_HEADER = 512;

interface Header {
  readonly algorithm: JwtAlgorithm;
  readonly keyId: string | undefined;
}

const knownHeaders = new BoundedMap<string, Header>(MOST_HEADERS);

/** A JWT-SVID whose form and claims hold; who signed it is not known yet. */
export interface DecodedToken {
  readonly algorithm: JwtAlgorithm;
  readonly keyId: string | undefined;
  readonly id: SpiffeId;
  readonly audience: readonly string[];
  /** Seconds since 1970, fractions allowed. */
  readonly expires: number;
  /** Minus infinity where the token has none. */
  readonly notBefore: number;
  readonly claims: JsonObject;
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * Takes a token apart by JWT-SVID §2 and §3 (JWS compact serialization, canonical base64url, strict UTF-8 and JSON).
 *
 * @throws SpiffeError `ERR_SPIFFE_JWT_SVID_INVALID`; the message holds no part of the token but its subject.
 */
export function decodeToken(token: string): DecodedToken {
  if (typeof token !== 'string') throw invalid('the token is not a string');
  if (token.length > LONGEST) throw invalid(`the token is longer than ${LONGEST} characters`);
  const first = token.indexOf('.');
  const second = token.indexOf('.', first + 1);
  const head = token.slice(0, first);
  const body = token.slice(first + 1, second);
  const sign = token.slice(second + 1);
  if (second === -1 || head === '' || body === '' || sign === '' || sign.includes('.')) {
    throw invalid(
      'the token is not three parts joined by dots (JWT-01); give the token alone, without "Bearer "',
    );
  }
  const { algorithm, keyId } = knownHeaders.peek(head) ?? readHeader(head);
  const signature = decodeBase64url(sign);
  if (signature === undefined) throw invalid('the signature is not base64url (JWT-01)');
  const claims = parseObject(body, 'payload');
  return {
    algorithm,
    keyId,
    id: readSubject(claims),
    audience: readAudience(claims),
    expires: readTime(claims, 'exp') ?? missing('exp', 'JWT-14'),
    notBefore: readTime(claims, 'nbf') ?? Number.NEGATIVE_INFINITY,
    claims,
    signed: Buffer.from(token.slice(0, second), 'latin1'),
    signature,
  };
}

function readHeader(part: string): Header {
  const object = parseObject(part, 'header');
  // JWT-04: the algorithm is judged before anything else.
  const algorithm = readAlgorithm(object);
  checkHeader(object);
  const header = { algorithm, keyId: readKeyId(object) };
  // A copy: a part of a string holds the whole of it, which is the token here.
  if (part.length <= LONGEST_KNOWN_HEADER)
    knownHeaders.set(Buffer.from(part, 'latin1').toString('latin1'), header);
  return header;
}

function parseObject(part: string, what: string): JsonObject {
  const bytes = decodeBase64url(part);
  if (bytes === undefined) throw invalid(`the ${what} is not base64url (JWT-01)`);
  const object = parseJsonObject(bytes);
  if (object === undefined) throw invalid(`the ${what} is not a JSON object (RFC 7519 7.2)`);
  return object;
}

function readAlgorithm(header: JsonObject): JwtAlgorithm {
  // Whatever is no string is under no key of the map either.
  const algorithm = JWT_ALGORITHMS.get(member(header, 'alg') as string);
  if (algorithm === undefined)
    throw invalid(`its alg is none of ${[...JWT_ALGORITHMS.keys()].join(' ')} (JWT-04)`);
  return algorithm;
}

function checkHeader(header: JsonObject): void {
  const type = member(header, 'typ');
  if (type !== undefined && type !== 'JWT' && type !== 'JOSE')
    throw invalid('its typ is neither JWT nor JOSE (JWT-08)');
  // RFC 7515 §4.1.11: what it lists must be understood, and we understand no extension.
  if (Object.hasOwn(header, 'crit')) throw invalid('its header has crit (JWT-03)');
}

function readKeyId(header: JsonObject): string | undefined {
  const keyId = member(header, 'kid');
  if (keyId !== undefined && typeof keyId !== 'string')
    throw invalid('its kid is not a string (RFC 7515 4.1.4)');
  return keyId;
}

function readSubject(claims: JsonObject): SpiffeId {
  const subject = member(claims, 'sub');
  if (typeof subject !== 'string') throw invalid('it has no subject (JWT-09)');
  const id = parseSubject(subject);
  if (id.path === '')
    throw invalid(`its subject ${id} names a trust domain, not a workload (A-05)`);
  return id;
}

function parseSubject(subject: string): SpiffeId {
  try {
    return SpiffeId.parse(subject);
  } catch (cause) {
    throw invalid('its subject is not a SPIFFE ID (JWT-09)', cause);
  }
}

function readAudience(claims: JsonObject): readonly string[] {
  const audience = member(claims, 'aud');
  if (typeof audience === 'string') return [audience];
  const list: readonly unknown[] = Array.isArray(audience) ? audience : [];
  if (list.length === 0 || !list.every((value) => typeof value === 'string')) {
    throw invalid('its audience is neither a string nor a list of strings (JWT-10)');
  }
  return list;
}

function readTime(claims: JsonObject, name: string): number | undefined {
  const value = member(claims, name);
  if (value === undefined) return undefined;
  // Also bounds it: whoever waits for that instant holds it in a Date.
  if (typeof value !== 'number' || !(Math.abs(value) <= FARTHEST))
    throw invalid(`its ${name} is not a number of seconds that a date can hold (RFC 7519 2)`);
  return value;
}

function missing(name: string, rule: string): never {
  throw invalid(`it has no ${name} (${rule})`);
}

function invalid(why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_JWT_SVID_INVALID', `not a valid JWT-SVID: ${why}`, { cause });
}
