import { createHash, X509Certificate } from 'node:crypto';
import { SpiffeError } from '../errors.js';
import {
  ANY_SPIFFE_ID,
  describePeerRule,
  type PeerPredicate,
  type PeerRule,
  parsePeerRule,
  UNAUTHENTICATED_CLIENTS,
  WEB_PKI,
} from '../identity/peer-rule.js';
import { readPem } from '../internal/pem.js';

/** A peer rule parsed once, when it was given, with what messages and pools need to know of it. */
export interface Rule {
  readonly given: PeerRule;
  readonly accepts: PeerPredicate;
  /** For messages. */
  readonly description: string;
  /** Two rules with one key are the same; a function is the same as itself alone. */
  readonly key: string;
}

/** @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID`. */
export function parseRule(given: PeerRule): Rule {
  const accepts = parsePeerRule(given);
  return Object.freeze({
    given: Array.isArray(given) ? Object.freeze([...(given as string[])]) : given,
    accepts,
    description: describePeerRule(given),
    key: keyOf(given),
  });
}

/** What an origin of the web is held to, in place of a rule about SPIFFE IDs. */
export interface WebRule {
  readonly given: typeof WEB_PKI;
  /** The roots, as PEM; `undefined` for those that Node itself takes. */
  readonly ca: readonly string[] | undefined;
  /** Two rules with one key are the same. */
  readonly key: string;
}

const WEB_ROOTS: WebRule = Object.freeze({ given: WEB_PKI, ca: undefined, key: 'web' });

/** Certificates in PEM: one text, or several. */
export type PemCertificates = string | Uint8Array | readonly (string | Uint8Array)[];

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` when `ca` is anything but certificates in PEM. */
export function parseWebRule(ca?: PemCertificates): WebRule {
  if (ca === undefined) return WEB_ROOTS;
  const roots = (Array.isArray(ca) ? ca : [ca]).flatMap(readRoots);
  if (roots.length === 0) throw badRoots();
  const digest = createHash('sha256').update(roots.join('')).digest('base64');
  return Object.freeze({ given: WEB_PKI, ca: Object.freeze(roots), key: `web ${digest}` });
}

function readRoots(pem: unknown): string[] {
  try {
    const text = Buffer.from(pem as string | Uint8Array).toString('latin1');
    return readPem(text, 'CERTIFICATE').map((der) => new X509Certificate(der).toString());
  } catch (cause) {
    throw badRoots(cause);
  }
}

function badRoots(cause?: unknown): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    'cannot take ca for an origin of the web: give certificates in PEM, one text or a list of them',
    { cause },
  );
}

/** Whom a server lets in, parsed. */
export interface Admission {
  /** For clients that show a certificate. */
  readonly rule: Rule;
  /** Whether those that show none are let in as well. */
  readonly unauthenticated: boolean;
}

/** @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID`. */
export function parseAdmission(allow: PeerRule | typeof UNAUTHENTICATED_CLIENTS): Admission {
  return allow === UNAUTHENTICATED_CLIENTS
    ? { rule: parseRule(ANY_SPIFFE_ID), unauthenticated: true }
    : { rule: parseRule(allow), unauthenticated: false };
}

const functions = new WeakMap<PeerPredicate, number>();
let lastFunction = 0;

function keyOf(rule: PeerRule): string {
  if (typeof rule !== 'function') return String(rule);
  let number = functions.get(rule);
  if (number === undefined) {
    lastFunction += 1;
    number = lastFunction;
    functions.set(rule, number);
  }
  return `function ${number}`;
}
