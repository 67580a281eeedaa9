import { join } from 'node:path';
import type { X509BundleSet, X509Snapshot } from '../../identity/source.js';
import type { X509Bundle } from '../../identity/x509/bundle.js';
import type { X509Svid } from '../../identity/x509/svid.js';
import { writePem } from '../../internal/pem.js';
import { BUNDLE_SUFFIX, type SvidFileNames } from './names.js';
import type { FileToWrite } from './replace-set.js';

/** For everyone: certificates are no secret. */
const PUBLIC_MODE = 0o644;
/** A name of 255 bytes is the longest that file systems take. */
const LONGEST_DOMAIN = 255 - BUNDLE_SUFFIX.length;

/** How an SVID and the bundles beside it are written. */
export interface SvidFilesLayout {
  readonly names: SvidFileNames;
  readonly keyMode: number;
}

/** The files for a state, or `undefined` when nothing in it could be used: no SVID, or no authority that vouches for it. */
export function svidFiles(
  { svid, bundles }: X509Snapshot,
  { names, keyMode }: SvidFilesLayout,
): readonly FileToWrite[] | undefined {
  const own = svid === undefined ? undefined : bundles.get(svid.id.trustDomain);
  if (svid === undefined || own === undefined || own.authorities.length === 0) return undefined;
  const foreign = listed(bundles).filter(
    ({ trustDomain, authorities }) =>
      !trustDomain.equals(own.trustDomain) &&
      authorities.length > 0 &&
      trustDomain.name.length <= LONGEST_DOMAIN,
  );
  return [
    { path: names.svid, text: certificates(svid.certificates), mode: PUBLIC_MODE },
    { path: names.key, text: privateKey(svid), mode: keyMode },
    { path: names.bundle, text: certificates(own.authorities), mode: PUBLIC_MODE },
    ...foreign.map(({ trustDomain, authorities }) => ({
      path: join(names.federated, trustDomain.name + BUNDLE_SUFFIX),
      text: certificates(authorities),
      mode: PUBLIC_MODE,
    })),
  ];
}

function listed(bundles: X509BundleSet): readonly X509Bundle[] {
  return bundles[Symbol.iterator] === undefined ? [] : Array.from(bundles as Iterable<X509Bundle>);
}

function certificates(ders: readonly Uint8Array[]): string {
  return ders.map((der) => writePem(der, 'CERTIFICATE')).join('');
}

function privateKey(svid: X509Svid): string {
  return svid.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}

/** Both would be written the same. */
export function sameFiles(one: readonly FileToWrite[], other: readonly FileToWrite[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ path, text }, at) => path === other[at]?.path && text === other[at].text)
  );
}
