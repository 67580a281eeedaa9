import type { PeerRule, SpiffeErrorCode, SpiffeId, X509BundleSet } from 'agent-spiffe';
import { type Credential, credentials, emptied, PEER, trusted } from './credentials.js';

/** One connection that is tried: what the far end presents, and how the gate at our end is set. */
export interface Attempt {
  readonly presents: Credential | undefined;
  readonly rule: PeerRule;
  readonly bundles: X509BundleSet;
}

/** What must be refused at the gate and with which code, beside its twin, which passes. */
export interface Row {
  readonly title: string;
  readonly code: SpiffeErrorCode;
  readonly attack: Attempt;
  readonly twin: Attempt;
  /** Only where the far end is a client: a server always presents something. */
  readonly clientsOnly?: boolean;
}

const passes: Attempt = { presents: credentials.good, rule: PEER, bundles: trusted };

interface Given {
  readonly attack: Partial<Attempt>;
  readonly twin?: Partial<Attempt>;
  readonly clientsOnly?: boolean;
}

function row(title: string, code: SpiffeErrorCode, given: Given): Row {
  const { attack, twin = {}, clientsOnly = false } = given;
  return {
    title,
    code,
    attack: { ...passes, ...attack },
    twin: { ...passes, ...twin },
    clientsOnly,
  };
}

const isPeer = (id: SpiffeId): boolean => id.toString() === PEER;

/** Every way to fail at the gate after a handshake that OpenSSL has let through. */
export const ROWS: readonly Row[] = [
  row('no certificate', 'ERR_SPIFFE_PEER_NO_CERTIFICATE', {
    attack: { presents: credentials.none },
    clientsOnly: true,
  }),
  row('an SVID of a trust domain without a bundle', 'ERR_SPIFFE_BUNDLE_NOT_FOUND', {
    attack: { presents: credentials.ofStranger, rule: 'spiffe://stranger.example/peer' },
    twin: { presents: credentials.partner, rule: 'spiffe://partner.example/peer' },
  }),
  row('the right ID signed by another authority of that name', 'ERR_SPIFFE_X509_UNTRUSTED', {
    attack: { presents: credentials.ofImpostor },
  }),
  row("the right ID signed by a federated domain's authority", 'ERR_SPIFFE_X509_UNTRUSTED', {
    attack: { presents: credentials.rightIdByPartner },
  }),
  row('an expired SVID', 'ERR_SPIFFE_X509_EXPIRED', { attack: { presents: credentials.expired } }),
  row('an SVID that is not valid yet', 'ERR_SPIFFE_X509_EXPIRED', {
    attack: { presents: credentials.notYetValid },
  }),
  row("an authority's certificate as the leaf", 'ERR_SPIFFE_X509_SVID_INVALID', {
    attack: { presents: credentials.authority },
  }),
  row('a certificate without a SPIFFE ID', 'ERR_SPIFFE_X509_SVID_INVALID', {
    attack: { presents: credentials.webOnly },
  }),
  row('an intermediate that has only the name of the right one', 'ERR_SPIFFE_X509_UNTRUSTED', {
    attack: { presents: credentials.wrongIssuer },
    twin: { presents: credentials.wrongThenRightIssuer },
  }),
  row('seventeen certificates', 'ERR_SPIFFE_X509_SVID_INVALID', {
    attack: { presents: credentials.tooLong },
    twin: { presents: credentials.longest },
  }),
  row('a bundle that holds no authority', 'ERR_SPIFFE_X509_UNTRUSTED', {
    attack: { bundles: emptied },
  }),
  row('a bundle set that throws', 'ERR_SPIFFE_HANDSHAKE_FAILED', {
    attack: {
      bundles: {
        get: () => {
          throw new TypeError('broken');
        },
      },
    },
  }),
  row('a valid SVID of another ID', 'ERR_SPIFFE_PEER_NOT_ALLOWED', {
    attack: { presents: credentials.other },
  }),
  row('a rule that says no', 'ERR_SPIFFE_PEER_NOT_ALLOWED', {
    attack: { rule: (id) => !isPeer(id) },
    twin: { rule: isPeer },
  }),
  row('a rule that throws', 'ERR_SPIFFE_PEER_RULE_FAILED', {
    attack: {
      rule: () => {
        throw new TypeError('broken');
      },
    },
    twin: { rule: isPeer },
  }),
  row('a rule that throws what is no error', 'ERR_SPIFFE_PEER_RULE_FAILED', {
    attack: {
      rule: () => {
        // oxlint-disable-next-line typescript/only-throw-error -- a user's rule may do this
        throw undefined;
      },
    },
    twin: { rule: isPeer },
  }),
  row('a rule that answers with a promise', 'ERR_SPIFFE_PEER_RULE_FAILED', {
    attack: { rule: (() => Promise.resolve(true)) as unknown as (id: SpiffeId) => boolean },
    twin: { rule: isPeer },
  }),
];
