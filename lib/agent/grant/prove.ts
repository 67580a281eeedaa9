import { randomUUID } from 'node:crypto';
import { canonicalJson } from '../../internal/canonical-json.js';
import { isRecord, memberOf } from '../../internal/strict-json.js';
import { checkText } from '../options.js';
import { demand } from './grant-error.js';
import { hashOf, readClaims, splitJws } from './jws.js';
import { readArguments } from './proof.js';
import { type GrantSigner, writeJws } from './sign.js';
import { textOf } from './token.js';
import { secondsOf } from './verify.js';

/** A proof for one call. */
export interface ProveGrantOptions {
  /** The last token of the chain that is shown. */
  readonly leaf: string;
  /** The key that holds it. */
  readonly signer: GrantSigner;
  readonly tool: string;
  /** The arguments, as they are sent. */
  readonly argsJson: string;
  /** Whoever the proof is handed to: the SPIFFE ID of the server. Absent only for one that does not ask for it. */
  readonly audience?: string;
  /** What that server gave out to be shown here. */
  readonly nonce?: string;
  /** Default: the wall clock. */
  readonly now?: Date;
}

/**
 * Signs the proof that whoever makes this one call holds the leaf (AAT 7.2). Made anew for each call.
 *
 * @throws SpiffeError `ERR_SPIFFE_GRANT_INVALID` for arguments that cannot be judged as written, such as a number that no
 * double holds, and for a leaf that another key holds; `ERR_SPIFFE_OPTION_INVALID`
 */
export function proveGrant(options: ProveGrantOptions): string {
  const { signer, tool, audience, nonce, now = new Date() } = options;
  const leaf = splitJws(options.leaf, '2c');
  const claims = readClaims(leaf, '2c');
  const confirmation = memberOf(claims, 'cnf');
  const jwk = isRecord(confirmation) ? memberOf(confirmation, 'jwk') : undefined;
  demand(isRecord(jwk) && jwk['x'] === signer.publicJwk.x, '7b', 'its leaf is held by another key');
  const args = canonicalJson(readArguments(options.argsJson, '6b'));
  // The members in the order of RFC 8785.
  const members = [
    ...(audience === undefined ? [] : [`"aat_aud":${textual('its audience', audience)}`]),
    `"aat_hash":"${hashOf(leaf)}"`,
    `"aat_id":${textual('its leaf', textOf(claims, 'jti', '2c'))}`,
    `"aat_tool":${textual('its tool', tool)}`,
    `"hta":${args}`,
    `"iat":${secondsOf(now)}`,
    `"jti":"${randomUUID()}"`,
    ...(nonce === undefined ? [] : [`"nonce":${textual('its nonce', nonce)}`]),
  ];
  return writeJws('aat-pop+jwt', 'Ed25519', `{${members.join(',')}}`, (data) => signer.sign(data));
}

function textual(what: string, text: string): string {
  return canonicalJson(checkText(`${what} in a proof`, text));
}
