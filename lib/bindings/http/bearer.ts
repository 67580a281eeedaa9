import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';
import { answer, type ForbiddenResponse } from './peer.js';

/** What a request shows by its Authorization: a token, nothing that is for us, or what RFC 6750 does not allow. */
export type Credentials =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'none' }
  | { readonly kind: 'malformed'; readonly reason: string };

/** RFC 9110 §11.1: a scheme in whichever case. One that goes on after these letters is another. */
const SCHEME = /^bearer(?![\w!#$%&'*+.^`|~-])/i;
/** RFC 6750 §2.1: blanks, then one token and nothing else. */
const TOKEN = /^ +([\w\-.~+/]+=*)$/;

/**
 * Reads the token of a request: from its raw headers, since of several Authorizations Node would show one, and from
 * nowhere else. One in the query or the body (RFC 6750 §2.2, §2.3) is not looked for.
 */
export function readCredentials(request: { readonly rawHeaders: readonly string[] }): Credentials {
  const { rawHeaders } = request;
  const [value = '', ...others] = rawHeaders.filter(
    (_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'authorization',
  );
  if (others.length > 0)
    return { kind: 'malformed', reason: 'it has more than one Authorization header' };
  const scheme = SCHEME.exec(value);
  // What is of another scheme is no credential for us.
  if (scheme === null) return { kind: 'none' };
  const token = TOKEN.exec(value.slice(scheme[0].length))?.[1];
  return token === undefined
    ? { kind: 'malformed', reason: 'its Authorization is not Bearer and one token' }
    : { kind: 'token', token };
}

/** Why a request is refused; those of RFC 6750 §3.1 by its names. */
export type Fault =
  | 'unauthenticated'
  | 'invalid_request'
  | 'invalid_token'
  | 'insufficient_scope'
  | 'forbidden'
  | 'unavailable';

const STATUS: Readonly<Record<Fault, number>> = {
  unauthenticated: 401,
  invalid_request: 400,
  invalid_token: 401,
  insufficient_scope: 403,
  forbidden: 403,
  unavailable: 503,
};

/** Refuses by RFC 6750 §3. What is wrong with a token is not for whoever sent it to know. */
export function refuse(response: ForbiddenResponse, realm: string, fault: Fault): void {
  // A token would be of no use.
  const challenged = fault !== 'forbidden' && fault !== 'unavailable';
  // §3.1: whoever has shown nothing is told no error.
  const error = fault === 'unauthenticated' ? '' : `, error="${fault}"`;
  if (challenged) response.setHeader('www-authenticate', `Bearer realm="${realm}"${error}`);
  answer(response, STATUS[fault]);
}

/** RFC 9110 §5.6.4, without what would have to be escaped. */
const QUOTABLE = /^[ !#-[\]-~]+$/;

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` */
export function checkRealm(realm: string): string {
  if (typeof realm === 'string' && QUOTABLE.test(realm)) return realm;
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take ${quote(realm)} as realm: give printable ASCII without quotes and backslashes`,
  );
}
