import { SpiffeId, X509Bundles, type X509Svid } from 'agent-spiffe';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { GrantError } from '#lib/agent/grant/grant-error.js';
import { GrantUsage } from '#lib/agent/grant/grant-usage.js';
import { deriveGrant, issueRootGrant } from '#lib/agent/grant/issue.js';
import type { GrantPresentation } from '#lib/agent/grant/presentation.js';
import { proveGrant } from '#lib/agent/grant/prove.js';
import { ReplayCache } from '#lib/agent/grant/replay-cache.js';
import {
  type VerifiedGrant,
  type VerifyGrantOptions,
  verifyGrant,
} from '#lib/agent/grant/verify.js';
import { TaskKey } from '#lib/agent/task-key.js';

const id = (name: string): SpiffeId => SpiffeId.parse(`spiffe://example.org/${name}`);

export const ORCHESTRATOR: SpiffeId = id('agents/orchestrator');
export const RESEARCHER: SpiffeId = id('agents/researcher');
export const MAILER: SpiffeId = id('agents/mailer');
export const SERVER: SpiffeId = id('tools/mail');
export const NOW: Date = new Date('2026-11-24T12:00:00Z');

export const later = (ms: number): Date => new Date(NOW.getTime() + ms);

/** Three agents in a row, and a server that the last one calls. */
export class GrantWorld {
  readonly ca: TestCa;
  readonly svid: X509Svid;
  readonly keys = [new TaskKey(), new TaskKey(), new TaskKey()] as const;
  readonly replay = new ReplayCache();
  readonly usage = new GrantUsage();

  constructor(options: Parameters<typeof TestCa.create>[1] = {}) {
    this.ca = TestCa.create('example.org', { now: () => NOW, ...options });
    this.svid = this.ca.issue(ORCHESTRATOR);
  }

  root(changes: Partial<Parameters<typeof issueRootGrant>[0]> = {}): string {
    return issueRootGrant({
      svid: this.svid,
      holder: this.keys[0].publicJwk,
      holderId: ORCHESTRATOR,
      taskId: 'task-1',
      tools: {
        send: {
          to: { constraint_type: 'one_of', values: ['ann@acme.example', 'bob@acme.example'] },
          body: { constraint_type: 'wildcard' },
          copies: { constraint_type: 'range', min: 1, max: 5, optional: true },
        },
        search: { q: { constraint_type: 'wildcard' } },
      },
      expiresAt: later(600_000),
      maxDepth: 2,
      now: NOW,
      ...changes,
    });
  }

  child(parent: string, changes: Partial<Parameters<typeof deriveGrant>[0]> = {}): string {
    return deriveGrant({
      parent,
      signer: this.keys[0],
      holder: this.keys[1].publicJwk,
      holderId: RESEARCHER,
      tools: {
        send: {
          to: { constraint_type: 'exact', value: 'ann@acme.example' },
          body: { constraint_type: 'wildcard' },
        },
      },
      now: NOW,
      ...changes,
    });
  }

  grandchild(parent: string, changes: Partial<Parameters<typeof deriveGrant>[0]> = {}): string {
    return deriveGrant({
      parent,
      signer: this.keys[1],
      holder: this.keys[2].publicJwk,
      holderId: MAILER,
      now: NOW,
      ...changes,
    });
  }

  /** Root, child and grandchild. */
  chain(): readonly string[] {
    const root = this.root();
    const child = this.child(root);
    return [root, child, this.grandchild(child)];
  }

  present(
    chain: readonly string[],
    changes: Partial<Parameters<typeof proveGrant>[0]> = {},
  ): GrantPresentation {
    const proof = proveGrant({
      leaf: chain.at(-1) as string,
      signer: this.keys[chain.length - 1] as TaskKey,
      tool: 'send',
      argsJson: ARGS,
      audience: SERVER.toString(),
      now: NOW,
      ...changes,
    });
    return { chain, proof, issuer: this.svid.certificates };
  }

  verify(
    presentation: GrantPresentation,
    changes: Partial<VerifyGrantOptions> = {},
  ): VerifiedGrant {
    const peers = [ORCHESTRATOR, RESEARCHER, MAILER];
    return verifyGrant(presentation, {
      tool: 'send',
      argsJson: ARGS,
      bundles: X509Bundles.of(this.ca.bundle),
      peer: peers[presentation.chain.length - 1] ?? MAILER,
      audience: SERVER.toString(),
      replay: this.replay,
      usage: this.usage,
      now: NOW,
      ...changes,
    });
  }
}

export const ARGS = '{"to":"ann@acme.example","body":"hello"}';

/** Expects a refusal at this step. */
export function expectStep(step: string, act: () => unknown): GrantError {
  try {
    act();
  } catch (error) {
    expect(error).to.be.instanceOf(GrantError);
    const refusal = error as GrantError;
    expect(refusal.step, refusal.message).to.equal(step);
    expect(refusal.code).to.equal('ERR_SPIFFE_GRANT_INVALID');
    return refusal;
  }
  throw new Error(`nothing was refused, and step ${step} should have refused`);
}
