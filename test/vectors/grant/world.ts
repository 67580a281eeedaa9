import { TestCa } from 'agent-spiffe/testing';
import {
  type Json,
  type JsonMap,
  jcs,
  type Link,
  makeToken,
  type Signer,
  seeded,
  sha256,
  signedPart,
  signerOf,
  thumbprint,
} from './craft.js';

/** Seconds since 1970. */
export const NOW = 1_800_000_000;
const HOUR_MS = 3_600_000;
const at = (seconds: number) => (): Date => new Date(seconds * 1000);

export const AGENT = (name: string): string => `spiffe://example.org/agents/${name}`;
export const SERVER = 'spiffe://example.org/tools/mail';
export const OTHER_SERVER = 'spiffe://example.org/tools/bank';
export const URN = 'urn:ietf:params:oauth:jwk-thumbprint:sha-256:';

/** Holders of the first, the second, the third token of a chain, and so on. */
export const HOLDERS = ['orchestrator', 'researcher', 'mailer'].map((name, i) => ({
  id: AGENT(name),
  key: seeded(0x11 * (i + 1)),
}));
export const ATTACKER = seeded(0xee);

const ca = TestCa.create('example.org', { now: at(NOW), ttlMs: HOUR_MS, intermediate: true });
const earlier = TestCa.create('example.org', { now: at(NOW - 7200), ttlMs: HOUR_MS });

