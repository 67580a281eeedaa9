import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SpiffeId, X509Bundle, X509Bundles } from 'agent-spiffe';
import { GrantError } from '#lib/agent/grant/grant-error.js';
import { GrantUsage } from '#lib/agent/grant/grant-usage.js';
import {
  type GrantPresentation,
  presentationFromHeaders,
  presentationFromJson,
} from '#lib/agent/grant/presentation.js';
import { ReplayCache } from '#lib/agent/grant/replay-cache.js';
import { type GrantStatus, verifyGrant } from '#lib/agent/grant/verify.js';
import type { JsonRecord } from '#lib/internal/json.js';

/** One call of a case, as docs/grant.md describes it. */
export interface GrantCall {
  readonly now: number;
  readonly tool: string;
  readonly args_json: string;
  readonly peer: string;
  readonly audience: readonly string[];
  readonly require_chain_aud?: boolean;
  readonly require_pop_aud?: boolean;
  readonly nonce?: string;
  readonly revoked?: readonly string[];
  readonly unknown?: readonly string[];
  readonly presentation?: {
    readonly aat_chain?: readonly (string | { readonly letters: number })[];
    readonly spiffe_x5c?: string | readonly string[];
  };
  readonly headers?: readonly [string, string];
  readonly expected: { readonly verdict: 'PERMIT' | 'DENY'; readonly step: string | null };
}

export interface GrantCase {
  readonly id: string;
  readonly title: string;
  readonly calls: readonly GrantCall[];
}

interface Own {
  readonly bundles: Readonly<Record<string, readonly string[]>>;
  readonly issuers: Readonly<Record<string, readonly string[]>>;
  readonly numbers: readonly { readonly text: string; readonly admissible: boolean }[];
  readonly subsumption: readonly {
    readonly parent: JsonRecord;
    readonly child: JsonRecord;
    readonly subsumes: boolean;
  }[];
  readonly vectors: readonly GrantCase[];
}

/** The vectors of our own profile. */
export const OWN = JSON.parse(
  readFileSync(
    fileURLToPath(new URL('../../test/vectors/grant-spiffe.json', import.meta.url)),
    'utf8',
  ),
) as Own;

const bundles = X509Bundles.of(
  ...Object.entries(OWN.bundles).map(([name, ders]) =>
    X509Bundle.fromDer(name, Buffer.concat(ders.map((der) => Buffer.from(der, 'base64')))),
  ),
);

/** What a receiver says of the calls of a case, one after another: the step that refused, or `null`. */
export function judgeCase({ calls }: GrantCase): readonly (string | null)[] {
  const replay = new ReplayCache();
  const usage = new GrantUsage();
  return calls.map((call) => {
    try {
      verifyGrant(presented(call), {
        tool: call.tool,
        argsJson: call.args_json,
        bundles,
        peer: SpiffeId.parse(call.peer),
        audience: call.audience,
        requireAudience: call.require_pop_aud ?? true,
        requireChainAudience: call.require_chain_aud ?? false,
        ...(call.nonce !== undefined && { nonce: (nonce) => nonce === call.nonce }),
        replay,
        usage,
        isRevoked: (jti): GrantStatus => {
          if (call.revoked?.includes(jti) === true) return 'revoked';
          return call.unknown?.includes(jti) === true ? 'unknown' : 'active';
        },
        now: new Date(call.now * 1000),
      });
      return null;
    } catch (error) {
      if (error instanceof GrantError) return error.step;
      throw error;
    }
  });
}

function presented({ headers, presentation }: GrantCall): GrantPresentation {
  if (headers !== undefined) return presentationFromHeaders(...headers);
  const { aat_chain: chain, spiffe_x5c: x5c, ...rest } = presentation ?? {};
  return presentationFromJson({
    ...rest,
    aat_chain: chain?.map((token) =>
      typeof token === 'string' ? token : 'A'.repeat(token.letters),
    ),
    spiffe_x5c: typeof x5c === 'string' ? OWN.issuers[x5c] : x5c,
  });
}
