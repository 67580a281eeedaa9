import type { JwtSvid, X509Svid } from 'agent-spiffe';
import { TestCa } from 'agent-spiffe/testing';

export const SERVER = 'spiffe://example.org/tools/search';
export const CLIENT = 'spiffe://example.org/agents/researcher';
export const AUDIENCE = 'tools';
export const IN_FLIGHT = 8;

/** What all sides of the comparison work on: the same certificates, keys and tokens. */
export interface Material {
  readonly ca: TestCa;
  readonly server: X509Svid;
  readonly client: X509Svid;
  /** Signs its tokens with RS256. */
  readonly rsa: TestCa;
  readonly es256: JwtSvid;
  readonly rs256: JwtSvid;
}

export async function makeMaterial(): Promise<Material> {
  const ca = TestCa.create('example.org');
  const rsa = TestCa.create('example.org', { keyType: 'rsa-2048' });
  return {
    ca,
    server: ca.issue(SERVER),
    client: ca.issue(CLIENT),
    rsa,
    es256: await ca.issueJwt(CLIENT, { audience: AUDIENCE }),
    rs256: await rsa.issueJwt(CLIENT, { audience: AUDIENCE }),
  };
}
