import { verify } from 'node:crypto';
import { SpiffeId, X509Bundles, type X509Svid } from 'agent-spiffe';
import { TestCa } from 'agent-spiffe/testing';
import { type Chain, splitChain, verifyChain } from '#lib/agent/grant/chain.js';
import { deriveGrant, issueRootGrant } from '#lib/agent/grant/issue.js';
import { verifyIssuer } from '#lib/agent/grant/issuer.js';
import { type GrantKey, isSignedBy, readHolderKey } from '#lib/agent/grant/keys.js';
import { readChain } from '#lib/agent/grant/known-chains.js';
import { DEFAULT_LIMITS } from '#lib/agent/grant/limits.js';
import { checkCall, checkProof, openProof } from '#lib/agent/grant/proof.js';
import { proveGrant } from '#lib/agent/grant/prove.js';
import { TaskKey } from '#lib/agent/task-key.js';
import { type Comparison, perSecond } from './rounds.js';

/** What 1.3 times the cost is of the speed. */
const MARK = { atLeast: 1 / 1.3 };
const SERVER = 'spiffe://example.org/tools/mail';
const ARGS = '{"to":"ann@acme.example","subject":"your ticket","body":"it is done"}';

/** What grants cost beside their bare signatures. */
export function grantComparisons(): readonly Comparison[] {
  const ca = TestCa.create('example.org');
  const svid = ca.issue('spiffe://example.org/agents/orchestrator');
  const bundles = X509Bundles.of(ca.bundle);
  const known = grantOf(svid);
  const check = (tokens: readonly string[]): Chain => {
    const now = new Date();
    const issuer = verifyIssuer(svid.certificates, bundles, now);
    const seconds = Math.floor(now.getTime() / 1000);
    return verifyChain(splitChain(tokens, DEFAULT_LIMITS), [issuer], seconds, DEFAULT_LIMITS);
  };
  const chain = check(known.tokens);
  const presentation = { chain: known.tokens, proof: '', issuer: svid.certificates };
  const leaf = chain.at(-1) as Chain[number];
  const issuer = verifyIssuer(svid.certificates, bundles, new Date());
  /** Of tokens as they came: a key, what was signed, a signature; and nothing else. */
  const bare = (tokens: readonly string[]): boolean => {
    let key: GrantKey = issuer;
    return tokens.every((token, at) => {
      const end = token.lastIndexOf('.');
      const data = Buffer.from(token.slice(0, end), 'latin1');
      const isSigned = isSignedBy(key, data, Buffer.from(token.slice(end + 1), 'base64url'));
      key = readHolderKey((chain[at] as Chain[number]).jwk) as GrantKey;
      return isSigned;
    });
  };
  const call = { tool: 'send', args: JSON.parse(ARGS) as Record<string, string> };
  const receiver = {
    audience: [SERVER],
    requireProofAudience: true,
    requireChainAudience: false,
  };
  const proofData = Buffer.alloc(600, 'x');
  return [
    {
      name: 'chain of 3 verified, never seen before; bare: its signatures alone, with keys from their JWKs',
      unit: '/s',
      ours: () => perSecond(() => check(known.tokens)),
      rivals: [{ name: 'bare', mark: MARK, run: () => perSecond(() => bare(known.tokens)) }],
    },
    {
      name: 'chain of 3 that comes again, as with each call of a task; bare: the same',
      unit: '/s',
      ours: () => perSecond(() => readChain(presentation, bundles, new Date(), DEFAULT_LIMITS)),
      rivals: [{ name: 'bare', mark: MARK, run: () => perSecond(() => bare(known.tokens)) }],
    },
    {
      name: 'proof made and checked, arguments and all; bare: signed and verified',
      unit: '/s',
      ours: () =>
        perSecond(() => {
          const proof = proveGrant({
            leaf: known.tokens[2],
            signer: known.key,
            tool: 'send',
            argsJson: ARGS,
            audience: SERVER,
          });
          const opened = openProof(proof, leaf, DEFAULT_LIMITS);
          const args = checkCall(leaf, 'send', ARGS);
          const now = Math.floor(Date.now() / 1000);
          checkProof(opened, leaf, { ...call, args, now }, receiver, DEFAULT_LIMITS);
        }),
      rivals: [
        {
          name: 'bare',
          mark: MARK,
          run: () =>
            perSecond(() => verify(null, proofData, leaf.holder.key, known.key.sign(proofData))),
        },
      ],
    },
  ];
}

/** Three in a row, and the key of the last. */
function grantOf(svid: X509Svid): {
  readonly tokens: readonly [string, string, string];
  readonly key: TaskKey;
} {
  const [first, second, key] = [new TaskKey(), new TaskKey(), new TaskKey()];
  const holderId = SpiffeId.parse('spiffe://example.org/agents/mailer');
  const root = issueRootGrant({
    svid,
    holder: first.publicJwk,
    holderId,
    taskId: 'b4c1a6de-9c0d-4f57-8b1e-3d2f9a1c7e55',
    tools: {
      send: {
        to: { constraint_type: 'one_of', values: ['ann@acme.example', 'bob@acme.example'] },
        subject: { constraint_type: 'wildcard' },
        body: { constraint_type: 'wildcard' },
      },
      search: { q: { constraint_type: 'wildcard' } },
    },
    expiresAt: new Date(Date.now() + 3_000_000),
    maxDepth: 3,
  });
  const send = {
    to: { constraint_type: 'exact', value: 'ann@acme.example' },
    subject: { constraint_type: 'wildcard' },
    body: { constraint_type: 'wildcard' },
  };
  const child = deriveGrant({
    parent: root,
    signer: first,
    holder: second.publicJwk,
    holderId,
    tools: { send },
  });
  const leaf = deriveGrant({ parent: child, signer: second, holder: key.publicJwk, holderId });
  return { tokens: [root, child, leaf], key };
}
