import { randomUUID } from 'node:crypto';
import { BoundedMap } from '../../internal/bounded-map.js';
import { canonicalJson } from '../../internal/canonical-json.js';
import type { JsonValue } from '../../internal/json.js';
import type { Labels } from '../flow/labels.js';
import { checkText } from '../options.js';
import { demand } from './grant-error.js';
import { splitJws } from './jws.js';
import { readArguments } from './proof.js';
import { type GrantSigner, writeJws } from './sign.js';
import { readHeld } from './token.js';
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
  /** What the holder has read by now; a receiver takes the chain's and these together. Default: it does not say. */
  readonly labels?: Labels;
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
  const { signer, tool, audience, nonce, labels, now = new Date() } = options;
  const leaf = leafOf(options.leaf);
  demand(leaf.x === signer.publicJwk.x, '7b', 'its leaf is held by another key');
  const args = canonicalJson(readArguments(options.argsJson, '6b'));
  // The members in the order of RFC 8785.
  const members = [
    ...(audience === undefined ? [] : [`"aat_aud":${textual('its audience', audience)}`]),
    `"aat_hash":"${leaf.hash}"`,
    `"aat_id":${textual('its leaf', leaf.jti)}`,
    `"aat_tool":${textual('its tool', tool)}`,
    `"hta":${args}`,
    `"iat":${secondsOf(now)}`,
    `"jti":"${randomUUID()}"`,
    ...(nonce === undefined ? [] : [`"nonce":${textual('its nonce', nonce)}`]),
    ...(labels === undefined ? [] : [`"spiffe_labels":${canonicalJson({ ...labels })}`]),
  ];
  return writeJws('aat-pop+jwt', 'Ed25519', `{${members.join(',')}}`, (data) => signer.sign(data));
}

/** What a proof says of a leaf, which is the same for each call of a task. */
interface Leaf {
  readonly jti: string;
  readonly hash: string;
  readonly x: JsonValue | undefined;
}

const knownLeaves = new BoundedMap<string, Leaf>(100);

function leafOf(token: string): Leaf {
  const known = knownLeaves.get(token);
  if (known !== undefined) return known;
  const { jti, hash, jwk } = readHeld(splitJws(token, '2c'));
  const leaf = { jti, hash, x: jwk['x'] };
  knownLeaves.set(token, leaf);
  return leaf;
}

function textual(what: string, text: string): string {
  return canonicalJson(checkText(`${what} in a proof`, text));
}
