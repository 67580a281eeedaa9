import {
  JwtBundles,
  type JwtFetchOptions,
  type JwtSource,
  type JwtSvid,
  type JwtVerifyOptions,
  verifyJwtSvid,
} from 'agent-spiffe';
import type { TestCa } from 'agent-spiffe/testing';
import { waitFor } from '#lib/internal/abort.js';
import { type StaticIdentity, staticIdentity } from './static-identity.js';

/** Gives tokens of a CA, or whatever the test says, and verifies by bundles that stand still. */
export class StaticJwtSource implements JwtSource {
  /** One for each token that was asked for. */
  readonly asked: JwtFetchOptions[] = [];
  readonly bundles: JwtBundles;
  give: (options: JwtFetchOptions) => Promise<JwtSvid>;

  constructor(ca: TestCa, id: string, federated: readonly TestCa[] = []) {
    this.bundles = JwtBundles.of(...[ca, ...federated].map(({ jwtBundle }) => jwtBundle));
    this.give = ({ audience }) => ca.issueJwt(id, { audience });
  }

  fetch(options: JwtFetchOptions): Promise<JwtSvid> {
    this.asked.push(options);
    return waitFor(this.give(options), options.signal);
  }

  verify(token: string, options: JwtVerifyOptions): Promise<JwtSvid> {
    return verifyJwtSvid(token, this.bundles, options);
  }
}

/** A {@link StaticIdentity} with tokens. */
export interface StaticJwtIdentity extends StaticIdentity {
  readonly jwt: StaticJwtSource;
}

export function jwtIdentity(
  ca: TestCa,
  id: string,
  federated: readonly TestCa[] = [],
): StaticJwtIdentity {
  return { ...staticIdentity(ca, id, federated), jwt: new StaticJwtSource(ca, id, federated) };
}
