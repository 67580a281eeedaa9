import type { JsonObject } from '../../internal/json.js';
import type { SpiffeId } from '../spiffe-id.js';
import { type DecodedToken, decodeToken } from './token.js';

/**
 * A JWT-SVID: a bearer token that says who its holder is, to the audience it names. Immutable. The token is reached by
 * {@link JwtSvid.token} alone; `JSON.stringify`, `util.inspect` and loggers never show it.
 */
export class JwtSvid {
  readonly id: SpiffeId;
  /** What the issuer says the identity is for; empty when it says nothing. */
  readonly hint: string;
  readonly audience: readonly string[];
  /** All claims of the payload, frozen through and through: several callers may be given this object. */
  readonly claims: JsonObject;
  readonly #expires: number;
  readonly #token: string;

  private constructor(decoded: DecodedToken, token: string, hint: string) {
    this.id = decoded.id;
    this.hint = hint;
    this.audience = Object.freeze(decoded.audience);
    this.claims = freezeAll(decoded.claims);
    this.#expires = decoded.expires;
    this.#token = token;
    Object.freeze(this);
  }

  /**
   * Takes a token that was just fetched for ourselves: its form and claims are held to JWT-SVID §2 and §3, its
   * signature is for the one who receives it.
   *
   * @throws SpiffeError `ERR_SPIFFE_JWT_SVID_INVALID`
   */
  static parseUnverified(token: string, options: { readonly hint?: string } = {}): JwtSvid {
    return new JwtSvid(decodeToken(token), token, options.hint ?? '');
  }

  /** @internal */
  static fromDecoded(decoded: DecodedToken, token: string): JwtSvid {
    return new JwtSvid(decoded, token, '');
  }

  /** From this instant on it is expired. Each call gives a Date of its own, since none can be frozen. */
  get expiresAt(): Date {
    return new Date(this.#expires * 1000);
  }

  /** The token itself. Whoever has it passes for this workload at its audience until it expires. */
  get token(): string {
    return this.#token;
  }

  /** What is worth a line in a log: neither the token nor its claims. */
  toJSON(): object {
    const { id, hint, audience, expiresAt } = this;
    return { id: id.toString(), hint, audience, expiresAt };
  }
}

/** Without recursion: a payload may nest deeper than the stack is. */
function freezeAll<T extends object>(root: T): T {
  const open: object[] = [root];
  for (const value of open) {
    Object.freeze(value);
    for (const part of Object.values(value) as readonly unknown[])
      if (typeof part === 'object' && part !== null) open.push(part);
  }
  return root;
}