/** An SVID with its key, as it signs roots. */
export interface Issuer {
  readonly x5c: readonly string[];
  readonly signer: Signer;
  /** Seconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
}

function issuerBy(authority: TestCa, id: string, alg = 'ES256'): Issuer {
  const { certificates, privateKey, notBefore, notAfter } = authority.issue(id);
  return {
    x5c: certificates.map((der) => Buffer.from(der).toString('base64')),
    signer: signerOf(privateKey, alg),
    notBefore: notBefore.getTime() / 1000,
    notAfter: notAfter.getTime() / 1000,
  };
}

export const ISSUER = issuerBy(ca, AGENT('orchestrator'));
/** Of another workload, by the same authority. */
export const OTHER_ISSUER = issuerBy(ca, AGENT('impostor'));
/** Its life ended an hour ago. */
export const EXPIRED_ISSUER = issuerBy(earlier, AGENT('orchestrator'));
/** Of the same name, by an authority that is not in the bundle. */
export const UNTRUSTED_ISSUER = issuerBy(
  TestCa.create('example.org', { now: at(NOW), ttlMs: HOUR_MS }),
  AGENT('orchestrator'),
);
/** Of a trust domain without a bundle. */
export const FOREIGN_ISSUER = issuerBy(
  TestCa.create('other.test', { now: at(NOW), ttlMs: HOUR_MS }),
  'spiffe://other.test/agents/orchestrator',
);
const byKind = (
  keyType: 'ec-p384' | 'ec-p521' | 'rsa-2048',
  alg: string,
): Issuer & { ca: TestCa } => {
  const own = TestCa.create('example.org', { now: at(NOW), ttlMs: HOUR_MS, keyType });
  return { ...issuerBy(own, AGENT('orchestrator'), alg), ca: own };
};
export const ISSUER_P384 = byKind('ec-p384', 'ES384');
export const ISSUER_P521 = byKind('ec-p521', 'ES512');
export const ISSUER_RSA = byKind('rsa-2048', 'PS256');
/** The same key, used by an algorithm that is not on the list. */
export const ISSUER_RS256: Issuer = {
  ...ISSUER_RSA,
  signer: { ...ISSUER_RSA.signer, alg: 'RS256' },
};

/** All of them. */
export const ISSUERS: Readonly<Record<string, Issuer>> = {
  orchestrator: ISSUER,
  impostor: OTHER_ISSUER,
  expired: EXPIRED_ISSUER,
  untrusted: UNTRUSTED_ISSUER,
  foreign: FOREIGN_ISSUER,
  p384: ISSUER_P384,
  p521: ISSUER_P521,
  rsa: ISSUER_RSA,
};

/** What a verifier trusts: base64 DER by trust domain. */
export const BUNDLES = {
  'example.org': [ca, earlier, ISSUER_P384.ca, ISSUER_P521.ca, ISSUER_RSA.ca].map((authority) =>
    Buffer.from(authority.bundleDer).toString('base64'),
  ),
};

export const WILDCARD = { constraint_type: 'wildcard' };
export const exactly = (value: Json): JsonMap => ({ constraint_type: 'exact', value });

/** What a root allows unless a case says otherwise. */
export const TOOLS: JsonMap = {
  send: {
    to: { constraint_type: 'one_of', values: ['ann@acme.example', 'bob@acme.example'] },
    body: WILDCARD,
  },
  search: { q: WILDCARD },
};
export const details = (tools: Json | undefined): Json => [
  { type: 'attenuating_agent_token', tools },
];
export const ARGS = '{"body":"hello","to":"ann@acme.example"}';

/** A chain: the root, then a child for each further link, each by the holder of the one before. */
export function chain(links: readonly Link[] = [{}], issuer: Issuer = ISSUER): readonly string[] {
  const tokens: string[] = [];
  for (const [depth, link] of links.entries()) {
    const holder = HOLDERS[Math.min(depth, 2)] as (typeof HOLDERS)[number];
    const giver = HOLDERS[Math.min(depth - 1, 2)];
    const common = {
      jti: `019b0000-0000-7000-8000-00000000000${depth}`,
      iat: NOW,
      exp: NOW + 600,
      del_depth: depth,
      del_max_depth: 3,
      cnf: { jwk: holder.key.jwk },
      authorization_details: details(TOOLS),
      sub: holder.id,
      spiffe_task: 'task-1',
      spiffe_labels: { confidentiality: 'internal', integrity: 'trusted' },
    };
    const claims =
      giver === undefined
        ? { ...common, iss: AGENT('orchestrator') }
        : {
            ...common,
            iss: URN + thumbprint(giver.key.jwk),
            par_hash: sha256(signedPart(tokens.at(-1) as string)),
          };
    tokens.push(makeToken(claims, giver?.key ?? issuer.signer, 'aat+jwt', link));
  }
  return tokens;
}

/** One call as a receiver gets it. */
export interface Call {
  readonly now: number;
  readonly tool: string;
  readonly args_json: string;
  readonly peer: string;
  readonly audience: readonly string[];
  readonly require_chain_aud?: boolean;
  /** The default is true. */
  readonly require_pop_aud?: boolean;
  readonly nonce?: string;
  readonly revoked?: readonly string[];
  readonly unknown?: readonly string[];
  readonly presentation?: Json;
  readonly headers?: readonly [string, string];
}

export interface CallChanges extends Partial<Omit<Call, 'presentation' | 'headers'>> {
  readonly tokens?: readonly string[];
  readonly proof?: Link;
  readonly issuer?: Issuer;
  /** Changes the whole presentation. */
  readonly presented?: (presentation: JsonMap) => Json;
  /** Sends it as a pair of headers. */
  readonly asHeaders?: (grant: string, proof: string) => readonly [string, string];
}

/** A call with a proof of the leaf's holder. */
export function call(changes: CallChanges = {}): Call {
  const { tokens = chain(), proof, issuer = ISSUER, presented, asHeaders, ...rest } = changes;
  const depth = Math.max(0, Math.min(tokens.length - 1, 2));
  const holder = HOLDERS[depth] as (typeof HOLDERS)[number];
  const { now = NOW, tool = 'send', args_json: args = ARGS } = rest;
  const leaf = tokens.at(-1) ?? '';
  const { jti } = peekPayload(leaf);
  const pop = makeToken(
    {
      jti: `p-${sha256(leaf).slice(0, 8)}`,
      iat: now,
      aat_id: jti,
      aat_hash: sha256(signedPart(leaf)),
      aat_tool: tool,
      aat_aud: SERVER,
      hta: JSON.parse(args) as Json,
    },
    holder.key,
    'aat-pop+jwt',
    proof,
  );
  const presentation = { aat_chain: tokens, aat_pop: pop, spiffe_x5c: issuer.x5c };
  const shown =
    asHeaders === undefined
      ? { presentation: presented?.(presentation) ?? presentation }
      : { headers: asHeaders(`${tokens.join(',')};${issuer.x5c.join(',')}`, pop) };
  return { now, tool, args_json: args, peer: holder.id, audience: [SERVER], ...rest, ...shown };
}

function peekPayload(token: string): { readonly jti?: string } {
  try {
    return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      readonly jti?: string;
    };
  } catch {
    return {};
  }
}

/** A case: calls that a receiver gets one after another, each with what it must say. */
export interface Vector {
  readonly id: string;
  readonly title: string;
  readonly calls: readonly (Call & { readonly expected: Expected })[];
}
export interface Expected {
  readonly verdict: 'PERMIT' | 'DENY';
  readonly step: string | null;
}

const expected = (step: string | null): Expected => ({
  verdict: step === null ? 'PERMIT' : 'DENY',
  step,
});

/** A case of one call. */
export function one(id: string, title: string, step: string | null, made: Call): Vector {
  return { id, title, calls: [{ ...made, expected: expected(step) }] };
}

/** A case of several. */
export function several(
  id: string,
  title: string,
  calls: readonly (readonly [string | null, Call])[],
): Vector {
  return { id, title, calls: calls.map(([step, made]) => ({ ...made, expected: expected(step) })) };
}

export { jcs };
