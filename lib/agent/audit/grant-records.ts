import type { GrantEvent, GrantRefusedEvent } from './events.js';
import * as ocsf from './ocsf.js';
import { common, type Parts, resource } from './record-parts.js';

/** OCSF's word for it, what it is called here, what was decided, and how that is said of its holder. */
const KINDS: Readonly<
  Record<
    GrantEvent['kind'],
    readonly [ocsf.Activity, string, ocsf.Verdict, (holder: string) => string]
  >
> = {
  'grant.issue': [
    ocsf.CREATE,
    'grant/issue',
    ocsf.ALLOWED,
    (holder) => `a grant was issued to ${holder}`,
  ],
  'grant.derive': [
    ocsf.CREATE,
    'grant/derive',
    ocsf.ALLOWED,
    (holder) => `a grant was passed on to ${holder}`,
  ],
  'grant.accept': [
    ocsf.READ,
    'grant/accept',
    ocsf.ALLOWED,
    (holder) => `a grant held by ${holder} was accepted`,
  ],
  'grant.revoke': [
    ocsf.DELETE,
    'grant/revoke',
    ocsf.LOGGED,
    (holder) => `a grant held by ${holder} was revoked`,
  ],
};
const REFUSED = ocsf.otherActivity('Grant Refused');

/** The life of a grant. */
export function grant(event: GrantEvent): Parts {
  const [activity, operation, verdict, say] = KINDS[event.kind];
  const { chain, expiresAt, holder, jti, tools } = event.grant;
  return {
    base: common(event),
    activity,
    operation,
    tool: event.tool,
    message: say(holder),
    verdict,
    resources: [resource('grant', jti)],
    unmapped: {
      evaluate_only: event.evaluateOnly,
      grant: {
        chain,
        expires_at: expiresAt,
        holder,
        issuer: event.issuer,
        jti,
        proof: event.proof,
        tools,
      },
    },
  };
}

/** What was shown was not taken; its ids are what it says of itself. */
export function grantRefused(event: GrantRefusedEvent): Parts {
  const { claimed = [], peer, reason, step, tool } = event;
  const jti = claimed.at(-1);
  return {
    base: common(event),
    activity: REFUSED,
    operation: 'grant/refuse',
    tool,
    message: `a grant${peer === undefined ? '' : ` shown by ${peer}`} was refused: step ${step}`,
    verdict: ocsf.BLOCKED,
    outcome: ocsf.failure(step, reason),
    ...(jti !== undefined && { resources: [resource('grant', jti)] }),
    unmapped: {
      evaluate_only: event.evaluateOnly,
      grant: { claimed: event.claimed, peer },
    },
  };
}
