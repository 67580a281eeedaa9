import { createPublicKey, type KeyObject } from 'node:crypto';
import {
  SpiffeId,
  TrustDomain,
  X509Bundle,
  type X509BundleSet,
  X509Bundles,
  X509Svid,
} from 'agent-spiffe';
import { writePem } from '#lib/internal/pem.js';
import { type Authority, createAuthority, leafFields } from '#lib/testing/authority.js';
import {
  type CertificateFields,
  distinguishedName,
  writeCertificate,
} from '#lib/testing/certificate.js';
import { keyUsage, subjectAltName } from '#lib/testing/extensions.js';
import { makeKey } from '#lib/testing/keys.js';
import { type StaticIdentity, StaticX509Source } from '../support/static-identity.js';

/** What one end of a connection presents. */
export interface Credential {
  readonly chain: readonly Uint8Array[];
  /** PKCS#8 DER. */
  readonly key: Uint8Array;
}

/** As `node:tls` takes it; without a credential, nothing is presented. */
export function pemOf(credential: Credential): { key: string; cert: string };
export function pemOf(credential: Credential | undefined): { key?: string; cert?: string };
export function pemOf(credential: Credential | undefined): { key?: string; cert?: string } {
  if (credential === undefined) return {};
  return {
    key: writePem(credential.key, 'PRIVATE KEY'),
    cert: credential.chain.map((der) => writePem(der, 'CERTIFICATE')).join(''),
  };
}

const HOUR_MS = 3600_000;
const HOME = 'example.org';
/** RFC 5280 §4.2.1.3. */
const KEY_USAGE = '2.5.29.15';
const SHARED_NAME = distinguishedName({ commonName: 'one name for two' });
const named = (fields: CertificateFields): CertificateFields => ({
  ...fields,
  subject: SHARED_NAME,
});

/** Also allowed to sign handshakes, or OpenSSL would not present it. */
const withDigitalSignature = (fields: CertificateFields): CertificateFields => ({
  ...fields,
  extensions: fields.extensions.map((extension) =>
    extension.oid === KEY_USAGE ? keyUsage(['digitalSignature', 'keyCertSign']) : extension,
  ),
});

function authority(
  domain: string,
  options: { issuer?: Authority; change?: typeof named } = {},
): Authority {
  return createAuthority(TrustDomain.parse(domain), { now: new Date(), ...options });
}

const home = authority(HOME);
const impostor = authority(HOME);
const partner = authority('partner.example');
const stranger = authority('stranger.example');
const rightIntermediate = authority(HOME, { issuer: home, change: named });
const signing = authority(HOME, { issuer: home, change: withDigitalSignature });
const wrongIntermediate = authority(HOME, { issuer: impostor, change: named });

function leaf(
  issuer: Authority,
  id: string,
  options: { above?: readonly Uint8Array[]; at?: number; change?: typeof named } = {},
): Credential {
  const { above = [], at = Date.now(), change = (fields) => fields } = options;
  const key = makeKey('ec-p256');
  const now = new Date(at);
  const fields = leafFields(issuer, {
    id,
    publicKey: createPublicKey(key),
    now,
    ttlMs: HOUR_MS,
  });
  return { chain: [writeCertificate(change(fields)), ...above], key: pkcs8(key) };
}

function pkcs8(key: KeyObject): Uint8Array {
  return key.export({ type: 'pkcs8', format: 'der' });
}

/** The ID that a good peer has in these tables. */
export const PEER = `spiffe://${HOME}/peer`;
/** The ID at our end. */
export const SELF = `spiffe://${HOME}/self`;

const good = leaf(home, PEER);

/** In a PKCS#8 key on P-256 the private number lies between these offsets, and the public point behind it. */
const SCALAR = [36, 68] as const;

/** The good peer's certificate with another key, in a file that says it is the right one: OpenSSL believes it. */
function stolen(): Credential {
  const key = Uint8Array.from(good.key);
  key.set(pkcs8(makeKey('ec-p256')).subarray(...SCALAR), SCALAR[0]);
  return { chain: good.chain, key };
}

function withoutSpiffeId(fields: CertificateFields): CertificateFields {
  const extensions = fields.extensions.slice(0, -1);
  return {
    ...fields,
    subject: distinguishedName({ commonName: 'peer.example.org' }),
    extensions: [...extensions, subjectAltName({ dnsNames: ['peer.example.org'] })],
  };
}

/** Credentials by what is right or wrong with them. */
export const credentials = {
  good,
  none: undefined,
  partner: leaf(partner, 'spiffe://partner.example/peer'),
  ofStranger: leaf(stranger, 'spiffe://stranger.example/peer'),
  ofImpostor: leaf(impostor, PEER),
  rightIdByPartner: leaf(partner, PEER),
  expired: leaf(home, PEER, { at: Date.now() - 2 * HOUR_MS }),
  notYetValid: leaf(home, PEER, { at: Date.now() + HOUR_MS }),
  authority: { chain: [signing.certificate], key: pkcs8(signing.key) },
  webOnly: leaf(home, PEER, { change: withoutSpiffeId }),
  other: leaf(home, `spiffe://${HOME}/other`),
  wrongIssuer: leaf(rightIntermediate, PEER, { above: [wrongIntermediate.certificate] }),
  wrongThenRightIssuer: leaf(rightIntermediate, PEER, {
    above: [wrongIntermediate.certificate, rightIntermediate.certificate],
  }),
  tooLong: leaf(home, PEER, { above: Array.from({ length: 16 }, () => stranger.certificate) }),
  longest: leaf(home, PEER, { above: Array.from({ length: 15 }, () => stranger.certificate) }),
  stolen: stolen(),
} as const satisfies Record<string, Credential | undefined>;

/** What our end trusts, unless a row says otherwise. */
export const trusted: X509Bundles = X509Bundles.of(
  X509Bundle.fromDer(HOME, home.certificate),
  X509Bundle.fromDer('partner.example', partner.certificate),
);

/** Our end's trust domain alone, and nothing in its bundle. */
export const emptied: X509Bundles = X509Bundles.of(X509Bundle.fromDer(HOME, new Uint8Array()));

/** Our own end. */
export function selfIdentity(bundles: X509BundleSet = trusted): StaticIdentity {
  const { chain, key } = leaf(home, SpiffeId.parse(SELF).toString());
  return { x509: new StaticX509Source([X509Svid.fromDer(Buffer.concat(chain), key)], bundles) };
}
