import { createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto';
import { JwtBundles, verifyJwtSvid, Workload } from 'agent-spiffe';
import type { TestCa, WorkloadApiServer } from 'agent-spiffe/testing';
import { jwtVerify } from 'jose';
import type { GoSpiffe } from './go.js';
import { AUDIENCE, type Material } from './material.js';
import { type Comparison, perSecond, perSecondAsync } from './rounds.js';

/** What it costs to judge a token. */
export async function jwtComparisons(
  { ca, rsa, es256, rs256 }: Material,
  go: GoSpiffe | undefined,
  api: WorkloadApiServer,
): Promise<{ comparisons: Comparison[]; close(): Promise<void> }> {
  const options = { audience: AUDIENCE };
  const [esKey, rsKey] = [keyOf(ca), keyOf(rsa)];
  const [esBundles, rsBundles] = [JwtBundles.of(ca.jwtBundle), JwtBundles.of(rsa.jwtBundle)];
  const me = await Workload.open({ address: api.address });
  const known = await me.jwt.fetch(options);
  await me.jwt.verify(known.token, options);
  const fresh = (token: string, bundles: JwtBundles) => (): Promise<unknown> =>
    verifyJwtSvid(token, bundles, options);
  return {
    comparisons: [
      {
        name: 'ES256 token verified, each as if new; bare: the check of its signature alone',
        unit: '/s',
        ours: () => perSecondAsync(fresh(es256.token, esBundles), 1),
        rivals: [
          { name: 'bare', mark: { atLeast: 0.95 }, run: () => perSecond(bare(es256.token, esKey)) },
          ...(go ? [go.rival('ES256', { atLeast: 1.2 })] : []),
        ],
      },
      {
        name: 'ES256 token verified, 32 in flight',
        unit: '/s',
        ours: () => perSecondAsync(fresh(es256.token, esBundles), 32),
        rivals: [
          {
            name: 'jose',
            mark: { atLeast: 1 },
            run: () => perSecondAsync(() => jwtVerify(es256.token, esKey, options), 32),
          },
        ],
      },
      {
        name: 'RS256 token verified, each as if new; bare: the check of its signature alone',
        unit: '/s',
        ours: () => perSecondAsync(fresh(rs256.token, rsBundles), 1),
        rivals: [
          { name: 'bare', run: () => perSecond(bare(rs256.token, rsKey)) },
          ...(go ? [go.rival('RS256')] : []),
        ],
      },
      {
        name: 'token that has been verified before, by workload.jwt',
        unit: '/s',
        floor: 300_000,
        ours: () => perSecondAsync(() => me.jwt.verify(known.token, options), 1),
      },
    ],
    close: () => me.close(),
  };
}

function keyOf(ca: TestCa): KeyObject {
  const { keys } = JSON.parse(Buffer.from(ca.jwtBundleJson).toString()) as { keys: JsonWebKey[] };
  return createPublicKey({ key: keys[0] as JsonWebKey, format: 'jwk' });
}

function bare(token: string, key: KeyObject): () => boolean {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const signed = Buffer.from(`${header}.${payload}`);
  const bytes = Buffer.from(signature, 'base64url');
  const dsaEncoding = 'ieee-p1363';
  return () => verify('sha256', signed, { key, dsaEncoding }, bytes);
}
