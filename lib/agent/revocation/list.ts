import { SpiffeError } from '../../errors.js';
import type { X509BundleSet } from '../../identity/source.js';
import type { SpiffeId } from '../../identity/spiffe-id.js';
import type { X509Svid } from '../../identity/x509/svid.js';
import { canonicalJson } from '../../internal/canonical-json.js';
import type { JsonRecord } from '../../internal/json.js';
import { isArray, isRecord, memberOf, parseStrictJson } from '../../internal/strict-json.js';
import { verifyIssuer } from '../grant/issuer.js';
import { checkAlgorithm, isSigned, type Jws, readClaims, splitJws } from '../grant/jws.js';
import { certifiedKey, signWith } from '../grant/keys.js';
import { readIssuerChain } from '../grant/presentation.js';
import { isWhole } from '../grant/token.js';

/** The `typ` of a list; with `application/` before it, its media type. */
export const LIST_TYPE = 'spiffe-revocations+jwt';
/** Characters: more than a list of all that one guard may have out. */
export const LONGEST_LIST: number = 8 * 1024 * 1024;
/** A list may be valid for ten minutes, so that no publisher can make its verifiers believe one for longer. */
export const LONGEST_VALID_MS = 600_000;
/** How far ahead of ours a publisher's clock may be, seconds. */
const SKEW = 30;

/** What a list says; see docs/grant.md, "Revocation". */
export interface RevocationList {
  /** Milliseconds since 1970. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** It answers for what its publisher has signed from this instant on, milliseconds since 1970. */
  readonly since: number;
  /** Grows with each change of what is revoked or has ended. */
  readonly sequence: number;
  /** The ids of tokens. */
  readonly revoked: ReadonlySet<string>;
  /** The ids of tasks whose SVIDs may not have expired; `undefined` where the publisher says nothing of tasks. */
  readonly ended: ReadonlySet<string> | undefined;
}

/** What is put into a list. */
export interface ListContent {
  readonly since: number;
  readonly sequence: number;
  readonly ids: readonly string[];
  readonly ended?: readonly string[];
}

/** Signs a list by an X.509-SVID: a compact JWS, its payload in canonical form, the certificates in its `x5c`. */
export function signList(
  svid: X509Svid,
  { since, sequence, ids, ended }: ListContent,
  now: number,
  validForMs: number,
): string {
  const key = certifiedKey(svid.privateKey);
  if (key === undefined)
    throw invalid(`for ${svid.id}`, 'the key of the X.509-SVID is for no algorithm of grants');
  const x5c = svid.certificates.map((der) => Buffer.from(der).toString('base64'));
  const claims: JsonRecord = {
    iss: svid.id.toString(),
    iat: Math.floor(now / 1000),
    exp: Math.floor((now + validForMs) / 1000),
    since_ms: since,
    seq: sequence,
    revoked: ids,
    ...(ended !== undefined && { ended }),
  };
  const header = encode(canonicalJson({ alg: key.algorithm, typ: LIST_TYPE, x5c }));
  const signed = `${header}.${encode(canonicalJson(claims))}`;
  return `${signed}.${Buffer.from(signWith(key, Buffer.from(signed, 'latin1'))).toString('base64url')}`;
}

/**
 * Reads a list that must be by the X.509-SVID of `publisher`, which must verify now; whether it is older than another is
 * not looked at.
 *
 * @throws SpiffeError `ERR_SPIFFE_REVOCATION_LIST_INVALID`
 */
export function verifyList(
  text: string,
  publisher: SpiffeId,
  bundles: X509BundleSet,
  now: number,
): RevocationList {
  const what = `of ${publisher}`;
  const attempt = <T>(why: string, read: () => T): T => {
    try {
      return read();
    } catch (cause) {
      throw invalid(what, why, cause);
    }
  };
  const need = (holds: boolean, why: string): void => {
    if (!holds) throw invalid(what, why);
  };
  need(text.length <= LONGEST_LIST, `it is longer than ${LONGEST_LIST} characters`);
  const jws = attempt('it is no compact JWS', () => splitJws(text, 'list'));
  const chain = attempt('its header has no x5c that can be read', () => chainOf(jws));
  const signer = attempt('the X.509-SVID of its signer does not verify', () =>
    verifyIssuer(chain, bundles, new Date(now)),
  );
  need(signer.id.equals(publisher), `it is signed by ${signer.id}`);
  attempt('its header is not that of a list by this key', () =>
    checkAlgorithm(jws, LIST_TYPE, signer, 'list'),
  );
  need(isSigned(jws, signer), 'its signature does not hold');
  // Nothing of the payload is read before.
  const claims = attempt('its payload cannot be read', () => readClaims(jws, 'list'));
  const [iat, exp, since, sequence] = ['iat', 'exp', 'since_ms', 'seq'].map((name) => {
    const value = memberOf(claims, name);
    if (!isWhole(value)) throw invalid(what, `its ${name} is no whole number`);
    return value;
  }) as [number, number, number, number];
  need(memberOf(claims, 'iss') === publisher.toString(), 'its iss is not its signer');
  need(exp > iat && (exp - iat) * 1000 <= LONGEST_VALID_MS, 'it is not valid for up to 10 minutes');
  need(iat * 1000 <= now + SKEW * 1000, 'it is dated in the future');
  need(since <= now + SKEW * 1000, 'it begins in the future');
  need(exp * 1000 > now, 'it is stale: it has expired');
  const idsIn = (name: string): ReadonlySet<string> => {
    const ids = memberOf(claims, name);
    if (!isArray(ids) || !ids.every((id) => typeof id === 'string'))
      throw invalid(what, `its ${name} is no array of texts`);
    return new Set(ids);
  };
  return {
    issuedAt: iat * 1000,
    expiresAt: exp * 1000,
    since,
    sequence,
    revoked: idsIn('revoked'),
    ended: memberOf(claims, 'ended') === undefined ? undefined : idsIn('ended'),
  };
}

/** RFC 7515 4.1.6. The key in it is believed for the SPIFFE ID that it is verified to be of, and for nothing else. */
function chainOf({ header }: Jws): readonly Uint8Array[] {
  const parameters = parseStrictJson(Buffer.from(header, 'base64url').toString('utf8'));
  const x5c = isRecord(parameters) ? memberOf(parameters, 'x5c') : undefined;
  if (!isArray(x5c) || !x5c.every((each) => typeof each === 'string'))
    throw new TypeError('its header has no x5c');
  return readIssuerChain(x5c);
}

function encode(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64url');
}

/** The error for a list that is not believed. */
export function invalid(what: string, why: string, cause?: unknown): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_REVOCATION_LIST_INVALID',
    `cannot take the list of revoked grants ${what}: ${why}`,
    { cause },
  );
}
