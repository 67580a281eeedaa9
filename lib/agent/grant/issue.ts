import type { SpiffeId } from '../../identity/spiffe-id.js';
import type { X509Svid } from '../../identity/x509/svid.js';
import { freezeJsonObject } from '../../internal/frozen-json.js';
import type { JsonRecord } from '../../internal/json.js';
import { plainJson, type WrittenJson } from '../../internal/strict-json.js';
import { Constraint } from '../constraint/constraint.js';
import type { Labels } from '../flow/labels.js';
import { checkText, optionError } from '../options.js';
import type { TaskPublicJwk } from '../task-key.js';
import { ENTRY_TYPE } from './capabilities.js';
import { demand } from './grant-error.js';
import { checkIssued } from './issuer.js';
import { splitJws } from './jws.js';
import { certifiedKey, signWith, thumbprintUri } from './keys.js';
import { DEFAULT_LIMITS } from './limits.js';
import { GrantLink } from './link.js';
import { checkProfile, type GrantBudget, readProfile } from './profile.js';
import { type GrantSigner, uuidV7, writeJws } from './sign.js';
import { readChild, readHeld, readRoot, type Token } from './token.js';
import { secondsOf } from './verify.js';

/** Constraints by tool and argument, as such or in the form of the draft; an empty map allows any arguments. */
export type GrantTools = Readonly<
  Record<string, Readonly<Record<string, Constraint | JsonRecord>>>
>;

/** What a token says beside its tools. */
interface GrantTerms {
  /** The public half of the key of the task that is to hold it. */
  readonly holder: TaskPublicJwk;
  /** The SPIFFE ID of whoever holds that key: what mTLS must show. */
  readonly holderId: SpiffeId;
  /** The receivers at which it, and all below it, may be shown. Default: no bound. */
  readonly audience?: string | readonly string[];
  readonly budget?: GrantBudget;
  /** Default: the wall clock. */
  readonly now?: Date;
}

/** A root. */
export interface RootGrantOptions extends GrantTerms {
  /** Signs it; its chain has to travel with it. */
  readonly svid: X509Svid;
  readonly taskId: string;
  readonly tools: GrantTools;
  /** Cut to the end of the SVID. */
  readonly expiresAt: Date;
  /** How often it may be passed on, from hand to hand. Default: 0, not at all. */
  readonly maxDepth?: number;
  /** What its task has read. Default: nothing, which is public and trusted. */
  readonly labels?: Labels;
}

/** A child of a token that is at hand. */
export interface DerivedGrantOptions extends GrantTerms {
  readonly parent: string;
  /** The key that holds the parent. */
  readonly signer: GrantSigner;
  /** Default: the parent's. */
  readonly taskId?: string;
  /** Default: the parent's. */
  readonly tools?: GrantTools;
  /** Default: the parent's; a later one is refused. */
  readonly expiresAt?: Date;
  /** How deep a token below it may be, counted from the root. Default: the parent's. */
  readonly maxDepth?: number;
  /** What its giver has read by now. Default: the parent's; less is refused. */
  readonly labels?: Labels;
}

const NOTHING_READ: Labels = Object.freeze({ confidentiality: 'public', integrity: 'trusted' });
const TYPE = 'aat+jwt';

/**
 * Signs a root by an X.509-SVID. It expires with the task or the SVID, whichever is first.
 *
 * @throws SpiffeError `ERR_SPIFFE_GRANT_INVALID` for what no verifier would take, such as a constraint that is local to
 * this process; `ERR_SPIFFE_OPTION_INVALID`
 */
export function issueRootGrant(options: RootGrantOptions): string {
  const { svid, maxDepth = 0, labels = NOTHING_READ } = options;
  const now = options.now ?? new Date();
  const iat = secondsOf(now);
  const key = certifiedKey(svid.privateKey);
  demand(key !== undefined, 'issuer', 'the key of the X.509-SVID is for no algorithm of grants');
  const notAfter = secondsOf(svid.notAfter);
  const token = writeJws(
    TYPE,
    key.algorithm,
    {
      ...termsOf(options, now),
      ...capabilityOf(options.tools),
      iss: svid.id.toString(),
      iat,
      exp: Math.min(secondsOf(options.expiresAt), notAfter),
      del_depth: 0,
      del_max_depth: maxDepth,
      spiffe_task: checkText('the task of a grant', options.taskId),
      spiffe_labels: { ...labels },
    },
    (data) => signWith(key, data),
  );
  const root = readRoot(splitJws(token, '2c'), svid.id.toString(), iat, DEFAULT_LIMITS);
  readProfile(root);
  checkIssued(root, {
    ...key,
    issuer: root.iss,
    id: svid.id,
    notBefore: secondsOf(svid.notBefore),
    notAfter,
  });
  return token;
}

