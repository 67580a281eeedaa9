import { join } from 'node:path';
import { SpiffeError } from '../../errors.js';
import { SpiffeId } from '../../identity/spiffe-id.js';
import { TrustDomain } from '../../identity/trust-domain.js';
import { anchorsOf, X509Bundle } from '../../identity/x509/bundle.js';
import { X509Bundles } from '../../identity/x509/bundles.js';
import { X509Svid } from '../../identity/x509/svid.js';
import { MAX_CHAIN_LENGTH } from '../../identity/x509/verify.js';
import { type PemError, readPem } from '../../internal/pem.js';
import { quote } from '../../internal/quote.js';
import { reasonOf } from '../held-state.js';
import { type PickedContent, sameSvid } from '../held-x509-source.js';
import { BUNDLE_SUFFIX, type SvidFileNames } from './names.js';
import type { FileSet } from './read-set.js';

/** Where the files are, for messages. */
export interface Place {
  readonly directory: string;
  readonly names: SvidFileNames;
}

/** A set of files as it was understood. */
export interface FilesReading {
  readonly content: PickedContent;
  /** What was left out of it, and why. */
  readonly omissions: readonly SpiffeError[];
}

/**
 * Judges what was read. What is wrong about our own identity costs the whole set; what is wrong about a foreign trust
 * domain costs that domain.
 *
 * @param before - the content held so far: what has not changed keeps its objects.
 * @throws SpiffeError `ERR_SPIFFE_FILES_INVALID`; neither its message nor its cause holds anything of the key.
 */
export function readContent(
  set: FileSet,
  place: Place,
  now: number,
  before?: PickedContent,
): FilesReading {
  const { directory, names } = place;
  const read = readSvid(set, place, now);
  const held = before?.svid;
  const svid = held !== undefined && sameSvid(held, read) ? held : read;
  const keep = (bundle: X509Bundle): X509Bundle => {
    const known = before?.bundles.get(bundle.trustDomain);
    return known?.equals(bundle) ? known : bundle;
  };
  const own = readBundle(svid.id.trustDomain, set.bundle, join(directory, names.bundle));
  const bundles = [keep(own)];
  const omissions: SpiffeError[] = [];
  for (const [name, bytes] of set.federated) {
    const file = join(directory, names.federated, name + BUNDLE_SUFFIX);
    try {
      if (bytes instanceof SpiffeError) throw bytes;
      bundles.push(keep(readForeign(name, bytes, file, own.trustDomain)));
    } catch (error) {
      omissions.push(error as SpiffeError);
    }
  }
  return {
    content: Object.freeze({
      svid,
      svids: Object.freeze([svid]),
      bundles: X509Bundles.of(...bundles),
    }),
    omissions,
  };
}

function readSvid(set: FileSet, { directory, names }: Place, now: number): X509Svid {
  const file = join(directory, names.svid);
  const chain = readBlocks(set.svid, 'CERTIFICATE', file);
  if (chain.length > MAX_CHAIN_LENGTH)
    throw invalid(file, `it holds ${chain.length} certificates, more than ${MAX_CHAIN_LENGTH}`);
  let svid: X509Svid;
  const key = readKey(set.key, join(directory, names.key));
  try {
    svid = X509Svid.fromDer(Buffer.concat(chain), key);
  } catch (cause) {
    throw invalid(file, reasonOf(cause), cause);
  }
  if (svid.notAfter.getTime() < now)
    throw invalid(file, `${svid.id} has expired at ${svid.notAfter.toISOString()}`);
  return svid;
}

const OTHER_KEYS = /-----BEGIN ((?:EC |RSA |DSA |ENCRYPTED )PRIVATE KEY|EC PARAMETERS)-----/;

function readKey(bytes: Uint8Array, file: string): Uint8Array {
  // Known by its first line, so that what to do about it can be said.
  const other = OTHER_KEYS.exec(Buffer.from(bytes).toString('latin1'))?.[1];
  if (other !== undefined) {
    throw invalid(
      file,
      `it holds ${other}, and a key must be unencrypted PKCS#8 (PRIVATE KEY); convert it with: openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW_KEY`,
    );
  }
  const keys = readBlocks(bytes, 'PRIVATE KEY', file);
  if (keys.length > 1) throw invalid(file, `it holds ${keys.length} keys; one is needed`);
  return keys[0] as Uint8Array;
}

function readForeign(name: string, bytes: Uint8Array, file: string, own: TrustDomain): X509Bundle {
  let domain: TrustDomain;
  try {
    domain = TrustDomain.parse(name);
  } catch (cause) {
    throw invalid(file, 'its name is not that of a trust domain', cause);
  }
  if (domain.equals(own))
    throw invalid(file, `${own} is our own trust domain, and its bundle is beside the SVID`);
  return readBundle(domain, bytes, file);
}

function readBundle(domain: TrustDomain, bytes: Uint8Array, file: string): X509Bundle {
  let bundle: X509Bundle;
  try {
    bundle = X509Bundle.fromPem(domain, bytes);
  } catch (cause) {
    throw invalid(file, reasonOf(cause), cause);
  }
  // X509-13: an authority's ID is of the trust domain that it signs for. Those of several domains in one file
  // (spiffe-helper's include_federated_domains) would vouch for each other's workloads.
  for (const authority of [...anchorsOf(bundle).values()].flat()) {
    const stranger = authority.uriNames.find((uri) => !isOf(domain, uri));
    if (stranger !== undefined)
      throw invalid(
        file,
        `it holds an authority of ${quote(stranger)}, which would vouch for IDs of ${domain}; one file is for one trust domain (in spiffe-helper: include_federated_domains = false)`,
      );
  }
  return bundle;
}

function isOf(domain: TrustDomain, uri: string): boolean {
  try {
    return SpiffeId.parse(uri).memberOf(domain);
  } catch {
    // Another URI says nothing about a trust domain.
    return true;
  }
}

function readBlocks(bytes: Uint8Array, label: string, file: string): Uint8Array[] {
  try {
    return readPem(Buffer.from(bytes).toString('latin1'), label);
  } catch (cause) {
    throw invalid(
      file,
      `it is not PEM as it should be, but has ${(cause as PemError).message}`,
      cause,
    );
  }
}

function invalid(file: string, why: string, cause?: unknown): SpiffeError {
  const message = `cannot use ${quote(file)}: ${why}`;
  return new SpiffeError('ERR_SPIFFE_FILES_INVALID', message, { cause });
}
