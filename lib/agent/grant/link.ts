import type { SpiffeId } from '../../identity/spiffe-id.js';
import type { ArgumentConstraints } from '../constraint/arguments.js';
import { Constraint } from '../constraint/constraint.js';
import type { Labels } from '../flow/labels.js';
import type { GrantBudget, ProfileClaims } from './profile.js';
import type { Token } from './token.js';

/** One token of a verified chain. */
export class GrantLink {
  readonly jti: string;
  /** Who signed it: the issuer of the root, else the holder of the token before. */
  readonly by: SpiffeId;
  /** Who holds it. */
  readonly sub: SpiffeId;
  readonly taskId: string;
  readonly depth: number;
  /** How deep a token below it may be. */
  readonly maxDepth: number;
  /** To whom it may be shown; absent when it does not say. */
  readonly audience?: readonly string[];
  readonly labels: Labels;
  readonly budget?: GrantBudget;
  /** RFC 7638 thumbprint of its holder's key. */
  readonly thumbprint: string;
  /** SHA-256 of its signing input, base64url. */
  readonly hash: string;
  readonly #token: Token;

  /** @internal */
  constructor(token: Token, profile: ProfileClaims, by: SpiffeId) {
    this.#token = token;
    this.jti = token.jti;
    this.by = by;
    this.sub = profile.sub;
    this.taskId = profile.taskId;
    this.depth = token.depth;
    this.maxDepth = token.maxDepth;
    if (token.audience !== undefined) this.audience = Object.freeze([...token.audience]);
    this.labels = profile.labels;
    if (profile.budget !== undefined) this.budget = profile.budget;
    this.thumbprint = token.holder.thumbprint;
    this.hash = token.hash;
    Object.freeze(this);
  }

  /** Each call gives a Date of its own, since none can be frozen. */
  get issuedAt(): Date {
    return new Date(this.#token.iat * 1000);
  }

  get expiresAt(): Date {
    return new Date(this.#token.exp * 1000);
  }

  /** The tools that it allows. */
  get tools(): readonly string[] {
    return [...this.#token.tools.keys()];
  }

  /** What the arguments of a tool may be; `undefined` when the tool is none of its. */
  constraintsOf(tool: string): ArgumentConstraints | undefined {
    const map = this.#token.tools.get(tool);
    if (map === undefined) return undefined;
    return Object.fromEntries([...map].map(([name, each]) => [name, Constraint.parse(each)]));
  }
}