/**
 * Passes on a part of what a token allows; signed by the key that holds it. It was not verified: it is one's own.
 *
 * @throws SpiffeError `ERR_SPIFFE_GRANT_INVALID` with the step that a verifier would refuse it at, when it would allow
 * more than its parent, live longer, lie deeper, or hide what was read; `ERR_SPIFFE_OPTION_INVALID`
 */
export function deriveGrant(options: DerivedGrantOptions): string {
  const { signer } = options;
  const now = options.now ?? new Date();
  const parent = readHeld(splitJws(options.parent, '2c'));
  const above = readProfile(parent);
  demand(signer.publicJwk.x === parent.jwk['x'], '4b', 'its parent is held by another key');
  const iat = Math.max(secondsOf(now), parent.iat);
  const token = writeJws(
    TYPE,
    'Ed25519',
    {
      ...termsOf(options, now),
      ...(options.tools === undefined ? inherited(parent) : capabilityOf(options.tools)),
      iss: thumbprintUri(parent.holder.thumbprint),
      iat,
      exp: options.expiresAt === undefined ? parent.exp : secondsOf(options.expiresAt),
      del_depth: parent.depth + 1,
      del_max_depth: options.maxDepth ?? parent.maxDepth,
      par_hash: parent.hash,
      spiffe_task: checkText('the task of a grant', options.taskId ?? above.taskId),
      spiffe_labels: { ...(options.labels ?? above.labels) },
    },
    (data) => signer.sign(data),
  );
  const child = readChild(parent, splitJws(token, '2c'), iat, DEFAULT_LIMITS);
  checkProfile(above, readProfile(child));
  return token;
}

/**
 * What a token says that is one's own: nothing of it was verified.
 *
 * @throws GrantError `ERR_SPIFFE_GRANT_INVALID`
 */
export function readOwnGrant(token: string, by: SpiffeId): GrantLink {
  const own = readHeld(splitJws(token, '2c'));
  return new GrantLink(own, readProfile(own), by);
}

function capabilityOf(tools: GrantTools): JsonRecord {
  let plain: JsonRecord;
  try {
    plain = freezeJsonObject(
      Object.fromEntries(Object.entries(tools).map(([tool, map]) => [tool, mapOf(map)])),
    );
  } catch (cause) {
    throw optionError('the tools of a grant', (cause as Error).message, cause);
  }
  return { authorization_details: [{ type: ENTRY_TYPE, tools: plain }] };
}

function mapOf(map: GrantTools[string]): unknown {
  const entries = Object.entries(map).map(([name, each]) => [
    name,
    each instanceof Constraint ? each.toJSON() : each,
  ]);
  return Object.fromEntries(entries);
}

function inherited({ claims, entries }: Token): JsonRecord {
  const details = plainJson(
    claims['authorization_details'] as WrittenJson,
  ) as readonly JsonRecord[];
  const own = details.filter((entry) => entry['type'] === ENTRY_TYPE);
  return { authorization_details: entries === 0 ? [] : own };
}

function termsOf({ holder, holderId, audience, budget }: GrantTerms, now: Date): JsonRecord {
  const { calls, callsPerTool } = budget ?? {};
  return {
    jti: uuidV7(now.getTime()),
    sub: holderId.toString(),
    cnf: { jwk: { ...holder } },
    ...(audience !== undefined && { aud: typeof audience === 'string' ? audience : [...audience] }),
    ...(budget !== undefined && {
      spiffe_budget: {
        ...(calls !== undefined && { calls }),
        ...(callsPerTool !== undefined && { calls_per_tool: { ...callsPerTool } }),
      },
    }),
  };
}
