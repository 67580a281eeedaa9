import type { KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';
import {
  type SpiffeErrorCode,
  SpiffeId,
  TrustDomain,
  verifyX509Svid,
  X509Bundle,
  X509Bundles,
} from 'agent-spiffe';
import { expect } from 'chai';
import { DerReader, SEQUENCE } from '#lib/internal/der.js';
import { type Authority, createAuthority, leafFields } from '#lib/testing/authority.js';
import {
  type CertificateFields,
  type RawParts,
  writeCertificate,
  writeExtension,
} from '#lib/testing/certificate.js';
import { bitString, element, sequence } from '#lib/testing/der.js';
import type { Extension } from '#lib/testing/extensions.js';
import { makeKey } from '#lib/testing/keys.js';
import { opensslVerdict } from './openssl-verify.js';
import { refusal } from './refusal.js';

/** The instant of every fixture. */
export const NOW = new Date('2026-06-01T12:00:00Z');
export const DAY_MS = 24 * 3600_000;
export const TD: TrustDomain = TrustDomain.parse('example.org');
export const ID = 'spiffe://example.org/agent';

/** Alters the fields of a certificate before it is signed. */
export type Change = (fields: CertificateFields) => CertificateFields;

/** Puts an extension in place of the one of its kind, or behind the others. */
export const put =
  (extension: Extension): Change =>
  (fields) => {
    const at = fields.extensions.findIndex(({ oid }) => oid === extension.oid);
    return {
      ...fields,
      extensions:
        at === -1 ? [...fields.extensions, extension] : fields.extensions.with(at, extension),
    };
  };

/** Puts an extension behind the others, though there be one of its kind. */
export const add =
  (extension: Extension): Change =>
  (fields) => ({ ...fields, extensions: [...fields.extensions, extension] });

export const drop =
  (oid: string): Change =>
  (fields) => ({ ...fields, extensions: fields.extensions.filter((one) => one.oid !== oid) });

export const set =
  (some: Partial<CertificateFields>): Change =>
  (fields) => ({ ...fields, ...some });

export const raw = (parts: RawParts): Change => set({ raw: parts });

/** Writes one more element into the list of extensions, as it stands. */
export const rawExtension =
  (bytes: Uint8Array): Change =>
  (fields) => ({
    ...fields,
    raw: {
      extensions: element(0xa3, sequence(...fields.extensions.map(writeExtension), bytes)),
    },
  });

/** Names `identifier` as the algorithm, inside and out, and signs by `sign`. */
export function signedBy(
  fields: CertificateFields,
  identifier: Uint8Array,
  sign: (tbs: Uint8Array) => Uint8Array,
): Uint8Array {
  const draft = writeCertificate({
    ...fields,
    raw: {
      ...fields.raw,
      innerAlgorithm: identifier,
      outerAlgorithm: identifier,
      signature: bitString(Buffer.alloc(0)),
    },
  });
  const outer = new DerReader(draft).take(SEQUENCE, 'certificate').children();
  const tbs = outer.take(SEQUENCE, 'tbs').whole;
  return writeCertificate({
    ...fields,
    raw: { tbs, outerAlgorithm: identifier, signature: bitString(sign(tbs)) },
  });
}

const apply = (fields: CertificateFields, changes: readonly Change[]): CertificateFields =>
  changes.reduce((so, change) => change(so), fields);

/** A signing certificate, changed. Self-signed without `issuer`. */
export function authority(
  options: {
    readonly issuer?: Authority;
    readonly now?: Date;
    readonly domain?: TrustDomain;
  } = {},
  ...changes: readonly Change[]
): Authority {
  const { issuer, now = NOW, domain = TD } = options;
  return createAuthority(domain, {
    now,
    ...(issuer === undefined ? {} : { issuer }),
    change: (fields) => apply(fields, changes),
  });
}

/** The authority that vouches unless a case says otherwise, one below it, and the workload's key. */
export const ROOT: Authority = authority();
export const MIDDLE: Authority = authority({ issuer: ROOT });
export const WORKLOAD_KEY: KeyObject = makeKey('ec-p256');

/** The fields of a good leaf below `issuer`; unlike the development CA's it may outlive it. */
export function leafOf(issuer: Authority = ROOT, id: string = ID): CertificateFields {
  const notAfter = new Date(NOW.getTime() + DAY_MS);
  return leafFields(
    { ...issuer, notAfter },
    {
      id,
      publicKey: createPublicKey(WORKLOAD_KEY),
      now: NOW,
      ttlMs: DAY_MS,
    },
  );
}

/** A leaf, changed. */
export function leaf(issuer: Authority = ROOT, ...changes: readonly Change[]): Uint8Array {
  return writeCertificate(apply(leafOf(issuer), changes));
}

/** A chain and what it is judged by. */
export interface Case {
  readonly chain: readonly Uint8Array[];
  /** The bundle of `example.org`. Default: the root. */
  readonly anchors?: readonly Uint8Array[];
  readonly now?: Date;
}

export function bundlesOf({ anchors = [ROOT.certificate] }: Pick<Case, 'anchors'>): X509Bundles {
  return X509Bundles.of(X509Bundle.fromDer(TD, Buffer.concat(anchors)));
}

const askOpenssl = ({ chain, anchors = [ROOT.certificate], now = NOW }: Case) =>
  opensslVerdict(chain, anchors, now);

export function verify(one: Case): ReturnType<typeof verifyX509Svid> {
  return verifyX509Svid(one.chain, bundlesOf(one), { now: one.now ?? NOW });
}

/** One defect beside its twin without it. */
export interface Row {
  readonly requirement: string;
  readonly what: string;
  readonly code?: SpiffeErrorCode;
  readonly says: string;
  readonly bad: () => Case;
  readonly twin: () => Case;
  /**
   * What OpenSSL says of the defect: `refuses` it too, or `accepts` it (a rule of SPIFFE, or one that OpenSSL does not
   * keep). Left out where the bytes cannot be handed to it.
   */
  readonly openssl?: 'refuses' | 'accepts';
}

/** Judges each row, and asks OpenSSL about the twins, and about the defects where RFC 5280 alone decides. */
export function judgeRows(rows: readonly Row[]): void {
  for (const row of rows) {
    const { requirement, what, code = 'ERR_SPIFFE_X509_SVID_INVALID', says } = row;
    it(`refuses ${what} and takes its twin (${requirement})`, () => {
      refusal(code, says, () => verify(row.bad()).id);
      expect(verify(row.twin()).id.equals(SpiffeId.parse(ID))).to.equal(true);
    });
  }

  it('agrees with OpenSSL', function (this: Mocha.Context) {
    this.timeout(60_000);
    const differing: string[] = [];
    const asked = new Set<Row['twin']>();
    for (const { what, bad, twin, openssl } of rows) {
      if (!asked.has(twin)) {
        const good = askOpenssl(twin());
        if (good === undefined) {
          expect(process.env['CI'], 'OpenSSL is missing').to.equal(undefined);
          this.skip();
        }
        if (good.refused !== undefined) differing.push(`the twin of ${what}: ${good.refused}`);
        asked.add(twin);
      }
      if (openssl === undefined) continue;
      const verdict = askOpenssl(bad())?.refused === undefined ? 'accepts' : 'refuses';
      if (verdict !== openssl) differing.push(`${what}: OpenSSL ${verdict} it`);
    }
    expect(differing).to.deep.equal([]);
  });
}
