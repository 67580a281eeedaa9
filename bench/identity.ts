import { verify, X509Certificate } from 'node:crypto';
import { SpiffeId, verifyX509Svid, X509Bundles } from 'agent-spiffe';
import { VerifiedChains } from '#lib/identity/x509/verified-chains.js';
import type { GoSpiffe } from './go.js';
import type { Material } from './material.js';
import { type Comparison, perSecond } from './rounds.js';

/** What it costs to judge a chain and to parse an ID. */
export function identityComparisons(
  { ca, client }: Material,
  go: GoSpiffe | undefined,
): Comparison[] {
  const bundles = X509Bundles.of(ca.bundle);
  const leaf = client.certificates[0] as Uint8Array;
  const anchorKey = new X509Certificate(ca.bundleDer).publicKey;
  const { signed, signature } = split(leaf);
  const known = new VerifiedChains();
  const text = 'spiffe://example.org/agents/researcher';
  return [
    {
      name: 'chain verified (P-256, one link, decoded afresh); bare: the check of its signature alone',
      unit: '/s',
      ours: () => perSecond(() => verifyX509Svid(client.certificates, bundles)),
      rivals: [
        {
          name: 'bare',
          mark: { atLeast: 0.75 },
          run: () => perSecond(() => verify('sha256', signed, anchorKey, signature)),
        },
        ...(go ? [go.rival('chain', { atLeast: 1 })] : []),
      ],
    },
    {
      name: 'peer that has been verified before, as the TLS gate remembers it',
      unit: '/s',
      floor: 300_000,
      ours: () => perSecond(() => known.verify(client.certificates, bundles)),
    },
    {
      name: 'SPIFFE ID parsed',
      unit: '/s',
      ours: () => perSecond(() => SpiffeId.parse(text)),
      rivals: go ? [go.rival('id')] : [],
    },
  ];
}

/** The signed part and the signature of a certificate whose lengths take two bytes each. */
function split(der: Uint8Array): { signed: Uint8Array; signature: Uint8Array } {
  const bytes = Buffer.from(der);
  const signedEnd = 4 + 4 + bytes.readUInt16BE(6);
  const signed = bytes.subarray(4, signedEnd);
  const algorithmEnd = signedEnd + 2 + (bytes[signedEnd + 1] as number);
  return { signed, signature: bytes.subarray(algorithmEnd + 3) };
}
